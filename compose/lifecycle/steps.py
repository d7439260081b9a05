"""Small named steps, each with its undo, carried out along a journal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from compose.lifecycle.journal import Journal
from compose.lifecycle.state import CommandState
from compose.lifecycle.trouble import BadInput, Refused
from gate.machine.console import MachineError, say
from gate.machine.interrupts import deferred


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
    """The undo of a step that only looks, or that leaves what does no harm."""


@dataclass(frozen=True)
class Step:
    """One thing to do. `do` and `undo` may be called again after a crash in their middle."""

    name: str
    what: str
    do: Callable[[], None]
    undo: Callable[[], None] = nothing
    final: bool = False
    """Once it is done there is no way back, only on to the end."""
    onward: bool = False
    """Once it is done a later command goes on: to undo it would lose what was written since."""


def show_plan(title: str, steps: Sequence[Step]) -> None:
    """Say what is going to be done."""
    say(f"{title}:")
    for number, one in enumerate(steps, 1):
        say(f"  {number:2}. {one.name:<10} {one.what}")


def carry_out(journal: Journal[CommandState], steps: Sequence[Step]) -> None:
    """Do the steps that are not done yet. On trouble of any kind undo them all, raise `Refused`.

    Who interrupts is obeyed once all is undone, or finished where there is no way back: then
    `KeyboardInterrupt` is raised again, which nobody may take for a refusal.
    Raises `MachineError` when the undoing fails too: the journal then tells the next command.
    """
    try:
        _do(journal, steps)
    except (Exception, KeyboardInterrupt) as trouble:
        by_hand, reason = isinstance(trouble, KeyboardInterrupt), _words(trouble)
        if committed(journal, steps):
            if not by_hand:
                raise
            say(f"  ! {reason}: there is no way back from here, so it is finished first")
            _do(journal, steps)
            raise KeyboardInterrupt(f"{reason}, and finished: there was no way back") from None
        with deferred():
            take_back(journal, steps, reason)
        kind = KeyboardInterrupt if by_hand else Refused
        raise kind(f"put back as it was, because: {reason}") from None


def _do(journal: Journal[CommandState], steps: Sequence[Step]) -> None:
    for one in steps:
        if one.name not in journal.done:
            journal.start(one.name)
            say(f"  · {one.name}: {one.what}")
            one.do()
            journal.finish(one.name)


def _words(trouble: BaseException) -> str:
    if isinstance(trouble, Refused | BadInput | MachineError | OSError):
        return str(trouble)
    if isinstance(trouble, KeyboardInterrupt):
        return str(trouble) or "interrupted by hand"
    return f"{type(trouble).__name__}: {trouble}"


def to_be_finished(journal: Journal[CommandState], steps: Sequence[Step]) -> bool:
    """Whether a later command has to go on with it, rather than to undo it."""
    onward = any(one.onward and one.name in journal.done for one in steps)
    return committed(journal, steps) or (onward and journal.reason is None)


def committed(journal: Journal[CommandState], steps: Sequence[Step]) -> bool:
    """Whether the step after which there is no way back is done."""
    return any(one.final and one.name in journal.done for one in steps)


def take_back(journal: Journal[CommandState], steps: Sequence[Step], reason: str) -> None:
    """Undo every step that was begun, the last one first."""
    journal.fail(reason)
    say(f"  ! {reason}")
    for one in reversed(steps):
        if one.name in journal.begun:
            if one.undo is not nothing:
                say(f"  · undo {one.name}")
            one.undo()
            journal.mark_undone(one.name)
