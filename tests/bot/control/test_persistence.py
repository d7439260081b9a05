"""What is kept outlives its container: killed, or made anew, each service has its data again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gate import Operator, check, expect
from gate.model import model
from gate.operator import API
from tests.bot.api import Engine
from tests.bot.exchange import OTHERS, Exchange

NEEDS = ("disposable", "proxy", API, "direct:exchange", "stack")
PAGE = model().name("page")
SENTINEL = "gate:sentinel"
SILENCED = {"name": "alertname", "value": "GateSentinel", "isRegex": False, "isEqual": True}
SILENCE_SECONDS = 600
AGAIN_SECONDS = 20.0
UP = ("up", "--detach", "--no-deps", "--no-build", "--pull", "never", "--force-recreate")

Look = Callable[[], Any]
"""Reads a sentinel back; true when it is still there."""


def in_redis(operator: Operator, _: Exchange) -> Look:
    value = str(time.monotonic_ns())
    # Redis writes once a second; it says when the value is on the disk.
    operator.redis(("SET", SENTINEL, value), ("WAITAOF", "1", "0", "5000"))
    return lambda: operator.redis(("GET", SENTINEL))[0] in (value, value.encode())


def in_api(operator: Operator, _: Exchange) -> Look:
    text = f"kept since {time.monotonic_ns()}"
    path = "/api/presets/gate-sentinel"
    operator.http(path, method="PUT", json={"description": text})
    return lambda: operator.json(path)["description"] == text


def in_exchange(_: Operator, exchange: Exchange) -> Look:
    order, last = exchange.rest(OTHERS, "ADAUSDT"), exchange.mark()
    return lambda: order in exchange.orders(OTHERS) and exchange.mark() >= last


def in_prometheus(operator: Operator, _: Exchange) -> Look:
    """A sample of the past: asked for at a moment before the container went."""
    path, service = f"/api/v1/query?query=up&time={time.time():.3f}", "prometheus"

    def look() -> bool:
        return bool(operator.json(path, service)["data"]["result"])

    operator.until(look, AGAIN_SECONDS, "a first sample")
    return look


def in_alertmanager(operator: Operator, _: Exchange) -> Look:
    now = datetime.now(UTC)
    silence = {
        "matchers": [SILENCED],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(seconds=SILENCE_SECONDS)).isoformat(),
        "createdBy": "the gate",
        "comment": "shows that silences are kept",
    }
    answer = operator.http("/api/v2/silences", "alertmanager", "POST", json=silence)
    expect(answer.status == 200, "the silence to be taken", answer.brief)
    path = f"/api/v2/silence/{answer.json()['silenceID']}"
    return lambda: operator.json(path, "alertmanager")["comment"] == silence["comment"]


def in_proxy(operator: Operator, _: Exchange) -> Look:
    """The certificate: of the same CA as before, which clients have been told to trust."""
    return lambda: operator.run(lambda wire: wire.certificate()).trusted


SENTINELS = {
    API: in_api,
    "redis": in_redis,
    "exchange": in_exchange,
    "prometheus": in_prometheus,
    "alertmanager": in_alertmanager,
    "proxy": in_proxy,
}
CRASH_SAFE = (API, "redis", "exchange", "prometheus")
"""Who writes down at once; the others do so when they end."""


def expect_kept(operator: Operator, look: Look, service: str, how: str) -> None:
    """Fails the check unless the data is there again, and the stack is well."""
    operator.until(look, AGAIN_SECONDS, f"what was kept before {service} was {how}")
    Engine(operator).wait_until_connected()


@pytest.mark.parametrize("service", CRASH_SAFE)
@check(
    "{service}",
    cause="{service} keeps its data in memory and writes it down when it ends in peace, if ever",
    fix="restore the last backup; then look at how {service} writes (WAL, append-only file)",
    needs=(*NEEDS, "{service}"),
)
def test_killed_service_has_its_data(operator: Operator, exchange: Exchange, service: str) -> None:
    look = SENTINELS[service](operator, exchange)
    operator.docker("kill", operator.container(service))
    operator.docker("start", operator.container(service))
    expect_kept(operator, look, service, "killed")


@pytest.mark.parametrize("service", list(SENTINELS))
@check(
    "{service}",
    cause="{service} keeps its data in the container, not in a named volume, or elsewhere in it",
    fix="restore the last backup; mount a named volume of compose.yaml where {service} writes",
    needs=(*NEEDS, "{service}"),
)
def test_recreated_service_has_its_data(
    operator: Operator, exchange: Exchange, service: str
) -> None:
    look = SENTINELS[service](operator, exchange)
    operator.compose(*UP, service)
    expect_kept(operator, look, service, "made anew")


@check(
    PAGE,
    cause="the page takes long to start, or the proxy keeps the address of the one that is gone",
    fix="serve a page that is built; let nginx ask the resolver again (a variable in proxy_pass)",
    needs=(*NEEDS, PAGE, f"direct:{PAGE}"),
)
def test_recreated_page_is_served(operator: Operator) -> None:
    with taken_address(operator, PAGE):
        operator.compose(*UP, PAGE)
    served = "the page again", lambda page: page.status == 200
    operator.until(lambda: operator.http("/", PAGE), AGAIN_SECONDS, *served)
    operator.until(lambda: operator.http("/"), AGAIN_SECONDS, *served, component="proxy")


@contextmanager
def taken_address(operator: Operator, service: str) -> Iterator[None]:
    """Let a service end and somebody else have its address: Docker hands it out again at once."""
    front, other = f"{operator.stack.project}_front", operator.container("redis")
    operator.docker("stop", operator.container(service))
    operator.docker("network", "connect", front, other)
    try:
        yield
    finally:
        operator.docker("network", "disconnect", front, other)
