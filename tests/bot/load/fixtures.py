"""The bot is at rest before and after load. Its service levels are data: load/slo.toml."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from gate import Operator
from tests.bot.control.engine import at_rest
from tests.bot.exchange import Exchange


@pytest.fixture(scope="session")
def rest(operator: Operator) -> Iterator[Callable[[], None]]:
    """Brings the engine and the exchange to rest; they are left at rest."""
    lead = partial(at_rest, operator, Exchange(operator))
    yield lead
    lead()
