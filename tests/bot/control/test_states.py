"""Every cell of the engine's state table, the illegal ones too."""

from typing import Any

import pytest

from contracts.states import COMMANDS, TABLE, way
from gate import Operator, check, expect
from gate.operator import API
from tests.bot.api import Engine

NEEDS = ("disposable", "proxy", API)
TOLD = ("state", "preset", "mode", "startedAt")
"""What an illegal command must leave as it was."""


def bring(operator: Operator, state: str) -> dict[str, Any]:
    """Bring an idle engine to a state; what it says of itself there."""
    steps = way("IDLE", state)
    for step in steps:
        Engine(operator).command(step)
    Engine(operator).expect_state(state, f"after {' and '.join(steps) or 'nothing'}")
    return Engine(operator).status()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("state", list(TABLE))
@check(
    API,
    cause="the table of states was changed, or a command skips it",
    fix="repeat the command with curl; deploy the release before, or agree on another table"
    " of states",
    needs=NEEDS,
)
def test_table_holds(operator: Operator, state: str, command: str) -> None:
    before = bring(operator, state)
    answer = Engine(operator).command(command)
    wanted = TABLE[state].get(command)
    status = 200 if wanted else 409
    expect(answer.status == status, f"{command} in {state} to answer {status}", answer.brief)
    after = Engine(operator).status()
    if wanted:
        expect(after["state"] == wanted, f"{wanted} after {command} in {state}", after["state"])
    else:
        changed = {name: after[name] for name in TOLD if after[name] != before[name]}
        expect(not changed, f"{command} in {state} to change nothing", f"now {changed}")


@pytest.mark.parametrize("state", list(TABLE))
@check(
    API,
    cause="/api/engine/commands is made from something else than the table of states",
    fix="compare GET /api/engine/commands with what the commands answer; deploy the release before",
    needs=NEEDS,
)
def test_commands_that_are_offered_are_those_that_work(operator: Operator, state: str) -> None:
    bring(operator, state)
    listed = operator.json("/api/engine/commands")["commands"]
    offered = {one["name"] for one in listed if one["allowed"]} & set(COMMANDS)
    wanted = set(TABLE[state])
    expect(offered == wanted, f"{sorted(wanted)} to be offered in {state}", sorted(offered))
