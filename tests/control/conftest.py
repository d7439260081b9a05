"""What every control check stands on: an idle engine, a calm exchange, and cheap checks first."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.engine import at_rest
from tests.control.witness import Witness
from tests.operator import Operator

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
def witness(operator: Operator) -> Witness:
    """The exchange, as the one who saw what was done."""
    return Witness(operator)


@pytest.fixture(autouse=True)
def idle(operator: Operator, witness: Witness) -> Iterator[None]:
    """Each check starts from an idle engine that holds nothing, and leaves it so."""
    at_rest(operator, witness)
    yield
    at_rest(operator, witness)
