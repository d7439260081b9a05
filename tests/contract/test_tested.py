"""The stage tested what it claims: every operation did its work, nearly every status was seen."""

import pytest

from contracts.agreed import labels
from gate import check, expect
from gate.operator import API
from tests.contract.ledger import Ledger

STATUSES_SEEN = 0.95
NEEDS = ("disposable", "proxy", API)


@check(
    API,
    cause="the key is refused, the engine cannot reach the state it needs, or the route is gone",
    fix="send the operation by hand with the key; what only ever says no was not tested",
    needs=NEEDS,
    follows=("contract.agreed.*", "contract.fuzz.*", "*contract.states.*"),
)
@pytest.mark.parametrize("operation", labels())
def test_is_tested(ledger: Ledger, operation: str) -> None:
    came = ", ".join(map(str, sorted(ledger.statuses[operation]))) or "none"
    expect(ledger.tested(operation), f"{operation} to do its work once", f"only statuses {came}")


@check(
    API,
    cause="operations were added or their statuses documented without a case that leads there",
    fix="add the case, or take out of the document what cannot happen",
    needs=("disposable", "stack", "direct:exchange", "proxy", API),
    follows=("contract.tested.is_tested*", "*contract.outages.*", "contract.fuzz.*"),
)
def test_documented_statuses_are_seen(ledger: Ledger) -> None:
    documented, seen = ledger.documented(), ledger.seen()
    missing = sorted(f"{label}: {status}" for label, status in documented - seen)
    share = len(seen) / len(documented)
    wanted = f"at least {STATUSES_SEEN:.0%} of {len(documented)} documented statuses seen"
    expect(share >= STATUSES_SEEN, wanted, f"{share:.1%}", "\n".join(missing))
