"""Fixtures of the contract stage: its ledger, its explorer, when an operation is judged."""

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from contracts.budget import budget
from contracts.rules import RULES
from gate import Operator
from gate.run import Gate
from reports.events import Table
from tests.contract.ledger import COLUMNS, Ledger

if TYPE_CHECKING:
    from tests.contract.explorer import Explorer


LAST = "test_tested.py"
Lead = Callable[[str], None]
"""Takes an operation's label."""
NAMED = 4
"""Operations that the table of rules names; the breaches themselves are in the findings."""


@pytest.fixture(scope="session")
def ledger(gate: Gate) -> Iterator[Ledger]:
    """What this stage sends and sees; at its end it goes into the report as tables."""
    made = Ledger(budget().seed)
    yield made
    emit = gate.stream.emit
    title = f"Contract: what was tested ({made.title})"
    emit(Table(title, COLUMNS, list(made.rows())))
    rules = [
        [name, "blocking" if rule.blocking else "advisory", rule.reason, _count(made, name)]
        for name, rule in RULES.items()
    ]
    columns = ["rule", "kind", "reason", "operations that broke it"]
    emit(Table("Contract: the rules", columns, rules))


def _count(ledger: Ledger, rule: str) -> str:
    found = [label for label, all_ in ledger.breaches.items() if any(b.rule == rule for b in all_)]
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return (", ".join(found[:NAMED]) or "none") + more


@pytest.fixture(scope="session")
def before() -> None:
    """Remember what this stage will change; a team's own checks replace it."""


@pytest.fixture(scope="session")
def lead() -> Lead:
    """Bring the stack to where an operation does its work; a team's own checks replace it."""
    return lambda _: None


@pytest.fixture(scope="session")
def explorer(operator: Operator, ledger: Ledger, lead: Lead) -> "Explorer":
    """Sends the cases."""
    from tests.contract.explorer import Explorer

    return Explorer(operator, ledger, budget(), lead)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask what was tested after all else, the stage's own checks and a team's."""
    items.sort(key=lambda item: item.path.name == LAST)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """An operation is judged when all its cases were sent, so that the first bad one hides none."""
    result = yield
    label = getattr(pyfuncitem, "operation_label", None)
    if label is not None:
        ledger: Ledger = pyfuncitem.funcargs["explorer"].ledger  # type: ignore[attr-defined]
        ledger.judge(label)
    return result
