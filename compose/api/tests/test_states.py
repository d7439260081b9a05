"""The state table is the one that was agreed, cell by cell."""

import pytest
from breakout_bot.states import Command, State, WrongState, allowed_commands, next_state

# Columns: start, stop, pause, resume, emergency-stop, reset; "-" is a refusal.
AGREED = {
    "IDLE": "RUNNING - - - EMERGENCY -",
    "RUNNING": "- IDLE PAUSED - EMERGENCY -",
    "PAUSED": "- IDLE - RUNNING EMERGENCY -",
    "EMERGENCY": "- - - - EMERGENCY IDLE",
}
CELLS = [
    (state, command, target)
    for state, row in AGREED.items()
    for command, target in zip(Command, row.split(), strict=True)
]


@pytest.mark.parametrize(("state", "command", "target"), CELLS)
def test_every_cell_of_the_table(state, command, target):
    if target == "-":
        with pytest.raises(WrongState, match=f"{command} is not allowed while {state}"):
            next_state(State(state), command)
    else:
        assert next_state(State(state), command) == target


def test_a_refusal_names_what_is_allowed():
    assert str(WrongState(State.EMERGENCY, Command.START)).endswith("emergency-stop, reset")


def test_an_emergency_stop_is_always_allowed():
    assert all(Command.EMERGENCY_STOP in allowed_commands(state) for state in State)
