"""Probes that several files of this stage judge, and how to read what they bring."""

import json
from typing import Any

from gate.checks import expect, fail
from gate.evidence import get, probe
from gate.model import model
from gate.target import ENTRY
from gate.wire import Answer, Wire

API, FRONTEND, EXCHANGE = map(model().name, ("api", "page", "exchange"))
ORIGIN_ELSEWHERE = "https://elsewhere.example"

PAGE = get("/", FRONTEND)
HEALTH = get("/api/health", API)
PROXY_VERSION = get("/healthz", "proxy")
PAGE_VERSION = get("/version.json", FRONTEND)
ENGINE_STATUS = get("/api/engine/status", API)
METRICS = get("/api/metrics", API)

DIRECT = {
    one.name: get(one.ready, one.name, service=one.name)
    for one in model().services.values()
    if one.ready and one.name != ENTRY
}
"""The simplest question to each service, past the proxy."""


@probe("redis", "direct:redis")
async def REDIS(wire: Wire) -> list[Any]:
    """PING and INFO, with the password."""
    password = wire.credentials.redis_password
    return await wire.redis(("PING",), ("INFO",), password=password)


def from_upstream(answer: Answer) -> bool:
    """Whether a service answered, and not the proxy in its place."""
    return answer.status not in (502, 503, 504) or (
        answer.content_type == "application/json" and (b'"status_code":50' not in answer.body)
    )


def body_of(answer: Answer) -> Any:
    """The JSON body of an answer, whatever its status. Fails the check when it is no JSON."""
    expect(
        answer.content_type in ("application/json", "application/openapi+json"),
        "an answer of type application/json",
        answer.brief,
        f"GET {answer.url}",
    )
    try:
        return answer.json()
    except ValueError:
        fail("a JSON body", answer.brief, f"GET {answer.url}")


def ok(answer: Answer, status: int = 200) -> Answer:
    """The answer itself, when it has the status. Fails the check otherwise."""
    expect(answer.status == status, f"status {status}", answer.brief, f"GET {answer.url}")
    return answer


def shown(value: Any) -> str:
    """A piece of JSON as evidence."""
    return json.dumps(value, ensure_ascii=False)
