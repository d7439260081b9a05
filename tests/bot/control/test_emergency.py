"""Emergency stop: nothing of ours is left, nobody else's is touched, and it holds until reset."""

import pytest

from gate.checks import check, expect
from gate.operator import API, Operator
from gate.wire import Answer
from tests.bot.control.engine import away, bounce, expect_state, hold, recovered, run
from tests.bot.control.test_commands import QUIET_SECONDS
from tests.bot.control.witness import OTHERS, OURS, Entry, Witness

NEEDS = ("disposable", "proxy", API, "direct:exchange")
STACK = (*NEEDS, "stack")
HELD = ("BTCUSDT", "ETHUSDT")
STOP_SECONDS = 2.0
"""From the command to nothing being left, also while the exchange is slow."""
SLOW = 600
RACE = 300
"""Milliseconds that each call to a slow exchange takes."""
GIVEN_UP_SECONDS = 4.0
"""Until it says what it could not do: one call under way and one of its own time out before."""
FINISH_SECONDS = 10.0


def press(operator: Operator) -> Answer:
    """Give the command; it is always carried out and always answers 200."""
    answer = operator.command("emergency-stop")
    expect(answer.status == 200, "emergency-stop to answer 200", answer.brief)
    expect_state(operator, "EMERGENCY", "after it")
    return answer


def expect_quick(answer: Answer, seconds: float) -> None:
    """Fails the check when the command took too long."""
    took = f"{answer.seconds:.2f} s"
    expect(answer.seconds < seconds, f"an answer within {seconds:g} s", took)


@check(
    API,
    cause="the emergency stop changes the state, and the exchange is not told, or not all of it",
    fix="close by hand at the exchange; then look at Engine.emergency and Desk.liquidate",
    needs=NEEDS,
)
def test_leaves_nothing_of_ours(operator: Operator, witness: Witness) -> None:
    hold(operator, witness, *HELD)
    witness.rest(OURS, "XRPUSDT")
    answer = press(operator)
    witness.expect_flat("once the emergency stop has answered")
    expect_quick(answer, STOP_SECONDS)


@check(
    API,
    cause="it cancels or closes by symbol or altogether, not by the bot's own client id",
    fix="tell the owners of the other account; then name client_id in every call to the exchange",
    needs=NEEDS,
)
def test_leaves_other_clients_alone(operator: Operator, witness: Witness) -> None:
    hold(operator, witness, "BTCUSDT")
    witness.rest(OTHERS, "BTCUSDT")
    witness.buy(OTHERS, "BTCUSDT")
    before = witness.orders(OTHERS), witness.positions(OTHERS)
    press(operator)
    after = witness.orders(OTHERS), witness.positions(OTHERS)
    expect(after == before, f"orders and positions of {OTHERS} as they were", after)


@check(
    API,
    cause="the loop trades on after the emergency stop",
    fix="stop the API's container now; entries may look only at the state (Engine._may_enter)",
    needs=NEEDS,
)
def test_orders_nothing_afterwards(operator: Operator, witness: Witness) -> None:
    hold(operator, witness, "BTCUSDT")
    press(operator)
    after = witness.mark()
    witness.expect_no_entry(["SOLUSDT", "BTCUSDT"], QUIET_SECONDS, "after an emergency stop")
    late = witness.ours(after)
    expect(not late, "no order of ours after an emergency stop", late)


@check(
    API,
    cause="entries under way are sent while, or after, what is held is closed",
    fix="fence the engine's orders off first, and flatten under the lock that entries take",
    needs=NEEDS,
)
def test_entries_do_not_race_it(operator: Operator, witness: Witness) -> None:
    run(operator, witness)
    start = witness.mark()
    witness.drill(latency_ms=RACE)
    every = list(witness.prices())
    witness.break_out(*every)
    operator.until(lambda: witness.openings(start), FINISH_SECONDS, "a first order of many")
    pressed = witness.mark()
    press(operator)
    answered = witness.mark()
    witness.expect_flat("once the emergency stop has answered")
    witness.expect_no_entry(every, QUIET_SECONDS, "after an emergency stop")
    late = entries_after_closing(witness.log(pressed), answered)
    expect(not late, "no entry once closing has begun", late)


def entries_after_closing(log: list[Entry], answered: int) -> list[Entry]:
    """Entries of ours after the first thing that was closed, or after the answer."""
    ours = [line for line in log if line["client_id"] == OURS]
    accepted = [line for line in ours if line["event"] == "order_accepted"]
    closing = [line["seq"] for line in accepted if line["reduce_only"]]
    first = min([*closing, answered])
    return [line for line in accepted if line["seq"] > first and not line["reduce_only"]]


