"""The stage tested what it claims: every operation did its work, nearly every status was seen."""

import pytest

from contracts.agreed import labels
from gate.checks import check, expect
from gate.operator import API, Operator
from gate.run import Gate
from reports.events import Table
from tests.contract.ledger import Ledger
from tests.contract.state import Before, put_back, seen

STATUSES_SEEN = 0.95
NEEDS = ("disposable", "proxy", API)


@check(
    API,
    cause="the key is refused, the engine cannot reach the state it needs, or the route is gone",
    fix="send the operation by hand with the key; what only ever says no was not tested",
    needs=NEEDS,
    follows=("contract.agreed.*", "contract.fuzz.*", "contract.states.*"),
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
    follows=("contract.tested.is_tested*", "contract.outages.*", "contract.fuzz.*"),
)
def test_documented_statuses_are_seen(ledger: Ledger) -> None:
    documented, seen = ledger.documented(), ledger.seen()
    missing = sorted(f"{label}: {status}" for label, status in documented - seen)
    share = len(seen) / len(documented)
    wanted = f"at least {STATUSES_SEEN:.0%} of {len(documented)} documented statuses seen"
    expect(share >= STATUSES_SEEN, wanted, f"{share:.1%}", "\n".join(missing))


@check(
    API,
    cause="an operation keeps a change that its opposite should have taken back",
    fix="compare the presets and the engine's status with those of a new deployment",
    needs=NEEDS,
)
def test_state_is_put_back(operator: Operator, before: Before, gate: Gate) -> None:
    changed = put_back(operator, before)
    now = seen(operator)
    kept = {name: now.presets.get(name) for name in before.presets}
    expect(kept == before.presets, "the presets of before", str(kept))
    expect(now.active == before.active, f"preset {before.active} in use", now.active)
    state = operator.state()
    expect(state == "IDLE", "the engine in IDLE", state)
    orders = [one for one in operator.json("/api/orders") if one["status"] == "open"]
    held = operator.json("/api/positions")
    expect(not orders and not held, "no open order and no position", f"{orders} {held}")
    extra = sorted(now.presets.keys() - before.presets.keys())
    rows = [
        ["put back", ", ".join(changed) or "nothing was changed"],
        ["stays (the API cannot remove a preset)", f"{len(extra)} presets"],
        ["engine", f"{state}, preset {now.active}, no open order, no position"],
    ]
    gate.stream.emit(Table("Contract: state after", ["what", "how"], rows))
