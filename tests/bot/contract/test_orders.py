"""A cancelled order is cancelled: at the exchange, in the list, and for whoever asks again."""

from collections.abc import Iterator
from typing import Any

import pytest

from gate import Operator, check, expect
from gate.operator import API
from gate.wire import Answer
from tests.bot.contract.engine import SYMBOL, to_idle
from tests.bot.exchange import EXCHANGE, OURS, Exchange
from tests.contract.ledger import Ledger, as_curl

CANCEL = "DELETE /api/trading/orders/{order_id}"
NEEDS = ("disposable", "direct:exchange", "proxy", API)


@pytest.fixture
def order(operator: Operator) -> Iterator[dict[str, Any]]:
    """An open order of the bot, far from the market, placed at the exchange."""
    to_idle(operator)
    order = Exchange(operator).rest(OURS, SYMBOL)
    yield order
    operator.http(f"/orders/{order['id']}", EXCHANGE, "DELETE")


def _cancel(operator: Operator, ledger: Ledger, order_id: str) -> Answer:
    answer = operator.http(f"/api/trading/orders/{order_id}", method="DELETE")
    ledger.saw(CANCEL, answer.status, {"path order_id"})
    return answer


@check(
    API,
    cause="the operation says that it cancelled and does not, or cancels another order",
    fix="cancel it at the exchange; look for the order's id in the API's log",
    needs=NEEDS,
)
def test_cancelled_means_cancelled(
    operator: Operator, ledger: Ledger, order: dict[str, Any]
) -> None:
    answer = _cancel(operator, ledger, order["id"])
    curl = as_curl("DELETE", answer.url)
    expect(answer.status == 200, f"{CANCEL} to answer 200", answer.brief, curl)
    listed = operator.json(f"/orders?client_id={OURS}", EXCHANGE)
    status = next((one["status"] for one in listed if one["id"] == order["id"]), "gone")
    wanted = f"{CANCEL} to leave the order cancelled at the exchange"
    expect(
        status == "cancelled", wanted, f"it answered {answer.brief}; the order is {status}", curl
    )
    again = _cancel(operator, ledger, order["id"])
    expect(again.status == 409, "a second cancel to answer 409", again.brief, curl)


@check(
    API,
    cause="an order that is not there is taken for cancelled",
    fix="answer 404 where this bot has no such order",
    needs=NEEDS,
)
def test_what_is_not_there_cannot_be_cancelled(operator: Operator, ledger: Ledger) -> None:
    answer = _cancel(operator, ledger, "no-such-order")
    expect(answer.status == 404, f"{CANCEL} to answer 404", answer.brief)
