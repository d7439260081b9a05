"""Two API containers, one trader: the lease passes on in time, and who lost it is shut out."""

from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from gate import CheckFailed, Operator, check, expect
from gate.operator import API
from tests.bot.api import Engine
from tests.bot.control.engine import frozen, run
from tests.bot.control.second import Second, running
from tests.bot.exchange import OURS, QUIET_SECONDS, Entry, Exchange

NEEDS = ("disposable", "proxy", API, "redis", "direct:exchange", "stack")
check_api = partial(check, API, needs=NEEDS)
TTL_SECONDS = 10.0
"""The lease's time to live, as deployed (LEASE_TTL_SECONDS)."""
TAKEOVER_SECONDS = TTL_SECONDS + 4.0
"""And some cycles, to notice it and to buy."""
ALONE = ("BTCUSDT", "ETHUSDT", "BNBUSDT")
FIX = "stop one of the two containers; read breakout-bot:lease in Redis, and its TTL"


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


@check_api(
    cause="an engine trades without the lease, or each container has one of its own", fix=FIX
)
def test_of_two_one_trades(operator: Operator, exchange: Exchange, second: Second) -> None:
    before = exchange.mark()
    free(operator, second)
    run(operator, exchange)
    operator.until(second.status, 5, "RUNNING there too", lambda told: told["state"] == "RUNNING")
    pair = {"the first": second.container, "the second": operator.container(API)}
    traders = [name for name, other in pair.items() if buys_without(operator, exchange, other)]
    expect(len(traders) == 1, "one of two containers to trade", f"{traders or 'none'} did")
    bought = exchange.openings(before)
    counted = Counter(order["symbol"] for order in bought)
    expect(set(counted.values()) == {1}, "one order for each symbol", dict(counted))
    expect(len(tokens(bought)) == 1, "orders of one lease", f"fencing tokens {tokens(bought)}")


def buys_without(operator: Operator, exchange: Exchange, other: str) -> bool:
    """Whether anything is bought while a container is frozen, for less long than a lease lives."""
    with frozen(operator, other):
        try:
            exchange.expect_no_entry(ALONE, QUIET_SECONDS, "")
        except CheckFailed:
            return True
        return False


@check_api(
    cause="the emergency holds in the container that was told, and the other one trades on",
    fix="stop the other container too; both must have one database volume",
)
def test_emergency_at_one_stops_the_other(
    operator: Operator, exchange: Exchange, second: Second
) -> None:
    free(operator, second)
    run(operator, exchange)
    exchange.entered("BTCUSDT")
    answer = second.command("emergency-stop")
    expect(answer.status == 200, "emergency-stop to answer 200", answer.brief)
    exchange.expect_flat("once the emergency stop has answered")
    exchange.expect_no_entry(["SOLUSDT"], QUIET_SECONDS, "after it")
    Engine(operator).expect_state("EMERGENCY", "at the one that traded")


@check_api(
    cause="a lease of a container that died does not lapse, or nobody tries to take it", fix=FIX
)
def test_killed_trader_is_followed_within_the_lease(
    operator: Operator, exchange: Exchange, second: Second
) -> None:
    own = trading(operator, exchange, second)
    operator.docker("kill", operator.container(API))
    try:
        taken = exchange.entered("SOLUSDT", seconds=TAKEOVER_SECONDS)
    finally:
        operator.docker("start", operator.container(API))
        Engine(operator).wait_until_connected()
    expect(min(tokens(taken)) > own, f"orders of a newer lease than {own}", tokens(taken))


def trading(operator: Operator, exchange: Exchange, second: Second) -> int:
    """Let the first container trade; its fencing token."""
    free(operator, second)
    with frozen(operator, second.container):
        run(operator, exchange)
        return max(tokens(exchange.entered("BTCUSDT")))


@check(
    "exchange",
    cause="the exchange takes orders with an old fencing token, or the engine asks for no newer",
    fix=FIX,
    needs=NEEDS,
)
def test_frozen_trader_is_shut_out(operator: Operator, exchange: Exchange, second: Second) -> None:
    old = trading(operator, exchange, second)
    with frozen(operator, operator.container(API)):
        exchange.entered("SOLUSDT", seconds=TAKEOVER_SECONDS)
        since = exchange.mark()
    refused = exchange.try_to_buy(OURS, "XRPUSDT", fencing_token=old)
    expect(refused.status == 409, "an order with the old token to answer 409", refused.brief)
    exchange.entered("LTCUSDT")
    late = [order["symbol"] for order in exchange.ours(since) if order["fencing_token"] <= old]
    expect(not late, "no order of the engine that was shut out", late, component=API)
    operator.until(
        Engine(operator).status,
        QUIET_SECONDS,
        "the engine that was shut out to stand by",
        lambda told: not told.get("trading"),
        component=API,
    )
