"""The engine during this stage: made to trade when that is wanted, and put back to rest after."""

from collections.abc import Iterator
from contextlib import contextmanager

from gate import Operator
from tests.bot.api import Engine
from tests.bot.exchange import Exchange

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
    Engine(operator).to_idle(REST_SECONDS)


def to_state(operator: Operator, state: str) -> None:
    """Lead the engine to a state by way of IDLE, with the preset of `put_preset`.

    Fails the check when a command on the way is refused.
    """
    engine = Engine(operator)
    if engine.state() != state:
        to_idle(operator)
        # Under the stage's own preset: a day's losses end the others' trading sooner.
        engine.lead_to(state, PRESET)


def lead_to(operator: Operator, label: str) -> None:
    """Lead the engine to where an operation does its work; fails the check as `to_state` does."""
    if label in NEEDED_STATE:
        to_state(operator, NEEDED_STATE[label])


def put_preset(operator: Operator) -> None:
    """Bring in the preset that this stage trades with. Fails the check when it is refused."""
    Engine(operator).put_preset(PRESET, EAGER)


@contextmanager
def at_rest(operator: Operator) -> Iterator[None]:
    """Give an eager preset and an engine in IDLE before, and IDLE without drills after."""
    to_idle(operator)
    put_preset(operator)
    try:
        yield
    finally:
        Exchange(operator).end_drills()
        to_idle(operator)


def jump(operator: Operator, percent: float) -> str:
    """Move one price at once so far above what it was lately that the next look finds a breakout.

    Above all candles that the preset looks back at, whatever moved them; returns the symbol.
    """
    exchange = Exchange(operator)

    def candles() -> list[dict[str, float]]:
        """The last one is open; a scan looks at its close, which is one tick behind the price."""
        return exchange.candles(SYMBOL, LOOKBACK + 1)

    before = candles()
    wanted = max(one["high"] for one in before) * (1 + percent / 100)
    exchange.drill(moves={SYMBOL: (wanted / before[-1]["close"] - 1) * 100})
    moved = wanted / (1 + percent / 200)
    there = f"the price of {SYMBOL} to jump"
    operator.until(lambda: candles()[-1]["close"] > moved, 5, there)
    return SYMBOL
