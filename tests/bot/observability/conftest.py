"""The conditions that the bot's alerts are about."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from pytest_docker import plugin as docker

from gate import CheckFailed, Operator
from gate.plugin import share
from gate.wire import WireError
from tests.bot.api import Engine
from tests.bot.exchange import OURS, Exchange
from tests.observability import companions
from tests.observability.companions import Webhook

HALTED = "ADAUSDT"
CLOSED_SECONDS = 10.0
"""For what a stop has left, once its market is traded again; the engine tries every second."""


def pytest_configure(config: pytest.Config) -> None:
    share(config, docker, companions)  # the last one's fixtures count


@pytest.fixture(scope="package", autouse=True)
def conditions(operator: Operator, webhook: Webhook) -> Iterator[None]:
    """Real conditions that alerts are about, begun first so that they ripen while others look.

    What a broken stack does not do is told by the checks that wait for the alerts. The next stage
    finds a market that moves, and an engine with nothing left to close.
    """
    assert webhook is not None
    engine, exchange = Engine(operator), Exchange(operator)
    with suppress(WireError, CheckFailed):
        exchange.buy(OURS, HALTED)  # past the bot, which then has a position
        exchange.drill(freeze_feed=True, halted=[HALTED])
        engine.command("emergency-stop")
    yield
    with suppress(WireError, CheckFailed):
        exchange.end_drills()
        engine.command("reset")
        operator.until(
            engine.status, CLOSED_SECONDS, "all closed", lambda it: not it.get("liquidating")
        )
