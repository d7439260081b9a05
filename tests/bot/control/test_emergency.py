"""Emergency stop: nothing of ours is left, nobody else's is touched, and it holds until reset."""

import pytest

from gate import Operator, expect
from gate.operator import API
from gate.wire import Answer
from tests.bot.api import Engine
from tests.bot.control.engine import NEEDS, away, check_api, hold, restart_api, run
from tests.bot.exchange import OTHERS, OURS, QUIET_SECONDS, Entry, Exchange

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
    answer = Engine(operator).command("emergency-stop")
    expect(answer.status == 200, "emergency-stop to answer 200", answer.brief)
    Engine(operator).expect_state("EMERGENCY", "after it")
    return answer


def expect_quick(answer: Answer, seconds: float) -> None:
    """Fails the check when the command took too long."""
    took = f"{answer.seconds:.2f} s"
    expect(answer.seconds < seconds, f"an answer within {seconds:g} s", took)


@check_api(
    cause="the emergency stop changes the state, and the exchange is not told, or not all of it",
    fix="close by hand at the exchange; look for the liquidation in the API's log",
)
def test_leaves_nothing_of_ours(operator: Operator, exchange: Exchange) -> None:
    hold(operator, exchange, *HELD)
    exchange.rest(OURS, "XRPUSDT")
    answer = press(operator)
    exchange.expect_flat("once the emergency stop has answered")
    expect_quick(answer, STOP_SECONDS)


@check_api(
    cause="it cancels or closes by symbol or altogether, not by the bot's own client id",
    fix="tell the owners of the other account; then name client_id in every call to the exchange",
)
def test_leaves_other_clients_alone(operator: Operator, exchange: Exchange) -> None:
    hold(operator, exchange, "BTCUSDT")
    exchange.rest(OTHERS, "BTCUSDT")
    exchange.buy(OTHERS, "BTCUSDT")
    before = exchange.orders(OTHERS), exchange.positions(OTHERS)
    press(operator)
    after = exchange.orders(OTHERS), exchange.positions(OTHERS)
    expect(after == before, f"orders and positions of {OTHERS} as they were", after)


@check_api(
    cause="the loop trades on after the emergency stop",
    fix="stop the API's container now, and close by hand at the exchange",
)
def test_orders_nothing_afterwards(operator: Operator, exchange: Exchange) -> None:
    hold(operator, exchange, "BTCUSDT")
    press(operator)
    after = exchange.mark()
    exchange.expect_no_entry(["SOLUSDT", "BTCUSDT"], QUIET_SECONDS, "after an emergency stop")
    late = exchange.ours(after)
    expect(not late, "no order of ours after an emergency stop", late)


@check_api(
    cause="entries under way are sent while, or after, what is held is closed",
    fix="stop the API's container after an emergency stop, and close by hand at the exchange",
)
def test_entries_do_not_race_it(operator: Operator, exchange: Exchange) -> None:
    run(operator, exchange)
    start = exchange.mark()
    exchange.drill(latency_ms=RACE)
    every = list(exchange.prices())
    exchange.break_out(*every)
    operator.until(lambda: exchange.openings(start), FINISH_SECONDS, "a first order of many")
    pressed = exchange.mark()
    press(operator)
    answered = exchange.mark()
    exchange.expect_flat("once the emergency stop has answered")
    exchange.expect_no_entry(every, QUIET_SECONDS, "after an emergency stop")
    late = entries_after_closing(exchange.log(pressed), answered)
    expect(not late, "no entry once closing has begun", late)


def entries_after_closing(log: list[Entry], answered: int) -> list[Entry]:
    """Entries of ours after the first thing that was closed, or after the answer."""
    ours = [line for line in log if line["client_id"] == OURS]
    accepted = [line for line in ours if line["event"] == "order_accepted"]
    closing = [line["seq"] for line in accepted if line["reduce_only"]]
    first = min([*closing, answered])
    return [line for line in accepted if line["seq"] > first and not line["reduce_only"]]


@check_api(
    cause="it makes many calls to the exchange one after another, or waits for a whole cycle",
    fix="close by hand at the exchange where it hurries; look at the exchange's answer times",
)
def test_is_quick_while_the_exchange_is_slow(operator: Operator, exchange: Exchange) -> None:
    hold(operator, exchange, *HELD)
    exchange.rest(OURS, "XRPUSDT")
    exchange.drill(latency_ms=SLOW)
    answer = press(operator)
    exchange.expect_flat("once the emergency stop has answered")
    expect_quick(answer, STOP_SECONDS)


