"""How far a run is, from its events: checks done of all, and findings so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from reports.checks import matches
from reports.events import CheckResult, Event, Outcome, Required
from reports.terminal import MOST_FINDINGS, headline
from reports.words import count

Source = Callable[[], Iterable[Event]]


class Tally:
    """Counts what has been done; `show` gets a line for each finding, when it is found."""

    def __init__(self, show: Callable[[str], None], in_colour: bool = False) -> None:
        self._show = show
        self._in_colour = in_colour
        self._required: dict[str, str] = {}
        """Stage of each check that has to pass, by id."""
        self._done: dict[str, Outcome] = {}
        self._findings = 0
        self._sidecar: tuple[str, Source] | None = None

    def take(self, event: Event) -> None:
        """Count one event; a check that is told of twice counts once."""
        if isinstance(event, Required):
            self._required |= dict.fromkeys(event.checks, event.stage)
        elif isinstance(event, CheckResult) and event.check not in self._done:
            explained = event.outcome.is_red and self._is_explained(event)
            self._done[event.check] = event.outcome
            if event.outcome.is_red and not explained:
                self._found(event)

    def count_sidecar(self, stage: str, source: Source) -> None:
        """Count the results of another gate too, which runs the checks of a stage."""
        self._sidecar = (stage, source)

    def status(self, stage: str) -> str:
        """Return one line: `control · 143/669 checks · lifecycle 4/31 · 2 findings`."""
        beside = ""
        if self._sidecar is not None:
            other, source = self._sidecar
            for event in source():
                self.take(event)
            beside = f" · {other} {self._share(other)}" if other != stage else ""
        return f"{stage} · {self._share()} checks{beside} · {count(self._findings, 'finding')}"

    def _share(self, of_stage: str | None = None) -> str:
        wanted = {check for check, stage in self._required.items() if of_stage in (None, stage)}
        return f"{len(wanted & self._done.keys())}/{len(wanted)}"

    def _is_explained(self, result: CheckResult) -> bool:
        red = [check for check, outcome in self._done.items() if outcome.is_red]
        return any(matches(glob, check) for glob in result.follows for check in red)

    def _found(self, result: CheckResult) -> None:
        self._findings += 1
        if self._findings <= MOST_FINDINGS:
            self._show(headline(result, self._in_colour))
