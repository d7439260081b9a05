"""The events of a run, one class a kind: what `events.jsonl` holds, a line each.

A line is a JSON object with `kind`, `t` and the fields of the kind's class; `events.schema.json`
is written from these classes (`python -m reports schema`). Emitters give every field. A reader also
takes lines of other versions: fields that it does not know are left out, fields that are missing or
of another type are read as empty, and an outcome that is missing as an error.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Protocol,
    TypedDict,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)


class Outcome(StrEnum):
    """What became of a check."""

    PASSED = "passed"
    NOT_RUN = "not_run"
    ERROR = "error"
    FAILED = "failed"

    @property
    def severity(self) -> int:
        """How bad it is: where a check is told of twice, the worse outcome counts."""
        return list(Outcome).index(self)

    @property
    def is_red(self) -> bool:
        """Whether the check ran and did not pass."""
        return self in (Outcome.FAILED, Outcome.ERROR)


WAIVED = "waived"
"""Shown in place of the outcome of a check that did not pass and is waived."""
NOT_ASKED = "not_asked"
"""Shown in place of the outcome of a stage that was not asked for."""

OURS = object()
"""Marks names, ids, statuses and words of ours: they hold nothing that was seen of a stack, and
stay whatever word somebody took as a password."""
Name = Annotated[str, OURS]
Names = Annotated[Sequence[str], OURS]
NoName = Annotated[str | None, OURS]
Seconds = Annotated[float, "seconds"]
Moment = Annotated[float, "seconds since the run's stream was opened"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """Holds what every event has."""

    kind: ClassVar[str]
    t: Moment = field(default=0.0, kw_only=True)
    """When it was written; the stream sets it."""

    @classmethod
    def upgraded(cls, line: Json) -> Json:
        """Return the fields of a line with what lines of other versions lack.

        Where the start is missing, the line was written at the end.
        """
        if "started" not in cls.__dataclass_fields__ or line.get("started") is not None:
            return line
        t, seconds = (_number(line.get(key)) or 0.0 for key in ("t", "seconds"))
        return {**line, "started": t - seconds}

    def as_fields(self, redact: "Redact") -> Json:
        """Return what the line holds besides `kind` and `t`, redacted except for names."""
        return _redacted(self, redact)


@dataclass(frozen=True)
class TargetSeen:
    """Names the target of a run."""

    name: Name
    kind: Annotated[Name, "disposable or live"]
    url: Annotated[NoName, "address of its entry"]


@dataclass(frozen=True)
class Expected:
    """Names the build that must run; null where any will do."""

    version: NoName
    revision: Annotated[NoName, "commit"]


@dataclass(frozen=True)
class RunStarted(Event):
    """Begins a run: which target, which stages, which build."""

    kind = "run_started"
    run_id: Name
    at: Annotated[Name, "UTC, ISO 8601"]
    target: TargetSeen | None
    expected: Expected
    asked: Annotated[Names, "stages asked for"]
    not_asked: Annotated[Names, "stages left out"]
    stages: Annotated[Names, "all stages that there are, in the order they run"]
    command: str | None

    @classmethod
    def upgraded(cls, line: Json) -> Json:
        """Take a command that is a list of words, and no target for one that is empty."""
        words = line.get("command")
        command = " ".join(map(str, words)) if isinstance(words, list) else words
        return {**line, "command": command, "target": line.get("target") or None}


@dataclass(frozen=True)
class Required(Event):
    """Names the checks of a stage that have to pass."""

    kind = "required"
    stage: Name
    checks: Annotated[Names, "ids of checks"]


@dataclass(frozen=True)
class Waiver(Event):
    """Lets a required check go, by its id and with a reason."""

    kind = "waiver"
    check: Name
    reason: str


@dataclass(frozen=True)
class Finding:
    """Tells what a failed check saw, in words for who has to act on it."""

    expected: str | None = None
    seen: str | None = None
    likely_cause: str | None = None
    next_step: NoName = None
    evidence: Any = None
    machine: Annotated[NoName, "what the gate's machine was short of, where it is late"] = None


@dataclass(frozen=True)
class CheckResult(Event):
    """Tells what became of a check."""

    kind = "check"
    check: Annotated[Name, "id, such as smoke.tls.certificate_lasts[proxy]"]
    title: Name
    stage: Name
    component: Annotated[NoName, "who is to blame when it fails"]
    outcome: Annotated[Outcome, OURS]
    seconds: Seconds
    reason: Annotated[str | None, "why it did not run, or could not judge"]
    finding: Finding | None
    follows: Annotated[Names, "globs of checks whose failure explains this one's"]

    @classmethod
    def unknown(cls, check: str, stage: str, reason: str) -> "CheckResult":
        """Tell of a check of which nothing is known but why it did not run."""
        return CheckResult(
            check=check,
            title=check,
            stage=stage,
            component=None,
            outcome=Outcome.NOT_RUN,
            seconds=0.0,
            reason=reason,
            finding=None,
            follows=(),
        )

    @classmethod
    def upgraded(cls, line: Json) -> Json:
        """Fill in names from the id; an outcome that no check can have is an error."""
        check = _text(line.get("check")) or "without a name"
        outcome, reason = line.get("outcome"), _text(line.get("reason"))
        if _outcome(outcome) is None:
            reason = f"its outcome is {outcome!r}, which no check can have. {reason}".strip()
            outcome = Outcome.ERROR
        return {
            **line,
            "check": check,
            "title": line.get("title") or check,
            "stage": line.get("stage") or check.partition(".")[0],
            "outcome": outcome,
            "reason": reason or None,
        }


@dataclass(frozen=True)
class Trouble(Event):
    """Tells why the gate itself may know nothing: its own failure, or the machine's."""

    kind = "trouble"
    message: str
    expected: str | None = None
    seen: str | None = None
    next_step: str | None = None
    check: Annotated[NoName, "the check that could not judge"] = None


