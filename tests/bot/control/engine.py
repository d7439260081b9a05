"""Ways to bring the engine where a check wants it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gate.checks import expect
from gate.operator import API, Operator
from tests.bot.control.witness import Witness

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
REPORT = "a health report of the API"
LEAVE = {"EMERGENCY": "reset", "RUNNING": "stop", "PAUSED": "stop"}
REST_SECONDS = 5.0
RECOVER_SECONDS = 20.0


def run(operator: Operator, witness: Witness, **numbers: Any) -> None:
    """Start the engine with the checks' own preset; `numbers` replace some of its own.

    No symbol stands near a breakout then, so that only the check's own are bought.
    """
    witness.sink()
    preset = operator.http(f"/api/presets/{PRESET}", method="PUT", json={**NUMBERS, **numbers})
    expect(preset.status == 200, "the preset to be saved", preset.brief)
    started = operator.command("start", preset=PRESET)
    expect(started.status == 200, "start to answer 200", started.brief)


def hold(operator: Operator, witness: Witness, *symbols: str, **numbers: Any) -> None:
    """Start the engine and let it buy each symbol."""
    run(operator, witness, **numbers)
    witness.entered(*symbols)


def bounce(operator: Operator, how: str) -> None:
    """Let the API end, told to ("restart") or not ("kill"), and run again."""
    name = operator.container(API)
    if how == "kill":
        operator.docker("kill", name)
        operator.docker("start", name)
    else:
        operator.docker("restart", name)
    recovered(operator)


def recovered(operator: Operator) -> None:
    """Wait until the API reaches all it depends on. Fails the check when that takes too long."""
    operator.until(
        lambda: health(operator)["api_connectivity"],
        RECOVER_SECONDS,
        "health to say that everything is connected again",
        lambda found: set(found.values()) == {"connected"},
    )


@contextmanager
def away(operator: Operator, service: str, verb: str) -> Iterator[None]:
    """A service that is stopped or frozen meanwhile, and well again afterwards."""
    go, back = AWAY[verb]
    operator.docker(*go, operator.container(service))
    try:
        yield
    finally:
        operator.docker(*back, operator.container(service))
        recovered(operator)


@contextmanager
def frozen(operator: Operator, container: str) -> Iterator[None]:
    """A container that stands still meanwhile."""
    go, back = AWAY["freeze"]
    operator.docker(*go, container)
    try:
        yield
    finally:
        operator.docker(*back, container)


def health(operator: Operator) -> dict[str, Any]:
    """The API's health report, be it good or bad. Fails the check when there is none."""
    answer = operator.http("/api/health")
    expect(answer.status in (200, 503) and "api_connectivity" in answer.text, REPORT, answer.brief)
    return dict(answer.json())


def expect_state(operator: Operator, wanted: str, when: str) -> None:
    """Fails the check unless the engine says it is in this state."""
    seen = operator.state()
    expect(seen == wanted, f"state {wanted} {when}", seen)


def at_rest(operator: Operator, witness: Witness) -> None:
    """Bring the engine to IDLE and the exchange to calm, with nothing of ours held there.

    What the engine leaves open is closed at the exchange: that it did is for the checks to find.
    """
    witness.calm()
    state = operator.until(operator.state, RECOVER_SECONDS, "an engine that answers")
    if state in LEAVE:
        operator.command(LEAVE[state])
    operator.until(operator.state, REST_SECONDS, "state IDLE", lambda state: state == "IDLE")
    if not witness.flat():
        witness.flatten()
