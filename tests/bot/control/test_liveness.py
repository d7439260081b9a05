"""The engine lives: seen by what it does to prices that move, not by what it says."""

import asyncio

from gate import Operator, expect
from gate.wire import Answer, Wire
from tests.bot.api import Engine
from tests.bot.control.engine import check_api, run
from tests.bot.exchange import Exchange

CYCLES = 3
CYCLE_SECONDS = 8.0
FRESH_SECONDS = 3.0
NOTICE_SECONDS = 5.0
"""Until health says what has happened: its look is kept for a moment, and has a time limit."""
JUMP = 1.03
PROBES, PROBE_SECONDS = 80, 0.1
"""Over several cycles, each probe sent in its time whatever became of those before it."""
SLOW_SECONDS, SLOW_SHARE = 0.3, 0.1


def connected(operator: Operator, what: str) -> bool:
    """Whether the API says that it reaches a dependency."""
    return bool(Engine(operator).health()["api_connectivity"][what] == "connected")


@check_api(
    cause="the loop has ended, hangs in a step, or counts something else than cycles",
    fix="look for the last cycle in the API's log, then restart its container",
)
def test_cycles_go_on(operator: Operator) -> None:
    first = operator.json("/api/engine/metrics")["cycleCount"]
    operator.until(
        lambda: operator.json("/api/engine/metrics")["cycleCount"] - first,
        CYCLE_SECONDS,
        f"{CYCLES} cycles more than {first}",
        lambda more: more >= CYCLES,
    )


@check_api(
    cause="the state is RUNNING and the heartbeat fresh, while nothing trades: the loop is dead",
    fix="restart the API's container; compare cycleCount in /api/engine/metrics before and after",
)
def test_running_means_trading(operator: Operator, exchange: Exchange) -> None:
    run(operator, exchange)
    exchange.entered("BTCUSDT")


@check_api(
    cause="a cycle does blocking work on the event loop, so that all requests wait for it",
    fix="see the cycle's duration in /api/metrics; look for a slow disk, Redis or exchange",
)
def test_answers_while_it_trades(operator: Operator, exchange: Exchange) -> None:
    async def probes(wire: Wire) -> list[Answer]:
        async def probe(number: int) -> Answer:
            await asyncio.sleep(number * PROBE_SECONDS)
            return await wire.http("/api/engine/status")

        return await asyncio.gather(*(probe(number) for number in range(PROBES)))

    run(operator, exchange)
    slow = [one.seconds for one in operator.run(probes) if one.seconds > SLOW_SECONDS]
    few = f"at most {SLOW_SHARE:.0%} of {PROBES} answers after more than {SLOW_SECONDS:g} s"
    expect(
        len(slow) <= SLOW_SHARE * PROBES, few, f"{len(slow)}, up to {max(slow, default=0):.2f} s"
    )


@check_api(
    cause="candles are cached, or come from somewhere else than the exchange",
    fix="compare /api/charts/candles/BTCUSDT with /candles/BTCUSDT of the exchange",
)
def test_candles_are_fresh(operator: Operator, exchange: Exchange) -> None:
    before = exchange.prices()["LINKUSDT"]
    exchange.move({"LINKUSDT": (JUMP - 1) * 100})

    def close() -> float:
        return float(operator.json("/api/charts/candles/LINKUSDT")["candles"][-1]["close"])

    halfway = before * (1 + JUMP) / 2
    what = f"a close near {before * JUMP:.4f} after a jump from {before:.4f}"
    operator.until(close, FRESH_SECONDS, what, lambda seen: seen > halfway)


@check_api(
    cause="the age of the market data is the age of the last request, not of the last change",
    fix="trust no market_data_age_seconds until then: compare prices with the exchange's",
)
def test_a_frozen_feed_is_seen(operator: Operator, exchange: Exchange) -> None:
    expect_fresh(operator)
    exchange.drill(freeze_feed=True)
    expect_ageing(operator)
    exchange.end_drills()
    expect_fresh(operator)


def expect_fresh(operator: Operator) -> None:
    """Fails the check unless market data is, or soon becomes, fresh."""
    what = "fresh market data"
    operator.until(lambda: age(operator), NOTICE_SECONDS, what, lambda seen: seen < FRESH_SECONDS)


def expect_ageing(operator: Operator) -> None:
    """Fails the check unless market data gets old."""
    limit, what = FRESH_SECONDS + NOTICE_SECONDS, "an age that grows"
    operator.until(lambda: age(operator), limit, what, lambda seen: seen > FRESH_SECONDS)


def age(operator: Operator) -> float:
    """Seconds since market data last moved, as health has it."""
    return float(Engine(operator).health()["market_data_age_seconds"])


@check_api(
    cause="the connection to the exchange is not made anew, or the loop died of its loss",
    fix="restart the API's container after each time that the exchange was away",
)
def test_trades_again_after_the_exchange_was_cut_off(
    operator: Operator, exchange: Exchange
) -> None:
    run(operator, exchange)
    exchange.drill(cut=True)
    what = "health to say that the exchange is disconnected"
    operator.until(lambda: not connected(operator, "exchange"), NOTICE_SECONDS, what)
    Engine(operator).expect_state("RUNNING", "while the exchange is cut off")
    expect_ageing(operator)  # health has met the cut; so has the engine's loop then
    exchange.end_drills()
    what = "health to say that the exchange is connected again"
    operator.until(lambda: connected(operator, "exchange"), NOTICE_SECONDS, what)
    exchange.entered("BTCUSDT")
