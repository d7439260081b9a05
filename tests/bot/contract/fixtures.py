"""What the contract stage does with the bot: remember its presets, lead its engine."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from gate import Operator
from tests.bot.contract.engine import lead_to, put_preset, to_idle
from tests.bot.contract.state import Before, seen


@pytest.fixture(scope="session")
def before(operator: Operator) -> Before:
    """What the deployment held before the first check of this stage that changes anything."""
    held = seen(operator)
    put_preset(operator)
    return held


@pytest.fixture(scope="session")
def lead(operator: Operator) -> Iterator[Callable[[str], None]]:
    """Leads the engine to where an operation does its work; puts it back to rest at the end."""
    to_idle(operator)
    put_preset(operator)
    yield partial(lead_to, operator)
    to_idle(operator)
