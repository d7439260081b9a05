"""Ctrl-C, TERM and HUP end a program in order: once, by an exception, never inside a child's work.

A terminal sends them to every program of a pipeline. A `docker compose create` that is cut off may
or may not have made its container: who undoes it has to know. So children run in sessions of their
own, an interruption waits for the one at work, and being told again hurries nothing.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from gate.errors import MACHINE, MachineError
from gate.machine.console import say

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """The program was told to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {name(number)}")


class _State:
    received: int | None = None
    deferred = 0


def name(number: int) -> str:
    """Name a signal as people do."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def heeded() -> list[int]:
    """List those that end this process: not what `nohup` and a shell's `&` have it ignore."""
    ignored = [one for one in NUMBERS if signal.getsignal(one) is signal.SIG_IGN]
    return [one for one in NUMBERS if one == signal.SIGTERM or one not in ignored]


def run_main(main: Callable[[], int]) -> int:
    """Run a program; its exit code, 6 for `MachineError`, 128 and the signal that ended it."""
    for number in heeded():
        signal.signal(number, _interrupt)
    try:
        return main()
    except MachineError as error:
        say(str(error))
        return MACHINE
    except KeyboardInterrupt as interrupted:
        say(str(interrupted) or "interrupted")
        return exit_code()
    finally:
        _State.received = _State.received or -1  # nothing is left to be broken off


def exit_code() -> int:
    """Give the exit code of a program that was interrupted, as shells have it."""
    return 128 + (_State.received or signal.SIGINT)


def _interrupt(number: int, _: FrameType | None) -> None:
    if _State.received is not None:
        return
    _State.received = number
    if not _State.deferred:
        raise Interrupted(number)


@contextmanager
def deferred() -> Iterator[None]:
    """Let what is done here come to its end; an interruption meanwhile is raised after it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread only
        return
    before = _State.received
    _State.deferred += 1
    try:
        yield
    finally:
        _State.deferred -= 1
        if before is None and _State.received is not None and not _State.deferred:
            raise Interrupted(_State.received)


@contextmanager
def heeded_by_children() -> Iterator[None]:
    """Have programs started from here heed signals that `nohup` or `&` made this one ignore.

    A program inherits what is ignored, and not a handler that does nothing.
    """
    ignored = [one for one in NUMBERS if signal.getsignal(one) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
