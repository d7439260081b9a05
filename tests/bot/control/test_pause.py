"""Pause opens nothing and still closes."""

from gate import Operator
from tests.bot.api import Engine
from tests.bot.control.engine import check_api, hold, run
from tests.bot.exchange import QUIET_SECONDS, Exchange


@check_api(
    cause="entries look at something else than the state, so that a paused engine buys",
    fix="stop rather than pause until a release opens nothing while it is paused",
)
def test_paused_opens_nothing(operator: Operator, exchange: Exchange) -> None:
    hold(operator, exchange, "BTCUSDT")
    Engine(operator).command("pause")
    exchange.expect_no_entry(["SOLUSDT", "ADAUSDT"], QUIET_SECONDS, "while paused")
    Engine(operator).command("resume")
    exchange.entered("LTCUSDT")


@check_api(
    cause="pause stops the whole loop: nobody watches the stops of what is held",
    fix="do not pause with positions open: close them at the exchange, or resume",
)
def test_paused_still_closes(operator: Operator, exchange: Exchange) -> None:
    hold(operator, exchange, "BTCUSDT", "ETHUSDT")
    Engine(operator).command("pause")
    before = exchange.mark()
    exchange.move({"BTCUSDT": 15, "ETHUSDT": -8})
    exchange.expect_closed(before, "BTCUSDT", "ETHUSDT")
    Engine(operator).expect_state("PAUSED", "after them")


@check_api(
    cause="what is held is no longer watched: stops and targets are never reached",
    fix="close what is past its stop at the exchange; look for errors of `exits` in the API's log",
)
def test_running_closes_at_stop_and_target(operator: Operator, exchange: Exchange) -> None:
    run(operator, exchange)
    exchange.entered("LTCUSDT", "DOTUSDT")
    before = exchange.mark()
    exchange.move({"LTCUSDT": 15, "DOTUSDT": -8})
    exchange.expect_closed(before, "LTCUSDT", "DOTUSDT")


@check_api(
    cause="a sale that is refused ends the round: the stops of all positions behind it wait",
    fix="close the others at the exchange; look for the refused order in the API's log",
)
def test_a_halted_market_keeps_no_other_from_its_stop(
    operator: Operator, exchange: Exchange
) -> None:
    run(operator, exchange)
    bought = [order["symbol"] for order in exchange.entered("SOLUSDT", "ADAUSDT")]
    first, *others = bought  # in the order in which they are looked at
    before = exchange.mark()
    exchange.drill(halted=[first])
    exchange.move(dict.fromkeys(bought, -8))
    exchange.expect_closed(before, *others)
    exchange.end_drills()
    exchange.expect_closed(before, first)
