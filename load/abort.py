"""Beyond saving: a service level that no further answer of this run can still keep."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from load import slo
from load.slo import QUANTILES, Level


@dataclass
class _Count:
    level: Level
    most: float
    seen: int = 0
    bad: int = 0


@dataclass
class Watch:
    """Counts what speaks against each level, among all arrivals that are planned.

    A quantile is lost once more answers are beyond its limit than may lie above it; an error rate
    once there are more errors than its share of all. So much is certain before the end; and it is
    not said before there are as many answers as the judge needs, who else could say nothing.
    """

    levels: Iterable[Level]
    planned: Mapping[str, int]
    names: Sequence[str]
    _counts: dict[int, list[_Count]] = field(init=False)

    def __post_init__(self) -> None:
        every = list(self.levels)
        self._counts = {
            index: [
                _Count(level, share * self.planned[name])
                for level in slo.of(every, name)
                if (share := _may_be_bad(level)) is not None and self.planned[name] > level.samples
            ]
            for index, name in enumerate(self.names)
        }

    def add(self, op: int, latency_ms: float, good: bool) -> str | None:
        """One more answer; why the run may stop now, None while it may not."""
        for one in self._counts[op]:
            of_errors = one.level.metric == "error_rate"
            one.seen += of_errors or good
            one.bad += (not good) if of_errors else (good and latency_ms > one.level.limit)
            if one.bad > one.most + MARGIN and one.seen >= one.level.samples:
                kind = "errors" if of_errors else "answers beyond it"
                return f"{self.names[op]}: {one.level.words} is beyond saving: {one.bad} {kind}"
        return None


MARGIN = 30
"""More than the share allows: beyond the doubt of a sample, too (docs/judge.md)."""


def _may_be_bad(level: Level) -> float | None:
    if level.metric == "error_rate":
        return level.limit
    return 1 - QUANTILES[level.metric] if level.metric in QUANTILES else None
