"""Small named steps, each with its undo, carried out along a journal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal
from compose.lifecycle.state import CommandState
from gate.errors import MachineError, UsageError
from gate.machine.commands import await_engine
from gate.machine.console import say
from gate.machine.interrupts import deferred
from gate.machine.limits import NO_ENGINE, limit_of, machine_error


class StepName(StrEnum):
    """The steps of all commands, as journals have them."""

    IMAGES = "images"
    BACKUP = "backup"
    CREATE = "create"
    STOP = "stop"
    DATA = "data"
    START = "start"
    READY = "ready"
    VERIFY = "verify"
    CANARY = "canary"
    SWITCH = "switch"
    CONFIRM = "confirm"
    HAND_OVER = "hand over"
    RETIRE = "retire"
    RECORD = "record"


def nothing() -> None:
    """Undo a step that only looks, or that leaves what does no harm."""


@dataclass(frozen=True)
class Step:
    """One thing to do. `do` and `undo` may be called again after a crash in their middle."""

    name: str
    description: str
    do: Callable[[], None]
    undo: Callable[[], None] = nothing
    final: bool = False
    """Once it is done there is no way back, only on to the end."""
    roll_forward: bool = False
    """Once it is done a later command goes on: to undo it would lose what was written since."""


def show_plan(title: str, steps: Sequence[Step]) -> None:
    """Say what is going to be done."""
    say(f"{title}:")
    for number, step in enumerate(steps, 1):
        say(f"  {number:2}. {step.name:<10} {step.description}")


def carry_out(journal: Journal[CommandState], steps: Sequence[Step]) -> None:
    """Do the steps that are not done yet. On an error of any kind undo them all, raise `Rejected`.

    Who interrupts is obeyed once all is undone, or finished where there is no way back: then
    `KeyboardInterrupt` is raised again, which nobody may take for a refusal.
    Raises `MachineError` when the undoing fails too: the journal then tells the next command.
    """
    try:
        _do(journal, steps)
    except (Exception, KeyboardInterrupt) as error:
        by_hand, reason = isinstance(error, KeyboardInterrupt), _reason(error)
        if is_committed(journal, steps):
            if not by_hand:
                raise
            say(f"  ! {reason}: there is no way back from here, so it is finished first")
            _do(journal, steps)
            raise KeyboardInterrupt(f"{reason}, and finished: there was no way back") from None
        if limit_of(reason) is NO_ENGINE and not by_hand:
            await_engine()
        with deferred():
            undo_all(journal, steps, reason)
        kind = KeyboardInterrupt if by_hand else Rejected
        raise kind(f"put back as it was, because: {reason}") from None


def _do(journal: Journal[CommandState], steps: Sequence[Step]) -> None:
    for step in steps:
        if step.name not in journal.done:
            journal.start(step.name)
            say(f"  · {step.name}: {step.description}")
            step.do()
            journal.finish(step.name)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return str(machine_error(error) or error)
    if isinstance(error, Rejected | UsageError | MachineError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted by hand"
    return f"{type(error).__name__}: {error}"


def must_roll_forward(journal: Journal[CommandState], steps: Sequence[Step]) -> bool:
    """Tell whether a later command has to go on with it, rather than to undo it."""
    roll_forward = any(step.roll_forward and step.name in journal.done for step in steps)
    return is_committed(journal, steps) or (roll_forward and journal.reason is None)


def is_committed(journal: Journal[CommandState], steps: Sequence[Step]) -> bool:
    """Tell whether the step after which there is no way back is done."""
    return any(step.final and step.name in journal.done for step in steps)


def undo_all(journal: Journal[CommandState], steps: Sequence[Step], reason: str) -> None:
    """Undo every step that was begun, the last one first.

    Raises `Rejected` or `MachineError`, which begins with the reason, where one cannot be undone.
    """
    journal.fail(reason)
    say(f"  ! {reason}")
    for step in reversed(steps):
        if step.name in journal.begun:
            if step.undo is not nothing:
                say(f"  · undo {step.name}")
            try:
                step.undo()
            except Exception as trouble:  # the reason is what people need, and read last
                kind = Rejected if isinstance(trouble, Rejected) else MachineError
                raise kind(
                    f"{reason}; and `undo {step.name}`, with which the next command goes on, did"
                    f" not work: {_reason(trouble)}"
                ) from trouble
            journal.mark_undone(step.name)
