"""The engine during this stage: made to trade when that is wanted, and put back to rest after."""

from collections.abc import Iterator
from contextlib import contextmanager

from gate.checks import expect
from gate.operator import Operator

PRESET = "contract-stage"
LOOKBACK = 5
EAGER = {
    "description": "of the contract stage: trades at the first breakout",
    "max_positions": 20,
    "lookback": LOOKBACK,
    "stop_percent": 50,
    "daily_loss_limit_r": 100,
    "cooldown_seconds": 0,
}
SYMBOL = "BTCUSDT"
WAYS = {
    "IDLE": (),
    "RUNNING": ("start",),
    "PAUSED": ("start", "pause"),
    "EMERGENCY": ("emergency-stop",),
}
"""state → commands that lead there from IDLE."""
WAY_BACK = {"RUNNING": "stop", "PAUSED": "stop", "EMERGENCY": "reset"}
NEEDED_STATE = {
    "POST /api/engine/start": "IDLE",
    "POST /api/engine/stop": "RUNNING",
    "POST /api/engine/pause": "RUNNING",
    "POST /api/engine/resume": "PAUSED",
    "POST /api/engine/reset": "EMERGENCY",
}
"""Where the engine has to be for an operation to do its work; elsewhere it answers 409."""
REST_SECONDS = 15.0


def to_idle(operator: Operator) -> None:
    """Lead the engine back to IDLE. Fails the check when it does not get there."""
    operator.until(lambda: _one_step_back(operator), REST_SECONDS, "the engine back in IDLE")


def to_state(operator: Operator, state: str) -> None:
    """Lead the engine to a state, with the preset of `put_preset` where it has to start.

    Fails the check when a command on the way is refused.
    """
    if operator.state() == state:
        return
    to_idle(operator)
    for command in WAYS[state]:
        # Under the stage's own preset: a day's losses end the others' trading sooner.
        body = {"preset": PRESET} if command == "start" else {}
        answer = operator.command(command, **body)
        expect(answer.status == 200, f"{command} to lead to {state}", answer.brief)


def lead_to(operator: Operator, label: str) -> None:
    """Lead the engine to where an operation does its work; fails the check as `to_state` does."""
    if label in NEEDED_STATE:
        to_state(operator, NEEDED_STATE[label])


def put_preset(operator: Operator) -> None:
    """Bring in the preset that this stage trades with. Fails the check when it is refused."""
    answer = operator.http(f"/api/presets/{PRESET}", method="PUT", json=EAGER)
    expect(answer.status == 200, "the preset to be taken", answer.brief)


def _one_step_back(operator: Operator) -> bool:
    state = operator.state()
    if state in WAY_BACK:
        operator.command(WAY_BACK[state])
    return state == "IDLE"


@contextmanager
def at_rest(operator: Operator) -> Iterator[None]:
    """An eager preset and an engine in IDLE before, and IDLE without drills after."""
    to_idle(operator)
    put_preset(operator)
    try:
        yield
    finally:
        operator.http("/drills", "exchange", "DELETE")
        to_idle(operator)


def jump(operator: Operator, percent: float) -> str:
    """Move one price at once so far above what it was lately that the next look finds a breakout.

    Above all candles that the preset looks back at, whatever moved them; returns the symbol.
    """
    candles = _candles(operator)
    wanted = max(one["high"] for one in candles) * (1 + percent / 100)
    move = (wanted / candles[-1]["close"] - 1) * 100
    operator.http("/drills", "exchange", "PUT", json={"moves": {SYMBOL: move}})
    moved = wanted / (1 + percent / 200)
    there = f"the price of {SYMBOL} to jump"
    operator.until(lambda: _candles(operator)[-1]["close"] > moved, 5, there)
    return SYMBOL


def _candles(operator: Operator) -> list[dict[str, float]]:
    """The last one is open; its close is what a scan looks at, one tick behind the price."""
    path = f"/candles/{SYMBOL}?limit={LOOKBACK + 1}"
    return list(operator.json(path, "exchange")["candles"])
