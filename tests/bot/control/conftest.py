"""What every control check stands on: an idle engine, a calm exchange, and cheap checks first."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gate import CheckFailed, Operator
from gate.wire import WireError
from tests.bot.control.engine import at_rest
from tests.bot.exchange import Exchange

HERE = Path(__file__).parent
THEMES = (
    "states",
    "keys",
    "commands",
    "pause",
    "liveness",
    "emergency",
    "daily_loss",
    "dependencies",
    "shutdown",
    "persistence",
    "lease",
)
"""Files in the order they run: what costs least first, what restarts most last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    theme = item.path.stem.removeprefix("test_")
    return THEMES.index(theme) if item.path.parent == HERE else -1


@pytest.fixture
def exchange(operator: Operator) -> Exchange:
    """The exchange, as the one who saw what was done."""
    return Exchange(operator)


@pytest.fixture(scope="package")
def unrest(operator: Operator) -> Iterator[list[str]]:
    """Why the engine could not be brought to rest; the stage leaves it at rest."""
    found: list[str] = []
    yield found
    with suppress(CheckFailed, WireError):
        at_rest(operator, Exchange(operator))


@pytest.fixture(autouse=True)
def idle(operator: Operator, exchange: Exchange, unrest: list[str]) -> None:
    """Each check starts from an idle engine that holds nothing; once that fails, no other does."""
    if unrest:
        pytest.skip(f"the engine cannot be brought to rest: {unrest[0]}")
    try:
        at_rest(operator, exchange)
    except (CheckFailed, WireError) as error:
        unrest.append(str(error))
        raise
