"""Probes that several files of this stage judge, and how to read what they bring."""

import json
from typing import Any

from gate import Evidence, expect, fail, get, probe
from gate.evidence import ENTRY_SAYS
from gate.model import model
from gate.target import ENTRY
from gate.wire import Answer, Conversation, Wire

API, FRONTEND, EXCHANGE = map(model().name, ("api", "page", "exchange"))
ORIGIN_ELSEWHERE = "https://elsewhere.example"

CLOCK_SECONDS = 2.0
CLOCK_CAUSE = "the clock of that host, or of this one, is not synchronised"
CLOCK_FIX = "`timedatectl` on both; orders signed with a wrong time are refused by exchanges"
PROMETHEUS_AWAY = (
    "smoke.reach.answers*[prometheus]",
    # A stack that stopped half way leaves Prometheus no time for a first scrape.
    "smoke.stack.starts[*]",
    "smoke.stack.is_prepared[*]",
)

PAGE = get("/", FRONTEND)
HEALTH = get("/api/health", API)
PROXY_VERSION = ENTRY_SAYS
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
        answer,
        f"GET {answer.url}",
    )
    try:
        return answer.json()
    except ValueError:
        fail("a JSON body", answer.brief, f"GET {answer.url}")


def ok(answer: Answer, status: int = 200) -> Answer:
    """The answer itself, when it has the status. Fails the check otherwise."""
    expect(answer.status == status, f"status {status}", answer, f"GET {answer.url}")
    return answer


def shown(value: Any) -> str:
    """A piece of JSON as evidence."""
    return json.dumps(value, ensure_ascii=False)


@probe(API)
async def SOCKET(wire: Wire) -> Conversation:
    """A handshake and the first message."""
    return await wire.websocket("/ws/", messages=1)


def redis_info(seen: Evidence) -> dict[str, str]:
    """Read what INFO answered. Fails the check when that is no text."""
    answer = seen[REDIS][1]
    if not isinstance(answer, str):
        fail("an answer to INFO", answer)
    rows = (line.partition(":") for line in answer.splitlines() if ":" in line)
    return {name: value for name, _, value in rows}


def prometheus_data(seen: Evidence, probe: Any) -> Any:
    """Read `data` of an answer of Prometheus' API. Fails the check without success."""
    body = body_of(ok(seen[probe]))
    expect(body.get("status") == "success", "status success", shown(body)[:300])
    return body["data"]


def expect_clock(seen: Evidence, skew: float | None, text: str) -> None:
    """Fail the check unless a clock that said `text` is right; `skew` in seconds."""
    # The Date header has whole seconds, and the gathering itself takes time.
    expect(
        skew is not None and -CLOCK_SECONDS - seen.seconds - 1 < skew < CLOCK_SECONDS,
        f"a clock within {CLOCK_SECONDS:g} s of this machine's",
        f"{skew:+.1f} s: {text}" if skew is not None else shown(text),
    )
