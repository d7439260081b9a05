"""The stage leaves the bot as it found it."""

from gate import Operator, check, expect
from gate.operator import API
from gate.run import Gate
from reports.events import Table
from tests.bot.api import Engine
from tests.bot.contract.state import Before, put_back, seen

NEEDS = ("disposable", "proxy", API)


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
    state = Engine(operator).state()
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
