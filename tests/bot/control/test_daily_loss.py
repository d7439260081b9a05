"""A daily loss beyond the limit ends trading by itself, and is not forgotten."""

from gate import Operator, expect
from tests.bot.api import Engine
from tests.bot.control.engine import NEEDS, NUMBERS, check_api, hold, restart_api
from tests.bot.exchange import EXIT_SECONDS, QUIET_SECONDS, Exchange

LEAST_R = 0.5
CLEARLY_R = 0.5


@check_api(
    cause="the loss of the day is not added up, or nothing watches the limit of the preset",
    fix="emergency stop by hand; compare dailyR in /api/engine/status with the preset's"
    " daily_loss_limit_r",
)
def test_leads_to_emergency_by_itself(operator: Operator, exchange: Exchange) -> None:
    today = float(Engine(operator).status()["dailyR"])
    limit = max(LEAST_R, LEAST_R - today)
    hold(operator, exchange, "BTCUSDT", "ETHUSDT", daily_loss_limit_r=limit)
    exchange.move({"BTCUSDT": -NUMBERS["stop_percent"] * max(1.2, today + limit + CLEARLY_R)})
    what = f"state EMERGENCY after losing more than {limit:g} R"
    operator.until(Engine(operator).state, EXIT_SECONDS, what, lambda state: state == "EMERGENCY")
    operator.until(exchange.flat, EXIT_SECONDS, "nothing of ours open after it")
    exchange.expect_no_entry(["SOLUSDT"], QUIET_SECONDS, "after the daily loss")


@check_api(
    cause="the loss of the day is kept in memory: a restart gives the engine a new limit",
    fix="do not restart after losses; compare dailyR with /api/performance/metrics",
    needs=(*NEEDS, "stack"),
)
def test_is_remembered_over_a_restart(operator: Operator, exchange: Exchange) -> None:
    before = Engine(operator).status()["dailyR"]
    hold(operator, exchange, "BTCUSDT")
    sold_after = exchange.mark()
    exchange.move({"BTCUSDT": -1.5 * NUMBERS["stop_percent"]})
    exchange.expect_closed(sold_after, "BTCUSDT")
    lost = operator.until(
        lambda: Engine(operator).status()["dailyR"],
        EXIT_SECONDS,
        "a loss",
        lambda now: now < before,
    )
    restart_api(operator, "kill")
    after = Engine(operator).status()["dailyR"]
    expect(after == lost, f"dailyR {lost} after a kill -9", after)
