"""The engine's states and commands: one table, and nothing that is not on it."""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """What the engine is doing."""

    IDLE = "IDLE"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    EMERGENCY = "EMERGENCY"


class Command(StrEnum):
    """What the engine can be told."""

    START = "start"
    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"
    EMERGENCY_STOP = "emergency-stop"
    RESET = "reset"


TABLE: Mapping[tuple[State, Command], State] = {
    (State.IDLE, Command.START): State.RUNNING,
    (State.IDLE, Command.EMERGENCY_STOP): State.EMERGENCY,
    (State.RUNNING, Command.STOP): State.IDLE,
    (State.RUNNING, Command.PAUSE): State.PAUSED,
    (State.RUNNING, Command.EMERGENCY_STOP): State.EMERGENCY,
    (State.PAUSED, Command.STOP): State.IDLE,
    (State.PAUSED, Command.RESUME): State.RUNNING,
    (State.PAUSED, Command.EMERGENCY_STOP): State.EMERGENCY,
    (State.EMERGENCY, Command.EMERGENCY_STOP): State.EMERGENCY,
    (State.EMERGENCY, Command.RESET): State.IDLE,
}
TRADING = frozenset({State.RUNNING, State.PAUSED})


class WrongState(Exception):
    """The command is not allowed in the state the engine is in."""

    def __init__(self, state: State, command: Command) -> None:
        allowed = ", ".join(one.value for one in allowed_commands(state))
        super().__init__(f"{command.value} is not allowed while {state.value}; allowed: {allowed}")


def next_state(state: State, command: Command) -> State:
    """Give the state that the command leads to, or raise WrongState."""
    try:
        return TABLE[(state, command)]
    except KeyError:
        raise WrongState(state, command) from None


def allowed_commands(state: State) -> list[Command]:
    """List the commands that the state accepts."""
    return [command for command in Command if (state, command) in TABLE]