@check(
    API,
    cause="it makes many calls to the exchange one after another, or waits for a whole cycle",
    fix="flatten in one call, and let nothing hold its lock longer than one call",
    needs=NEEDS,
)
def test_is_quick_while_the_exchange_is_slow(operator: Operator, witness: Witness) -> None:
    hold(operator, witness, *HELD)
    witness.rest(OURS, "XRPUSDT")
    witness.drill(latency_ms=SLOW)
    answer = press(operator)
    witness.expect_flat("once the emergency stop has answered")
    expect_quick(answer, STOP_SECONDS)


@pytest.mark.parametrize("drill", ["reject", "cut", "hang"])
@check(
    API,
    cause="it says success, or nothing, where the exchange did not do what it was told",
    fix="close by hand at the exchange; then let liquidate name what is left, and try again",
    needs=NEEDS,
)
def test_names_what_it_cannot_close_and_closes_it_later(
    operator: Operator, witness: Witness, drill: str
) -> None:
    hold(operator, witness, *HELD)
    witness.drill(**{drill: True})
    answer = press(operator)
    body = answer.json()
    expect(not body["success"], "success: false while positions are open", answer.brief)
    unnamed = [symbol for symbol in HELD if symbol not in answer.text]
    expect(not unnamed, f"every position that is left named, also {unnamed}", answer.text)
    expect_quick(answer, GIVEN_UP_SECONDS)
    witness.calm()
    operator.until(witness.flat, FINISH_SECONDS, "nothing of ours open once the exchange is back")
    expect_state(operator, "EMERGENCY", "then")


@check(
    API,
    cause="it ends at the first position that cannot be closed, or does not tell that there is one",
    fix="close by hand at the exchange; then let liquidate go on, and name what is left",
    needs=NEEDS,
)
def test_closes_all_others_while_a_market_is_halted(operator: Operator, witness: Witness) -> None:
    halted, *others = HELD
    hold(operator, witness, *HELD)
    witness.drill(halted=[halted])
    answer = press(operator)
    expect_quick(answer, STOP_SECONDS)
    left = sorted(witness.positions())
    expect(left == [halted], f"nothing open but {halted}, whose market is halted", left)
    failures = str(answer.json().get("failures"))
    expect(not answer.json()["success"], "success: false while a position is open", answer.brief)
    told = halted in failures and not any(symbol in failures for symbol in others)
    expect(told, f"{halted} named as what is left, and nothing else", answer.text)
    witness.calm()
    operator.until(witness.flat, FINISH_SECONDS, "nothing of ours open once it is traded again")
    expect_state(operator, "EMERGENCY", "then")


@check(
    API,
    cause="it waits for Redis before it closes anything",
    fix="close at the exchange first; the lease can be given up later",
    needs=(*STACK, "redis"),
)
def test_does_not_wait_for_redis(operator: Operator, witness: Witness) -> None:
    hold(operator, witness, *HELD)
    with away(operator, "redis", "freeze"):
        answer = operator.command("emergency-stop")
        witness.expect_flat("once the emergency stop has answered, without Redis")
    expect_quick(answer, STOP_SECONDS)
    expect_state(operator, "EMERGENCY", "after it")


@pytest.mark.parametrize("how", ["restart", "kill"])
@check(
    API,
    cause="the emergency is kept in memory, or written down too late",
    fix="keep the engine stopped by hand; write the state to the database before answering",
    needs=STACK,
)
def test_holds_until_reset(operator: Operator, witness: Witness, how: str) -> None:
    hold(operator, witness, "BTCUSDT")
    press(operator)
    bounce(operator, how)
    expect_state(operator, "EMERGENCY", f"after a {how}")
    for command in ("start", "resume"):
        answer = operator.command(command)
        expect(answer.status == 409, f"{command} to answer 409 in an emergency", answer.brief)
    witness.expect_no_entry(["SOLUSDT"], QUIET_SECONDS, f"after an emergency stop and a {how}")
    operator.command("reset")
    hold(operator, witness, "SOLUSDT")


@check(
    API,
    cause="that something is still to be closed is kept in memory alone",
    fix="close by hand at the exchange; keep `liquidating` in the database until all is closed",
    needs=STACK,
)
def test_is_finished_after_a_crash(operator: Operator, witness: Witness) -> None:
    hold(operator, witness, *HELD)
    witness.drill(cut=True)
    press(operator)
    operator.docker("kill", operator.container(API))
    witness.calm()
    operator.docker("start", operator.container(API))
    operator.until(witness.flat, FINISH_SECONDS, "the rest closed after the crash")
    recovered(operator)
    expect_state(operator, "EMERGENCY", "after it")
