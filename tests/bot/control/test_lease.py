"""Two API containers, one trader: the lease passes on in time, and who lost it is shut out."""

from collections import Counter
from collections.abc import Iterator

import pytest

from gate.checks import CheckFailed, check, expect
from gate.operator import API, Operator
from tests.bot.control.engine import expect_state, frozen, recovered, run
from tests.bot.control.second import Second, running
from tests.bot.control.test_commands import QUIET_SECONDS
from tests.bot.control.witness import OURS, Entry, Witness

NEEDS = ("disposable", "proxy", API, "redis", "direct:exchange", "stack")
TTL_SECONDS = 10.0
"""The lease's time to live, as deployed (LEASE_TTL_SECONDS)."""
TAKEOVER_SECONDS = TTL_SECONDS + 4.0
"""And some cycles, to notice it and to buy."""
ALONE = ("BTCUSDT", "ETHUSDT", "BNBUSDT")
FIX = "stop one of the two containers; then look at breakout_bot/lease.py and the exchange's fence"


@pytest.fixture(scope="module")
def second(operator: Operator) -> Iterator[Second]:
    """A second container, for all checks of this file."""
    with running(operator) as made:
        yield made


def free(operator: Operator, second: Second) -> None:
    """Wait until the second container has given up the lease of the last check."""
    what = "the lease given up by the second container"
    operator.until(second.status, QUIET_SECONDS, what, lambda told: not told.get("leaseHeld"))


def tokens(orders: list[Entry]) -> set[int]:
    """The fencing tokens that orders came with."""
    return {order["fencing_token"] for order in orders}


@check(
    API,
    cause="an engine trades without the lease, or each container has one of its own",
    fix=FIX,
    needs=NEEDS,
)
def test_of_two_one_trades(operator: Operator, witness: Witness, second: Second) -> None:
    before = witness.mark()
    free(operator, second)
    run(operator, witness)
    operator.until(second.status, 5, "RUNNING there too", lambda told: told["state"] == "RUNNING")
    pair = {"the first": second.container, "the second": operator.container(API)}
    traders = [name for name, other in pair.items() if buys_without(operator, witness, other)]
    expect(len(traders) == 1, "one of two containers to trade", f"{traders or 'none'} did")
    bought = witness.openings(before)
    counted = Counter(order["symbol"] for order in bought)
    expect(set(counted.values()) == {1}, "one order for each symbol", dict(counted))
    expect(len(tokens(bought)) == 1, "orders of one lease", f"fencing tokens {tokens(bought)}")


def buys_without(operator: Operator, witness: Witness, other: str) -> bool:
    """Whether anything is bought while a container is frozen, for less long than a lease lives."""
    with frozen(operator, other):
        try:
            witness.expect_no_entry(ALONE, QUIET_SECONDS, "")
        except CheckFailed:
            return True
        return False


@check(
    API,
    cause="the emergency holds in the container that was told, and the other one trades on",
    fix="keep the state in the database, and let each cycle and entry read it there",
    needs=NEEDS,
)
def test_emergency_at_one_stops_the_other(
    operator: Operator, witness: Witness, second: Second
) -> None:
    free(operator, second)
    run(operator, witness)
    witness.entered("BTCUSDT")
    answer = second.command("emergency-stop")
    expect(answer.status == 200, "emergency-stop to answer 200", answer.brief)
    witness.expect_flat("once the emergency stop has answered")
    witness.expect_no_entry(["SOLUSDT"], QUIET_SECONDS, "after it")
    expect_state(operator, "EMERGENCY", "at the one that traded")


@check(
    API,
    cause="a lease of a container that died does not lapse, or nobody tries to take it",
    fix=FIX,
    needs=NEEDS,
)
def test_killed_trader_is_followed_within_the_lease(
    operator: Operator, witness: Witness, second: Second
) -> None:
    own = trading(operator, witness, second)
    operator.docker("kill", operator.container(API))
    try:
        taken = witness.entered("SOLUSDT", seconds=TAKEOVER_SECONDS)
    finally:
        operator.docker("start", operator.container(API))
        recovered(operator)
    expect(min(tokens(taken)) > own, f"orders of a newer lease than {own}", tokens(taken))


def trading(operator: Operator, witness: Witness, second: Second) -> int:
    """Let the first container trade; its fencing token."""
    free(operator, second)
    with frozen(operator, second.container):
        run(operator, witness)
        return max(tokens(witness.entered("BTCUSDT")))


@check(
    "exchange",
    cause="the exchange takes orders with an old fencing token, or the engine asks for no newer",
    fix=FIX,
    needs=NEEDS,
)
def test_frozen_trader_is_shut_out(operator: Operator, witness: Witness, second: Second) -> None:
    old = trading(operator, witness, second)
    with frozen(operator, operator.container(API)):
        witness.entered("SOLUSDT", seconds=TAKEOVER_SECONDS)
        since = witness.mark()
    refused = witness.try_to_buy(OURS, "XRPUSDT", fencing_token=old)
    expect(refused.status == 409, "an order with the old token to answer 409", refused.brief)
    witness.entered("LTCUSDT")
    late = [order["symbol"] for order in witness.ours(since) if order["fencing_token"] <= old]
    expect(not late, "no order of the engine that was shut out", late, component=API)
    operator.until(
        operator.status,
        QUIET_SECONDS,
        "the engine that was shut out to stand by",
        lambda told: not told.get("trading"),
        component=API,
    )
