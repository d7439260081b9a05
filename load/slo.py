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


@dataclass(frozen=True)
class Metric:
    """What can be measured, and what it means for whoever reads that a level of it was missed."""

    unit: str
    cause: str
    next_step: str


_LATENCY = Metric(
    "ms",
    cause="answers are slow under load",
    next_step="compare latency and service time in load/run.json; look at request durations",
)
METRICS = dict.fromkeys((*QUANTILES, "max"), _LATENCY) | {
    "error_rate": Metric(
        "of requests",
        cause="answers with an error under load: a pool, a limit or a worker is too small",
        next_step="split the errors by status in load/run.json, then read the proxy's log",
    ),
    "throughput": Metric(
        "of offered arrivals",
        cause="fewer requests are answered than arrive: something is full and queues",
        next_step="compare the durations of the proxy and of what is behind it",
    ),
    "tick_lag": Metric(
        "ms",
        cause="the loop of ticks waits behind requests, or takes longer than a tick itself",
        next_step="look at the duration of a tick; move blocking work off the event loop",
    ),
    "recovery": Metric(
        "s",
        cause="after a spike the queue does not drain: a pool or a retry storm holds it",
        next_step="look at the latency over time in the report, and at open connections",
    ),
    "lost": Metric(
        "connections",
        cause="WebSockets are refused or closed under load: a limit or a queue is too small",
        next_step="read the proxy's log for the WebSocket's path",
    ),
    "memory_growth": Metric(
        "bytes",
        cause="a memory leak: something is kept for every request",
        next_step="compare resident memory with the number of requests; look for a growing list",
    ),
    "handles_growth": Metric(
        "handles",
        cause="a leak of handles: files or sockets are opened and never closed",
        next_step="list /proc/1/fd in the container: what is there many times?",
    ),
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
    own_cause: str | None = None
    own_next_step: str | None = None

    @property
    def cause(self) -> str:
        """Why it is likely to be missed: in the file's words, else in those of the metric."""
        return self.own_cause or METRICS[self.metric].cause

    @property
    def next_step(self) -> str:
        """What to do where it is missed."""
        return self.own_next_step or METRICS[self.metric].next_step

    @property
    def unit(self) -> str:
        """The unit of the metric."""
        return METRICS[self.metric].unit

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
        own_cause=row.get("cause", toml.TEXT, None),
        own_next_step=row.get("next_step", toml.TEXT, None),
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
