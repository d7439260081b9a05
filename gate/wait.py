"""One way to wait: look again until something holds, by a clock that tests replace.

    port = wait_until(worker.port, 30, "the worker to listen")
    length = wait_until(queue.length, 5, "an empty queue", lambda length: length == 0)

Nothing waits longer than it says. What was seen last is in the error, and in its text.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from gate.errors import WaitError

POLL_SECONDS = 0.05
T = TypeVar("T")


class Clock:
    """Time that never goes back. A test has one that passes when it is waited for."""

    def now(self) -> float:
        """Give the seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let seconds pass, and this thread do nothing."""
        time.sleep(seconds)

    async def pause(self, seconds: float) -> None:
        """Let seconds pass, and other tasks go on."""
        await asyncio.sleep(seconds)


CLOCK = Clock()


class Deadline:
    """The end of a time limit."""

    def __init__(self, seconds: float, clock: Clock = CLOCK) -> None:
        self.clock = clock
        self._end = clock.now() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; 0 when it has passed."""
        return max(0.0, self._end - self.clock.now())

    @property
    def passed(self) -> bool:
        """Whether nothing is left."""
        return self.left == 0

    def shorten(self, seconds: float) -> None:
        """End in so many seconds, unless it ends before."""
        self._end = min(self._end, self.clock.now() + seconds)


@dataclass(eq=False)
class Waiting:
    """One wait that goes on; who waits may change `what` as it comes to know more."""

    what: str
    since: float


_WAITS: list[Waiting] = []


@contextmanager
def waiting_for(what: str, clock: Clock = CLOCK) -> Iterator[Waiting]:
    """Let people see what is waited for, while it is."""
    wait = Waiting(what, clock.now())
    _WAITS.append(wait)
    try:
        yield wait
    finally:
        _WAITS.remove(wait)


def longest_wait() -> tuple[str, float] | None:
    """Give what this process waits for, and the seconds so far; of several waits the longest."""
    wait = min(tuple(_WAITS), key=lambda wait: wait.since, default=None)
    return None if wait is None else (wait.what, CLOCK.now() - wait.since)


def wait_until(
    look: Callable[[], T],
    seconds: float,
    what: str,
    holds: Callable[[T], object] = bool,
    *,
    every: float = POLL_SECONDS,
    ignoring: tuple[type[Exception], ...] = (),
    clock: Clock = CLOCK,
) -> T:
    """Look again until `holds`, and return what was seen. Raises `WaitError` after `seconds`.

    Exceptions of `ignoring` are "not yet".
    """
    deadline = Deadline(seconds, clock)
    with waiting_for(what, clock):
        while True:
            seen: Any
            try:
                seen = look()
            except ignoring as error:
                seen = error
            else:
                if holds(seen):
                    return seen  # type: ignore[no-any-return]
            if deadline.passed:
                raise WaitError(what, seconds, seen)
            clock.sleep(every)


async def wait_until_async(
    look: Callable[[], Awaitable[T]],
    seconds: float,
    what: str,
    holds: Callable[[T], object] = bool,
    *,
    every: float = POLL_SECONDS,
    ignoring: tuple[type[Exception], ...] = (),
    clock: Clock = CLOCK,
) -> T:
    """Do what `wait_until` does, and let other tasks go on meanwhile."""
    deadline = Deadline(seconds, clock)
    with waiting_for(what, clock):
        while True:
            seen: Any
            try:
                seen = await look()
            except ignoring as error:
                seen = error
            else:
                if holds(seen):
                    return seen  # type: ignore[no-any-return]
            if deadline.passed:
                raise WaitError(what, seconds, seen)
            await clock.pause(every)
