"""The conditions that the bot's alerts are about."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gate.checks import CheckFailed
from gate.operator import BOT, Operator
from gate.plugin import share
from gate.wire import WireError
from tests.observability import companions
from tests.observability.companions import Webhook

HALTED = "ADAUSDT"
CLOSED_SECONDS = 10.0
"""For what a stop has left, once its market is traded again; the engine tries every second."""


def pytest_configure(config: pytest.Config) -> None:
    share(config, companions)


def _hold(operator: Operator, symbol: str) -> None:
    """Let the bot have a position: bought past it, under a token newer than any."""
    now = int(time.time() * 1000)
    order = {
        "client_id": BOT,
        "client_order_id": f"observability-{now}",
        "symbol": symbol,
        "side": "buy",
        "quantity": 100,
        "fencing_token": now,
    }
    operator.http("/orders", "exchange", "POST", json=order)


@pytest.fixture(scope="package", autouse=True)
def conditions(operator: Operator, webhook: Webhook) -> Iterator[None]:
    """Real conditions that alerts are about, begun first so that they ripen while others look.

    What a broken stack does not do is told by the checks that wait for the alerts. The next stage
    finds a market that moves, and an engine with nothing left to close.
    """
    assert webhook is not None
    with suppress(WireError):
        _hold(operator, HALTED)
        drills = {"freeze_feed": True, "halted": [HALTED]}
        operator.http("/drills", "exchange", "PUT", json=drills)
        operator.command("emergency-stop")
    yield
    with suppress(WireError, CheckFailed):
        operator.http("/drills", "exchange", "DELETE")
        operator.command("reset")
        operator.until(
            operator.status, CLOSED_SECONDS, "all closed", lambda it: not it.get("liquidating")
        )