@dataclass(frozen=True)
class Interrupted(Event):
    """Tells that the run was told to stop."""

    kind = "interrupted"
    signal: Annotated[Name, "Ctrl-C, or the name of a signal"]


@dataclass(frozen=True)
class RunFinished(Event):
    """Ends a run; a run without it was killed."""

    kind = "run_finished"
    pytest_exit: Annotated[int | None, "pytest's exit code"]
    seconds: Annotated[float, "seconds of the whole run"]

    @classmethod
    def upgraded(cls, line: Json) -> Json:
        """Take the time of the line as that of the run."""
        return line if line.get("seconds") is not None else {**line, "seconds": line.get("t")}


@dataclass(frozen=True)
class Phase(Event):
    """Times a part of a run: bring-up, a stage, taking the stack down."""

    kind = "phase"
    name: Name
    started: Moment
    seconds: Seconds


@dataclass(frozen=True)
class Machine(Event):
    """Describes the worst ten seconds of the machine that the gate ran on; null where not known."""

    kind = "machine"
    seconds: Seconds
    cores: int
    waited_for_a_core: Annotated[float | None, "share of the time in which a process waited"]
    waited_for_memory: Annotated[float | None, "share of the time in which a process waited"]
    waited_for_the_disk: Annotated[float | None, "share of the time in which a process waited"]
    stolen: Annotated[float | None, "share of the processor time that its host gave to others"]
    load: Annotated[float, "processes at work or waiting, over a minute"]
    memory_available: Annotated[float | None, "share of the memory"]
    shortage: Annotated[NoName, "what it was short of, in words"]


@dataclass(frozen=True)
class Request(Event):
    """Records one thing that left this process."""

    kind = "request"
    method: Annotated[Name, "HTTP method, or the command of another protocol"]
    url: str
    service: Annotated[Name, "whom it was sent to"]
    started: Moment
    seconds: Seconds
    status: Annotated[int | str | None, OURS, "the answer; null for none"]
    error: Annotated[str | None, "why there was no answer"]
    mutation: Annotated[bool, "whether it may change something"]
    blocked: Annotated[bool, "whether the guard kept it from leaving"] = False


@dataclass(frozen=True)
class Component(Event):
    """Describes a container of the target; null where that is not known."""

    kind = "component"
    name: Annotated[Name, "service"]
    image: NoName
    version: NoName
    revision: Annotated[NoName, "commit"]
    state: NoName
    health: NoName
    restarts: int | None
    source: Annotated[NoName, "where the image is from: registry or debian-trixie"]
    address: Annotated[NoName, "where the gate reaches it"]


@dataclass(frozen=True)
class FaultPlanted(Event):
    """Tells that a fault was planted in the stack."""

    kind = "fault"
    id: Name
    title: Name


@dataclass(frozen=True)
class Table(Event):
    """Holds a table that a stage adds to the report."""

    kind = "table"
    title: Name
    columns: Names
    rows: Annotated[Sequence[Sequence[Any]], "cells, as many as columns in each row"]


@dataclass(frozen=True)
class Picture(Event):
    """Names a picture that is kept as evidence."""

    kind = "picture"
    title: str
    path: Annotated[Name, "relative to the run's folder"]
    bytes: Annotated[int, "size in bytes"]


class LoadFacts(TypedDict, total=False):
    """Figures of a load run; the report shows those that are there, others too."""

    valid: Annotated[bool, "whether the generator kept its pace, so that the figures count"]
    profile: str
    offered: Annotated[float, "requests a second that the profile plans"]
    achieved: Annotated[float, "requests a second that were sent"]
    dropped: Annotated[int, "requests that were not sent in time"]
    resent: Annotated[int, "requests sent again on a new connection"]
    lag_p99_ms: Annotated[float, "ms that sending was late, 99th percentile"]
    generator_cpu: Annotated[float, "share of a core"]
    aborted: Annotated[str | None, "why the run was ended early"]
    knee: str
    websocket: str
    errors: str
    compared: str
    baseline: Mapping[str, Any]


@dataclass(frozen=True)
class Load(Event):
    """Holds figures of a load run; its facts are the line's own keys, of several events merged."""

    kind = "load"
    facts: LoadFacts

    @classmethod
    def upgraded(cls, line: Json) -> Json:
        """Take all keys of the line as facts."""
        return {"t": line.get("t"), "facts": _without_head(line)}

    def as_fields(self, redact: "Redact") -> Json:
        """Return the facts, redacted."""
        return dict(redact(self.facts))


