"""SIGTERM: every service ends in time, the API with its requests done and its lease given up."""

import asyncio
import time
from collections.abc import Callable

import pytest

from gate import Operator, check, expect
from gate.containers import Container, containers
from gate.model import model
from gate.operator import API, KEY_HEADER
from gate.wait import wait_until_async
from gate.wire import Answer, Conversation, Wire
from tests.bot.api import Engine
from tests.bot.control.engine import hold, restart_api
from tests.bot.exchange import Exchange

NEEDS = ("disposable", "proxy", "project", "stack")
SERVICES = (API, "exchange", "redis", "prometheus", "alertmanager", "proxy", model().name("page"))
END_SECONDS = 10.0
KILL_SECONDS = 12
"""When Docker kills what has not ended: later than that, so that the two can be told apart."""
LISTENERS = 5
LISTEN_SECONDS = 20.0
SLOW = 1000
"""Milliseconds for each call to the exchange: a scan is still under way when the signal arrives."""
CONNECT_SECONDS = 5.0
TAKE_UP_SECONDS = {"restart": 5.0, "kill": 20.0}
"""Until positions are watched again: at once when the lease was given up, else after its TTL."""


def stop(operator: Operator, service: str) -> float:
    """Tell a service to end; how many seconds that took."""
    began = time.monotonic()
    operator.docker("stop", "--time", str(KILL_SECONDS), operator.container(service))
    return time.monotonic() - began


def expect_ended(operator: Operator, service: str, seconds: float) -> None:
    """Fails the check unless a stopped service ended by itself, with 0 and in time."""

    async def find(wire: Wire) -> Container:
        return (await containers(wire, operator.stack.project))[model().name(service)]

    code = operator.run(find).exit_code
    expect(code == 0, "exit code 0 after SIGTERM", f"{code} after {seconds:.1f} s")
    expect(seconds < END_SECONDS, f"an end within {END_SECONDS:g} s", f"{seconds:.1f} s")


@pytest.mark.parametrize("service", SERVICES)
@check(
    "{service}",
    cause="SIGTERM does not reach the program (a shell stands before it), or it does not heed it",
    fix="exec the program in the image's command, and let it end in {service} on SIGTERM",
    needs=(*NEEDS, "{service}"),
)
def test_ends_when_told(operator: Operator, service: str) -> None:
    seconds = stop(operator, service)
    try:
        expect_ended(operator, service, seconds)
    finally:
        operator.docker("start", operator.container(service))
        Engine(operator).wait_until_connected()


@check(
    API,
    cause="the server waits for its WebSocket clients to leave",
    fix="`docker stop --time 30`, and close open pages first; stop_grace_period must"
    " outlast the wait",
    needs=(*NEEDS, API, f"direct:{API}"),
)
def test_api_ends_with_websockets_connected(operator: Operator) -> None:
    try:
        seconds, talks = operator.run(lambda wire: ended_while_talking(operator, wire))
        silent = [talk.status for talk in talks if not talk.messages]
        expect(not silent, f"{LISTENERS} WebSockets that hear something", f"{silent} did not")
        expect_ended(operator, API, seconds)
    finally:
        operator.docker("start", operator.container(API))
        Engine(operator).wait_until_connected()


async def ended_while_talking(operator: Operator, wire: Wire) -> tuple[float, list[Conversation]]:
    """Stop the API once WebSockets are connected; the seconds it took, and what they heard."""
    listen = (wire.websocket("/ws/", 10_000, LISTEN_SECONDS) for _ in range(LISTENERS))
    talks = [asyncio.create_task(one) for one in listen]
    await until(wire, "/api/metrics", lambda seen: clients(seen.text) >= LISTENERS)
    seconds = await asyncio.to_thread(stop, operator, API)
    return seconds, await asyncio.gather(*talks)


def clients(metrics: str) -> float:
    """How many WebSocket clients the API says it has."""
    name = "breakout_bot_websocket_clients "
    rows = [row for row in metrics.splitlines() if row.startswith(name)]
    return float(rows[0].removeprefix(name)) if rows else 0.0


async def until(wire: Wire, path: str, holds: Callable[[Answer], bool]) -> None:
    """Wait until the API's answer is as wanted. Raises `WaitError`."""
    await wait_until_async(lambda: wire.http(path, API), CONNECT_SECONDS, "its answer", holds)


@check(
    API,
    cause="the server closes its connections at SIGTERM, with requests under way",
    fix="take the API out of the proxy before it is stopped, as `compose/update.sh` does",
    needs=(*NEEDS, API, f"direct:{API}", "direct:exchange"),
)
def test_api_finishes_requests_under_way(operator: Operator, exchange: Exchange) -> None:
    headers = {KEY_HEADER: operator.credentials.api_key or ""}

    async def stopped_while_scanning(wire: Wire) -> Answer:
        scan = asyncio.create_task(wire.http("/api/scanner/scan", method="POST", headers=headers))
        await until(wire, "/api/scanner/status", lambda seen: bool(seen.json()["running"]))
        await asyncio.to_thread(stop, operator, API)
        return await scan

    exchange.drill(latency_ms=SLOW)
    try:
        answer = operator.run(stopped_while_scanning)
    finally:
        exchange.end_drills()
        operator.docker("start", operator.container(API))
        Engine(operator).wait_until_connected()
    expect(answer.status == 200, "200 for a request that was under way", answer.brief)


@pytest.mark.parametrize("how", list(TAKE_UP_SECONDS))
@check(
    API,
    cause="a restart forgets the positions, the state, or to give the lease up",
    fix="close by hand at the exchange; look at the API's log of its start, and at the data volume",
    needs=(*NEEDS, API, "direct:exchange"),
)
def test_takes_its_positions_up_again(operator: Operator, exchange: Exchange, how: str) -> None:
    hold(operator, exchange, "BTCUSDT")
    restart_api(operator, how)
    Engine(operator).expect_state("RUNNING", f"after a {how}")
    before = exchange.mark()
    exchange.move({"BTCUSDT": -8})
    exchange.expect_closed(before, "BTCUSDT", seconds=TAKE_UP_SECONDS[how])
