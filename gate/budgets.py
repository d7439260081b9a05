"""Time budgets of stages and of a whole run: what is left when one has passed is `not_run`.

A run that is out of time still tells all that it saw; required checks that did not run make HOLD.
"""

import time
from collections.abc import Callable, Mapping

from gate.stages import STAGES, WHOLE_SECONDS

WHOLE = "whole"


def read(more: Mapping[str, float] | None = None) -> dict[str, float]:
    """Give the seconds of each stage and of the whole run, `more` for those that take longer."""
    more = more or {}
    seconds = {stage.name: stage.seconds + more.get(stage.name, 0.0) for stage in STAGES.values()}
    return {WHOLE: WHOLE_SECONDS + sum(more.values()), **seconds}


class Budgets:
    """Watches the time of one run."""

    def __init__(
        self, seconds: Mapping[str, float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._began = {WHOLE: clock()}

    def spent(self, stage: str) -> str | None:
        """Say why nothing more of a stage may start; None while there is time."""
        now = self._clock()
        self._began.setdefault(stage, now)
        for name in (WHOLE, stage):
            if now - self._began[name] > self._seconds[name]:
                what = "the whole run" if name == WHOLE else f"the stage {name}"
                return f"out of time: {what} has {self._seconds[name]:g} s (gate/stages.py)"
        return None