@dataclass(frozen=True)
class Unknown(Event):
    """Keeps an event of a kind that this version does not know."""

    kind = "unknown"
    name: Annotated[str, "its kind"]
    content: Mapping[str, Any]

    def as_fields(self, redact: "Redact") -> Json:
        """Return the line's fields as they were read, redacted: which are names is not known."""
        return dict(redact(self.content))


CLASSES = {one.kind: one for one in Event.__subclasses__() if one is not Unknown}
"""The class of each kind, by the name that a line gives."""
Kind = TypeVar("Kind", bound=Event)


class Redact(Protocol):
    """Takes secrets out of a value; out of a name only those that no name can hold by chance."""

    def __call__(self, value: Any, is_name: bool = False) -> Any:
        """Return the value without them."""


def as_it_is(value: Any, is_name: bool = False) -> Any:  # noqa: ARG001 - as `Redact` has it
    """Return the value, redacted of nothing."""
    return value


def events_of_kind(events: Iterable[Event], kind: type[Kind]) -> list[Kind]:
    """Return the events of one class."""
    return [event for event in events if isinstance(event, kind)]


def to_line(event: Event, redact: Redact = as_it_is) -> str:
    """Return the event as a line of JSON, its fields redacted."""
    kind = event.name if isinstance(event, Unknown) else event.kind
    content = {"kind": kind, "t": event.t, **event.as_fields(redact)}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def from_line(line: str | bytes) -> Event | None:
    """Read a line of any version; None where it is no JSON object with a kind."""
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return from_json(content) if isinstance(content, dict) else None


def from_json(content: Json) -> Event | None:
    """Read the JSON object of an event; None where it has no kind."""
    kind = content.get("kind")
    if not isinstance(kind, str):
        return None
    if found := CLASSES.get(kind):
        event: Event = _build(found, found.upgraded(content))
        return event
    t = _number(content.get("t")) or 0.0
    return Unknown(kind, _without_head(content), t=t)


# Fields, by their types


@cache
def hints(cls: type) -> dict[str, Any]:
    """Return the type of each field as annotated, units included."""
    every = get_type_hints(cls, include_extras=True)
    return {name: hint for name, hint in every.items() if get_origin(hint) is not ClassVar}


@cache
def bare(hint: Any) -> Any:
    """Return the type without what is annotated to it."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _build(cls: Any, content: Mapping[str, Any]) -> Any:
    types = hints(cls)
    return cls(**{one.name: _value(one, types[one.name], content) for one in fields(cls)})


def _value(one: "Field[Any]", hint: Any, content: Mapping[str, Any]) -> Any:
    value = content.get(one.name)
    return one.default if value is None and one.default is not MISSING else _read(hint, value)


def _read(hint: Any, value: Any) -> Any:
    found = _fit(hint, value)
    return _empty(bare(hint)) if found is None else found


def _fit(hint: Any, value: Any) -> Any:
    """Return the value as the type wants it; None where it cannot be had."""
    hint = bare(hint)
    if value is None or hint is Any:
        return value
    if hint in _FITS:
        return _FITS[hint](value)
    if get_origin(hint) is UnionType:
        fitting = (_fit(one, value) for one in get_args(hint) if one is not NoneType)
        return next((one for one in fitting if one is not None), None)
    if get_origin(hint) is Sequence:
        (item,) = get_args(hint)
        return tuple(_read(item, one) for one in value) if isinstance(value, list) else None
    if not isinstance(value, dict):
        return None
    return _build(hint, value) if is_dataclass(hint) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else None


def _outcome(value: Any) -> Outcome | None:
    return Outcome(value) if isinstance(value, str) and value in set(Outcome) else None


_FITS: dict[Any, Callable[[Any], Any]] = {
    str: _text,
    float: _number,
    int: lambda value: value if type(value) is int else None,
    bool: bool,
    Outcome: _outcome,
}


def _empty(hint: Any) -> Any:
    """Return what stands for a value that is missing; never one that looks like success."""
    if get_origin(hint) is UnionType or hint is Any:
        return None
    if hint is Outcome:
        return Outcome.ERROR
    if is_dataclass(hint):
        return _build(hint, {})
    return () if get_origin(hint) is Sequence else hint()


def _redacted(of: Any, redact: Redact) -> Json:
    cls: Any = type(of)
    types = hints(cls)
    told = ((name, value) for name, value in vars(of).items() if name != "t")
    return {name: _redacted_field(types[name], value, redact) for name, value in told}


def _redacted_field(hint: Any, value: Any, redact: Redact) -> Any:
    if is_dataclass(value):
        return _redacted(value, redact)
    is_figure = isinstance(value, (int, float)) and math.isfinite(value) and bare(hint) is not Any
    return value if is_figure else redact(value, OURS in get_args(hint))


def _without_head(line: Json) -> Json:
    return {key: value for key, value in line.items() if key not in ("kind", "t")}