@pytest.mark.parametrize("drill", ["reject", "cut", "hang"])
@check_api(
    cause="it says success, or nothing, where the exchange did not do what it was told",
    fix="close by hand at the exchange; look for what was refused in the API's log",
)
def test_names_what_it_cannot_close_and_closes_it_later(
    operator: Operator, exchange: Exchange, drill: str
) -> None:
    hold(operator, exchange, *HELD)
    exchange.drill(**{drill: True})
    answer = press(operator)
    body = answer.json()
    expect(not body["success"], "success: false while positions are open", answer.brief)
    unnamed = [symbol for symbol in HELD if symbol not in answer.text]
    expect(not unnamed, f"every position that is left named, also {unnamed}", answer.text)
    expect_quick(answer, GIVEN_UP_SECONDS)
    exchange.end_drills()
    operator.until(exchange.flat, FINISH_SECONDS, "nothing of ours open once the exchange is back")
    Engine(operator).expect_state("EMERGENCY", "then")


@check_api(
    cause="it ends at the first position that cannot be closed, or does not tell that there is one",
    fix="close the others by hand at the exchange; look for the refusal in the API's log",
)
def test_closes_all_others_while_a_market_is_halted(operator: Operator, exchange: Exchange) -> None:
    halted, *others = HELD
    hold(operator, exchange, *HELD)
    exchange.drill(halted=[halted])
    answer = press(operator)
    expect_quick(answer, STOP_SECONDS)
    left = sorted(exchange.positions())
    expect(left == [halted], f"nothing open but {halted}, whose market is halted", left)
    failures = str(answer.json().get("failures"))
    expect(not answer.json()["success"], "success: false while a position is open", answer.brief)
    told = halted in failures and not any(symbol in failures for symbol in others)
    expect(told, f"{halted} named as what is left, and nothing else", answer.text)
    exchange.end_drills()
    operator.until(exchange.flat, FINISH_SECONDS, "nothing of ours open once it is traded again")
    Engine(operator).expect_state("EMERGENCY", "then")


@check_api(
    cause="it waits for Redis before it closes anything",
    fix="close by hand at the exchange, then see to Redis",
    needs=(*STACK, "redis"),
)
def test_does_not_wait_for_redis(operator: Operator, exchange: Exchange) -> None:
    hold(operator, exchange, *HELD)
    with away(operator, "redis", "freeze"):
        answer = Engine(operator).command("emergency-stop")
        exchange.expect_flat("once the emergency stop has answered, without Redis")
    expect_quick(answer, STOP_SECONDS)
    Engine(operator).expect_state("EMERGENCY", "after it")


@pytest.mark.parametrize("how", ["restart", "kill"])
@check_api(
    cause="the emergency is kept in memory, or written down too late",
    fix="keep the API's container stopped; look for errors of the database in its log",
    needs=STACK,
)
def test_holds_until_reset(operator: Operator, exchange: Exchange, how: str) -> None:
    hold(operator, exchange, "BTCUSDT")
    press(operator)
    restart_api(operator, how)
    Engine(operator).expect_state("EMERGENCY", f"after a {how}")
    for command in ("start", "resume"):
        answer = Engine(operator).command(command)
        expect(answer.status == 409, f"{command} to answer 409 in an emergency", answer.brief)
    exchange.expect_no_entry(["SOLUSDT"], QUIET_SECONDS, f"after an emergency stop and a {how}")
    Engine(operator).command("reset")
    hold(operator, exchange, "SOLUSDT")


@check_api(
    cause="that something is still to be closed is kept in memory alone",
    fix="close by hand at the exchange; look for the liquidation in the API's log after its start",
    needs=STACK,
)
def test_is_finished_after_a_crash(operator: Operator, exchange: Exchange) -> None:
    hold(operator, exchange, *HELD)
    exchange.drill(cut=True)
    press(operator)
    operator.docker("kill", operator.container(API))
    exchange.end_drills()
    operator.docker("start", operator.container(API))
    operator.until(exchange.flat, FINISH_SECONDS, "the rest closed after the crash")
    Engine(operator).wait_until_connected()
    Engine(operator).expect_state("EMERGENCY", "after it")
