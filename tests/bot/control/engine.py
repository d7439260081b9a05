"""Brings the engine, the API and its dependencies where a control check wants them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from contracts.states import way
from gate import Operator, check, expect
from gate.operator import API
from tests.bot.api import RECOVER_SECONDS, Engine
from tests.bot.exchange import Exchange

NEEDS = ("disposable", "proxy", API, "direct:exchange")
check_api = partial(check, API, needs=NEEDS)
"""Marks a check of what the engine does, as its exchange sees it."""
PRESET = "gate-control"
NUMBERS: dict[str, Any] = {
    "description": "what the checks of the control stage trade by",
    "max_positions": 10,
    "lookback": 250,
    "stop_percent": 5,
    "target_r": 2,
    "risk_usd": 50,
    "daily_loss_limit_r": 100,
    "cooldown_seconds": 0,
}
"""A long look back, so that hardly any breakout is chance; slots for all; no limit in the way."""
AWAY = {
    # Signals, not `docker pause`: the kernel refuses to freeze a group of a busy machine at times.
    "freeze": (("kill", "--signal", "STOP"), ("kill", "--signal", "CONT")),
    "stop": (("stop",), ("start",)),
}
REST_SECONDS = 5.0


def run(operator: Operator, exchange: Exchange, **numbers: Any) -> None:
    """Start the engine with the checks' own preset; `numbers` replace some of its own.

    No symbol stands near a breakout then, so that only the check's own are bought.
    """
    engine = Engine(operator)
    exchange.move_below_breakout()
    engine.put_preset(PRESET, {**NUMBERS, **numbers})
    started = engine.command("start", preset=PRESET)
    expect(started.status == 200, "start to answer 200", started.brief)


def hold(operator: Operator, exchange: Exchange, *symbols: str, **numbers: Any) -> None:
    """Start the engine and let it buy each symbol."""
    run(operator, exchange, **numbers)
    exchange.entered(*symbols)


def restart_api(operator: Operator, how: str) -> None:
    """Let the API end, told to ("restart") or not ("kill"), and run again."""
    name = operator.container(API)
    if how == "kill":
        operator.docker("kill", name)
        operator.docker("start", name)
    else:
        operator.docker("restart", name)
    Engine(operator).wait_until_connected()


@contextmanager
def away(operator: Operator, service: str, verb: str) -> Iterator[None]:
    """Stop or freeze a service meanwhile; it is well again afterwards."""
    go, back = AWAY[verb]
    operator.docker(*go, operator.container(service))
    try:
        yield
    finally:
        operator.docker(*back, operator.container(service))
        Engine(operator).wait_until_connected()


@contextmanager
def frozen(operator: Operator, container: str) -> Iterator[None]:
    """Let a container stand still meanwhile."""
    go, back = AWAY["freeze"]
    operator.docker(*go, container)
    try:
        yield
    finally:
        operator.docker(*back, container)


def at_rest(operator: Operator, exchange: Exchange) -> None:
    """Bring the engine to IDLE and the exchange to rest, with nothing of ours held there.

    What the engine leaves open is closed at the exchange: that it did is for the checks to find.
    """
    engine = Engine(operator)
    exchange.end_drills()
    state = operator.until(engine.state, RECOVER_SECONDS, "an engine that answers")
    for command in way(state, "IDLE"):
        engine.command(command)
    operator.until(engine.state, REST_SECONDS, "state IDLE", lambda state: state == "IDLE")
    if not exchange.flat():
        exchange.flatten()
