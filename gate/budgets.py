"""Time budgets of stages and of a whole run: what is left when one has passed is `not_run`.

They stand in pyproject.toml under [tool.gate.budgets]. A run that is out of time still tells all
that it saw; required checks that did not run make HOLD.
"""

import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

FILE = Path(__file__).parent.parent / "pyproject.toml"
WHOLE = "whole"


def read(more: Mapping[str, float] | None = None) -> dict[str, float]:
    """Seconds for each stage and for the whole run, `more` for those asked to take longer."""
    table = tomllib.loads(FILE.read_text(encoding="utf-8"))
    found = {name: float(value) for name, value in table["tool"]["gate"]["budgets"].items()}
    for stage, seconds in (more or {}).items():
        found[stage] += seconds
        found[WHOLE] += seconds
    return found


class Budgets:
    """Watches the time of one run."""

    def __init__(
        self, seconds: Mapping[str, float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._began = {WHOLE: clock()}

    def spent(self, stage: str) -> str | None:
        """Why nothing more of a stage may start; None while there is time."""
        now = self._clock()
        self._began.setdefault(stage, now)
        for name in (WHOLE, stage):
            if now - self._began[name] > self._seconds[name]:
                what = "the whole run" if name == WHOLE else f"the stage {name}"
                return f"out of time: {what} has {self._seconds[name]:g} s (pyproject.toml)"
        return None
