"""A clock for tests: time passes when it is waited for, and not otherwise."""

import asyncio
from collections.abc import Callable

from gate.wait import Clock


class FakeClock(Clock):
    """Counts what was slept; `at` lets something happen at a time."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []
        self._due: list[tuple[float, Callable[[], object]]] = []

    def now(self) -> float:
        """Give the seconds that were slept."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Pass at once."""
        self.slept.append(seconds)
        self.time += seconds
        for due in [one for one in self._due if one[0] <= self.time]:
            self._due.remove(due)
            due[1]()

    async def pause(self, seconds: float) -> None:
        """Pass as soon as other tasks had their turn."""
        self.sleep(seconds)
        await asyncio.sleep(0)

    def at(self, time: float, happens: Callable[[], object]) -> None:
        """Have something happen when that time has come."""
        self._due.append((time, happens))
