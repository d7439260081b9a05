"""The traffic model as data (`profiles/*.toml`): operations, their rates, control commands.

Rates are arrivals a second. A phase is even, or a ramp where it has `to`; steps are phases. What is
measured is judged; warm-up is not, and recovery is what follows a spike.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from load.files import Document, FileError, Rule, Rules, number, one_of, read, text
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
_rows = Rule("one table or more", lambda value: isinstance(value, list) and bool(value))
_request = Rule(
    "a method and a path such as 'GET /api/health'",
    lambda value: isinstance(value, str) and REQUEST.fullmatch(value),
    required=True,
)
HEAD: Rules = {
    "schema": Rule("1", lambda value: value == 1, required=True),
    "seed": number(0, required=True),
    "spacing": one_of("even", "poisson", required=True),
    "in_flight": number(1, 10_000, required=True),
    "websockets": number(0, 1_000),
    "phase": Rule(_rows.words, _rows.holds, required=True),
    "operation": Rule(_rows.words, _rows.holds, required=True),
    "control": _rows,
}
PHASE: Rules = {
    "kind": one_of(*JUDGED, required=True),
    "seconds": number(1, 86_400, required=True),
    "rate": number(0, 100_000, required=True),
    "to": number(0, 100_000),
}
OPERATION: Rules = {"request": _request, "weight": number(0.001, required=True)}
CONTROL: Rules = {
    "request": _request,
    "every": number(1, required=True),
    "offset": number(0, required=True),
    "body": text(),
}


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
    document = read(path)
    document.check(document.table, HEAD)
    table = document.table
    operations = tuple(Operation(**row) for row in _checked(document, "operation", OPERATION))
    return Profile(
        path=path.resolve(),
        seed=int(table["seed"]),
        spacing=table["spacing"],
        in_flight=int(table["in_flight"]),
        websockets=int(table.get("websockets", 0)),
        phases=tuple(_phase(row) for row in _checked(document, "phase", PHASE)),
        operations=operations,
        controls=tuple(_control(row) for row in _checked(document, "control", CONTROL)),
    )


def _checked(document: Document, header: str, rules: Rules) -> list[Any]:
    rows = document.table.get(header, [])
    for index, row in enumerate(rows):
        document.check(row, rules, header, index)
    return list(rows)


def _phase(row: dict[str, Any]) -> Phase:
    return Phase(row["kind"], row["seconds"], row["rate"], row.get("to", row["rate"]))


def _control(row: dict[str, Any]) -> Control:
    return Control(row["request"], row["every"], row["offset"], row.get("body", ""))
