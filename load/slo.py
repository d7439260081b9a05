"""Service levels as data (`slo.toml`): what is promised, and from how many samples it is known."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from gate import toml

FILE = Path(__file__).with_name("slo.toml")
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
GROWTH = ("memory_growth", "handles_growth")
OF_THE_RUN = ("throughput", "tick_lag", "recovery", "lost", *GROWTH)
METRICS = (*QUANTILES, "max", "error_rate", *OF_THE_RUN)
UNITS = dict.fromkeys((*QUANTILES, "max", "tick_lag"), "ms") | {
    "error_rate": "of requests",
    "throughput": "of offered arrivals",
    "recovery": "s",
    "lost": "connections",
    "memory_growth": "bytes",
    "handles_growth": "handles",
}


@dataclass(frozen=True)
class Level:
    """One service level: a metric of an operation (a glob) and its limit."""

    operation: str
    metric: str
    limit: float
    upper: bool
    """Whether the limit is a most; else a least."""
    samples: int
    """Without so many, nothing is known."""
    confidence: float

    @property
    def unit(self) -> str:
        """The unit of the metric."""
        return UNITS[self.metric]

    @property
    def words(self) -> str:
        """The promise in words."""
        return f"{self.metric} {'at most' if self.upper else 'at least'} {self.limit:g} {self.unit}"

    def holds(self, value: float) -> bool:
        """Whether a value keeps the level."""
        return value <= self.limit if self.upper else value >= self.limit


def load(path: Path = FILE) -> list[Level]:
    """Read the levels of a file. Raises `FileError`."""
    table = toml.read(path)
    table.get("schema", toml.exactly(1))
    confidence = table.get("confidence", toml.number(0.5, 0.9999))
    levels = [_level(row, confidence) for row in table.rows("slo", required=True)]
    table.refuse_unknown()
    return levels


def _level(row: toml.Table, confidence: float) -> Level:
    limits = {key: row.get(key, toml.number(0), None) for key in ("at_most", "at_least")}
    given = [key for key, limit in limits.items() if limit is not None]
    level = Level(
        operation=row.get("operation", toml.TEXT),
        metric=row.get("metric", toml.one_of(*METRICS)),
        limit=float(sum(limit for limit in limits.values() if limit is not None)),
        upper=given == ["at_most"],
        samples=row.get("samples", toml.whole(1), 1),
        confidence=confidence,
    )
    row.refuse_unknown()
    if len(given) != 1:
        raise row.error(f"expected at_most or at_least, got {' and '.join(given) or 'neither'}")
    return level


def of(levels: Iterable[Level], operation: str) -> list[Level]:
    """The levels of one operation; one that names it replaces one that stands for all."""
    own = [level for level in levels if fnmatchcase(operation, level.operation)]
    named = {level.metric for level in own if level.operation == operation}
    return [one for one in own if one.operation == operation or one.metric not in named]
