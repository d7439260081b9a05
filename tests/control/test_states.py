"""Every cell of the engine's state table, the illegal ones too."""

from collections.abc import Iterator

import pytest

from tests.checks import check, expect
from tests.operator import API, Operator

TABLE = {
    "IDLE": {"start": "RUNNING", "emergency-stop": "EMERGENCY"},
    "RUNNING": {"stop": "IDLE", "pause": "PAUSED", "emergency-stop": "EMERGENCY"},
    "PAUSED": {"stop": "IDLE", "resume": "RUNNING", "emergency-stop": "EMERGENCY"},
    "EMERGENCY": {"emergency-stop": "EMERGENCY", "reset": "IDLE"},
}
"""state → command → next state; what is missing answers 409 and changes nothing (design, 4)."""

WAYS = {
    "IDLE": (),
    "RUNNING": ("start",),
    "PAUSED": ("start", "pause"),
    "EMERGENCY": ("emergency-stop",),
}
COMMANDS = ("start", "stop", "pause", "resume", "emergency-stop", "reset")


@pytest.fixture(autouse=True)
def idle(operator: Operator) -> Iterator[None]:
    """Each check starts from IDLE and leaves the engine there."""
    back_to_idle(operator)
    yield
    back_to_idle(operator)


def back_to_idle(operator: Operator) -> None:
    leave = {"EMERGENCY": "reset", "RUNNING": "stop", "PAUSED": "stop"}.get(operator.state())
    if leave:
        operator.command(leave)
        operator.until(operator.state, 10, "state IDLE", lambda state: state == "IDLE")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("state", list(TABLE))
@check(
    API,
    cause="the table of states was changed, or a command skips it",
    fix="compare breakout_bot/states.py with the table in tests/control/test_states.py",
    needs=("disposable", "proxy", API),
)
def test_table_holds(operator: Operator, state: str, command: str) -> None:
    for step in WAYS[state]:
        operator.command(step)
    before = operator.state()
    expect(before == state, f"state {state} before {command}", before)
    answer = operator.command(command)
    wanted = TABLE[state].get(command)
    status = 200 if wanted else 409
    expect(answer.status == status, f"{command} in {state} to answer {status}", answer.brief)
    after = operator.state()
    expect(after == (wanted or state), f"{wanted or state} after {command} in {state}", after)
