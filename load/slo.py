"""Service levels as data (`slo.toml`): what is promised, and from how many samples it is known."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from load.files import Document, Rule, number, one_of, read, text

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
HEAD = {
    "schema": Rule("1", lambda value: value == 1, required=True),
    "confidence": number(0.5, 0.9999, required=True),
    "slo": Rule("one [[slo]] or more", lambda rows: isinstance(rows, list) and rows, required=True),
}
LEVEL = {
    "operation": text(required=True),
    "metric": one_of(*METRICS, required=True),
    "at_most": number(0),
    "at_least": number(0),
    "samples": number(1),
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
    """The levels of a file. Raises `FileError`."""
    document = read(path)
    document.check(document.table, HEAD)
    rows = document.table["slo"]
    return [_level(document, row, index) for index, row in enumerate(rows)]


def _level(document: Document, row: object, index: int) -> Level:
    document.check(row, LEVEL, "slo", index)
    assert isinstance(row, dict)
    limits = [key for key in ("at_most", "at_least") if key in row]
    if len(limits) != 1:
        got = " and ".join(limits) or "neither"
        raise document.fault(f"expected at_most or at_least, got {got}", "slo", index)
    return Level(
        operation=row["operation"],
        metric=row["metric"],
        limit=float(row[limits[0]]),
        upper=limits[0] == "at_most",
        samples=int(row.get("samples", 1)),
        confidence=float(document.table["confidence"]),
    )


def of(levels: Iterable[Level], operation: str) -> list[Level]:
    """The levels of one operation; one that names it replaces one that stands for all."""
    own = [level for level in levels if fnmatchcase(operation, level.operation)]
    named = {level.metric for level in own if level.operation == operation}
    return [one for one in own if one.operation == operation or one.metric not in named]
