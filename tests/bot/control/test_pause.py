"""Pause opens nothing and still closes."""

from gate.checks import check
from gate.operator import API, Operator
from tests.bot.control.engine import expect_state, hold, run
from tests.bot.control.test_commands import QUIET_SECONDS
from tests.bot.control.witness import Witness

NEEDS = ("disposable", "proxy", API, "direct:exchange")
EXIT_SECONDS = 8.0
"""A few cycles: seeing the price, selling, writing it down."""


@check(
    API,
    cause="entries look at something else than the state, so that a paused engine buys",
    fix="enter in the state RUNNING only, asked again before each order (Engine._may_enter)",
    needs=NEEDS,
)
def test_paused_opens_nothing(operator: Operator, witness: Witness) -> None:
    hold(operator, witness, "BTCUSDT")
    operator.command("pause")
    witness.expect_no_entry(["SOLUSDT", "ADAUSDT"], QUIET_SECONDS, "while paused")
    operator.command("resume")
    witness.entered("LTCUSDT")


@check(
    API,
    cause="pause stops the whole loop: nobody watches the stops of what is held",
    fix="skip only the entries while PAUSED; exits go on (Engine._cycle)",
    needs=NEEDS,
)
def test_paused_still_closes(operator: Operator, witness: Witness) -> None:
    hold(operator, witness, "BTCUSDT", "ETHUSDT")
    operator.command("pause")
    before = witness.mark()
    witness.move({"BTCUSDT": 15, "ETHUSDT": -8})
    expect_closed(operator, witness, before, "BTCUSDT", "ETHUSDT")
    expect_state(operator, "PAUSED", "after them")


@check(
    API,
    cause="what is held is no longer watched: stops and targets are never reached",
    fix="look for errors of `exits` in the log of the API (Desk.exits)",
    needs=NEEDS,
)
def test_running_closes_at_stop_and_target(operator: Operator, witness: Witness) -> None:
    run(operator, witness)
    witness.entered("LTCUSDT", "DOTUSDT")
    before = witness.mark()
    witness.move({"LTCUSDT": 15, "DOTUSDT": -8})
    expect_closed(operator, witness, before, "LTCUSDT", "DOTUSDT")


@check(
    API,
    cause="a sale that is refused ends the round: the stops of all positions behind it wait",
    fix="go on with the others after a refusal, and try again in the next cycle (Desk.exits)",
    needs=NEEDS,
)
def test_a_halted_market_keeps_no_other_from_its_stop(operator: Operator, witness: Witness) -> None:
    run(operator, witness)
    bought = [order["symbol"] for order in witness.entered("SOLUSDT", "ADAUSDT")]
    first, *others = bought  # in the order in which they are looked at
    before = witness.mark()
    witness.drill(halted=[first])
    witness.move(dict.fromkeys(bought, -8))
    expect_closed(operator, witness, before, *others)
    witness.calm()
    expect_closed(operator, witness, before, first)


def expect_closed(
    operator: Operator,
    witness: Witness,
    after: int,
    *symbols: str,
    seconds: float = EXIT_SECONDS,
) -> None:
    """Fails the check unless each symbol is sold soon, counted from a line of the exchange's log.

    Not judged by what is held: a price beyond its target is a breakout too, and bought again.
    """
    operator.until(
        lambda: {order["symbol"] for order in witness.closings(after)},
        seconds,
        f"what reached its target or its stop closed ({', '.join(symbols)})",
        lambda sold: sold >= set(symbols),
    )
