"""The traffic model as data (`profiles/*.toml`): operations, their rates, control commands.

Rates are arrivals a second. A phase is even, or a ramp where it has `to`; steps are phases. What is
measured is judged; warm-up is not, and recovery is what follows a spike.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gate import toml
from gate.toml import FileError
from load.samples import MEASURED, RECOVERY, WARM_UP

FOLDER = Path(__file__).with_name("profiles")
JUDGED = {"warm-up": WARM_UP, "measured": MEASURED, "spike": WARM_UP, "recovery": RECOVERY}
"""What a phase counts as: a spike is not judged, the time after it is."""
SAFE = ("GET", "HEAD")
COMPARED = 1_000
"""Requests of each operation to each side of a comparison: enough to see a fifth on busy cores."""
COMPARED_WARM_UP = 10.0
"""Seconds: one of the two stacks has only just started."""
REQUEST = re.compile(r"(GET|HEAD|POST|PUT|DELETE) (/\S*)")
RATE = toml.number(0, 100_000)
A_REQUEST = toml.Kind[str](
    "a method and a path such as 'GET /api/health'",
    lambda value: isinstance(value, str) and REQUEST.fullmatch(value),
)


@dataclass(frozen=True)
class Phase:
    """A stretch of time with one rate, or one that grows evenly to another."""

    kind: str
    seconds: float
    rate: float
    to: float

    @property
    def counts_as(self) -> int:
        """WARM_UP, MEASURED or RECOVERY of load/samples.py."""
        return JUDGED[self.kind]


@dataclass(frozen=True)
class Operation:
    """A request that users make, with its share of the arrivals."""

    request: str
    weight: float


@dataclass(frozen=True)
class Control:
    """A command to the engine at fixed times: every so many seconds, the first at `offset`."""

    request: str
    every: float
    offset: float
    body: str


@dataclass(frozen=True)
class Profile:
    """A whole traffic model."""

    path: Path
    seed: int
    spacing: str
    in_flight: int
    """Requests that may be under way at once."""
    websockets: int
    phases: tuple[Phase, ...]
    operations: tuple[Operation, ...]
    controls: tuple[Control, ...]

    @property
    def name(self) -> str:
        """The name of its file."""
        return self.path.stem

    @property
    def seconds(self) -> float:
        """How long arrivals come."""
        return sum(one.seconds for one in self.phases)

    @property
    def names(self) -> list[str]:
        """Requests, in the order of `Samples.op`."""
        return list(dict.fromkeys(self._requests()))

    def _requests(self) -> Iterator[str]:
        yield from (one.request for one in self.operations)
        yield from (one.request for one in self.controls)

    def reading(self) -> "Profile":
        """What of it may go to a live target: reads only. Raises `FileError` without any."""
        safe = tuple(one for one in self.operations if one.request.startswith(SAFE))
        if not safe:
            raise FileError(f"{self.path}: expected a read among its operations, got none")
        return replace(self, operations=safe, controls=())

    def comparing(self) -> "Profile":
        """What of it is sent to a candidate and a baseline in turns: reads, each as often.

        At its own rate, and for as long as it takes to know enough of each. Raises `FileError`.
        """
        even = tuple(replace(one, weight=1.0) for one in self.reading().operations)
        rate = max((one.rate for one in self.phases if one.kind == "measured"), default=0)
        if not rate:
            raise FileError(f"{self.path}: expected a measured phase with a rate, to compare by")
        seconds = float(round(2 * COMPARED * len(even) / rate))
        phases = (
            Phase("warm-up", COMPARED_WARM_UP, rate, rate),
            Phase("measured", seconds, rate, rate),
        )
        return replace(self, operations=even, controls=(), phases=phases, websockets=0)


def load(word: str) -> Profile:
    """A profile by name or path. Raises `FileError`."""
    path = Path(word) if word.endswith(".toml") else FOLDER / f"{word}.toml"
    table = toml.read(path)
    table.get("schema", toml.exactly(1))
    profile = Profile(
        path=path.resolve(),
        seed=table.get("seed", toml.whole(0)),
        spacing=table.get("spacing", toml.one_of("even", "poisson")),
        in_flight=table.get("in_flight", toml.whole(1, 10_000)),
        websockets=table.get("websockets", toml.whole(0, 1_000), 0),
        phases=tuple(map(_phase, table.rows("phase", required=True))),
        operations=tuple(map(_operation, table.rows("operation", required=True))),
        controls=tuple(map(_control, table.rows("control"))),
    )
    table.refuse_unknown()
    return profile


def _phase(row: toml.Table) -> Phase:
    rate = row.get("rate", RATE)
    seconds = row.get("seconds", toml.number(1, 86_400))
    return Phase(row.get("kind", toml.one_of(*JUDGED)), seconds, rate, row.get("to", RATE, rate))


def _operation(row: toml.Table) -> Operation:
    return Operation(row.get("request", A_REQUEST), row.get("weight", toml.number(0.001)))


def _control(row: toml.Table) -> Control:
    return Control(
        request=row.get("request", A_REQUEST),
        every=row.get("every", toml.number(1)),
        offset=row.get("offset", toml.number(0)),
        body=row.get("body", toml.TEXT, ""),
    )
