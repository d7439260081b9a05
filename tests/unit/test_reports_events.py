"""Every event is written and read as it is, by this version and by others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reports import __main__ as command
from reports import schema
from reports.events import (
    CLASSES,
    CheckResult,
    Component,
    Event,
    Expected,
    FaultPlanted,
    Finding,
    Interrupted,
    Load,
    Machine,
    Outcome,
    Phase,
    Picture,
    Request,
    Required,
    RunFinished,
    RunStarted,
    Table,
    TargetSeen,
    Trouble,
    Unknown,
    Waiver,
    events_of_kind,
    from_json,
    from_line,
    to_line,
)
from reports.redact import MARK, Redactor
from reports.verdict import judge

SECRET = "hunter2-and-more"
EVENTS: list[Event] = [
    RunStarted(
        "r1",
        "2026-02-03T03:04:05+00:00",
        TargetSeen("here", "live", "https://here"),
        Expected("1.4.2", None),
        ("smoke",),
        ("load",),
        ("smoke", "load"),
        "pytest -m smoke",
        t=0.1,
    ),
    Required("smoke", ("smoke.a.b", "smoke.a.c"), t=0.2),
    Waiver("smoke.a.b", "no registry here", t=0.2),
    Component("redis", "redis:8", "8.0", "9f1c", "running", "healthy", 0, "registry", None, t=0.3),
    Request("GET", "https://here/", "proxy", 0.1, 0.02, 200, None, False, t=0.4),
    Request("PING", "redis://here", "redis", 0.1, 0.02, "PONG", None, False, True, t=0.4),
    CheckResult("smoke.a.b", "a", "smoke", None, Outcome.PASSED, 0.1, None, None, (), t=0.5),
    CheckResult(
        "smoke.a.c",
        "c",
        "smoke",
        "redis",
        Outcome.FAILED,
        0.1,
        None,
        Finding("PONG", "nothing", "it stopped", "start it", "exit code 137"),
        ("smoke.b.*",),
        t=0.6,
    ),
    FaultPlanted("redis-stopped", "Redis is stopped", t=0.7),
    Table("Levels", ("what", "seen"), (("p99", 12.5), ("errors", None)), t=0.8),
    Picture("the page", "pictures/page.jpg", 5120, t=0.8),
    Load({"valid": True, "offered": 9.5, "aborted": None}, t=0.8),
    Phase("smoke", 0.1, 0.7, t=0.8),
    Machine(10.2, 2, 0.9, 0.0, None, 0.01, 5.5, 0.8, "a core", t=0.8),
    Trouble("no Docker", "an answer", "none", "start it", "smoke.a.b", t=0.8),
    Interrupted("SIGHUP", t=0.9),
    RunFinished(1, 0.9, t=0.9),
]
NAMES = [f"{event.kind}-{number}" for number, event in enumerate(EVENTS)]


def test_every_kind_is_tried() -> None:
    assert {event.kind for event in EVENTS} == CLASSES.keys()


@pytest.mark.parametrize("event", EVENTS, ids=NAMES)
def test_an_event_comes_back_as_it_was_written(event: Event) -> None:
    line = to_line(event)
    assert from_line(line) == event
    assert from_line(line.encode()) == event
    assert list(json.loads(line))[:2] == ["kind", "t"]


@pytest.mark.parametrize("event", EVENTS, ids=NAMES)
def test_a_line_fits_the_schema_and_a_line_without_any_one_field_does_not(event: Event) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema.text()))
    content = json.loads(to_line(event))
    validator.validate(content)
    needed = ("kind", "t") if isinstance(event, Load) else content
    for name in needed:
        assert not validator.is_valid({key: of for key, of in content.items() if key != name})


@pytest.mark.parametrize("event", EVENTS, ids=NAMES)
def test_a_field_of_a_later_version_is_left_out(event: Event) -> None:
    if isinstance(event, Load):
        return  # its fields are whatever was measured
    assert from_json({**json.loads(to_line(event)), "later": {"a": 1}}) == event


@pytest.mark.parametrize("value", [None, "x", 7, [], {}, [{}, None], True], ids=repr)
@pytest.mark.parametrize("event", EVENTS, ids=NAMES)
def test_no_field_of_another_type_or_none_breaks_reading_or_judging(
    event: Event, value: Any
) -> None:
    content = json.loads(to_line(event))
    for name in (name for name in content if name != "kind"):
        missing = {key: of for key, of in content.items() if key != name}
        for changed in (missing, {**content, name: value}):
            read = from_json(changed)
            assert type(read) is type(event)
            judge([one if one is not event else read for one in EVENTS if read])


@pytest.mark.parametrize("outcome", [None, "xpassed", ["passed"], 0, True], ids=repr)
def test_an_outcome_that_no_check_can_have_is_an_error(outcome: object) -> None:
    event = from_json({"kind": "check", "check": "smoke.a.b", "outcome": outcome, "reason": "why"})
    assert isinstance(event, CheckResult)
    assert event.outcome is Outcome.ERROR
    assert event.reason == f"its outcome is {outcome!r}, which no check can have. why"


@pytest.mark.parametrize("code", [None, "0", 0.0, False, []], ids=repr)
def test_an_exit_code_that_is_none_never_promotes(code: object) -> None:
    event = from_json({"kind": "run_finished", "pytest_exit": code})
    assert isinstance(event, RunFinished)
    assert event.pytest_exit is None
    passed = [one for one in EVENTS if isinstance(one, RunStarted)]
    assert judge([*passed, event])["verdict"] == "UNDECIDED"


def test_what_earlier_versions_left_out_is_worked_out() -> None:
    lines: list[dict[str, Any]] = [
        {"kind": "run_started", "command": ["pytest", "-m", "smoke"]},
        {"kind": "check", "check": "smoke.a.b", "outcome": "passed"},
        {"kind": "phase", "t": 3.0, "name": "smoke", "seconds": 2.0},
        {"kind": "request", "t": 3.0, "method": "GET", "seconds": 0.5},
        {"kind": "run_finished", "t": 4.0, "pytest_exit": 0},
    ]
    start, check, phase, request, end = map(from_json, lines)
    assert isinstance(start, RunStarted)
    assert (start.command, start.target, start.expected) == (
        "pytest -m smoke",
        None,
        Expected(None, None),
    )
    assert isinstance(check, CheckResult)
    assert (check.title, check.stage, check.component) == ("smoke.a.b", "smoke", None)
    assert isinstance(phase, Phase)
    assert isinstance(request, Request)
    assert (phase.started, request.started, request.mutation) == (1.0, 2.5, False)
    assert isinstance(end, RunFinished)
    assert end.seconds == 4.0


def test_an_event_of_an_unknown_kind_is_kept_and_passed_on() -> None:
    line = '{"kind":"moon","t":1.5,"phase":"full"}'
    event = from_line(line)
    assert event == Unknown("moon", {"phase": "full"}, t=1.5)
    assert to_line(event) == line
    assert judge([event])["verdict"] == "UNDECIDED"


@pytest.mark.parametrize("line", ['{"kind":"che', "", "[1]", "7", '{"no":"kind"}', '{"kind":7}'])
def test_what_is_no_event_is_none(line: str) -> None:
    assert from_line(line) is None


def filled(value: Any) -> Any:
    """The value with the secret in every text."""
    if isinstance(value, dict):
        return {key: filled(of) for key, of in value.items()}
    if isinstance(value, list):
        return [filled(of) for of in value]
    return f"is {SECRET}" if isinstance(value, str) or value is None else value


@pytest.mark.parametrize("event", EVENTS, ids=NAMES)
def test_no_field_lets_a_secret_through(event: Event) -> None:
    content = json.loads(to_line(event))
    texts = filled({key: of for key, of in content.items() if key not in ("kind", "t", "outcome")})
    told = from_json({**content, **texts})
    assert told is not None
    line = to_line(told, Redactor([SECRET]).value)
    assert SECRET not in line
    assert line.count(MARK) == to_line(told).count(SECRET)


def test_events_of_kind_are_those_of_one_class() -> None:
    assert events_of_kind(EVENTS, Interrupted) == [Interrupted("SIGHUP", t=0.9)]


def test_the_schema_on_disk_is_that_of_the_classes() -> None:
    told = "run `python -m reports schema`"
    assert schema.FILE.read_text(encoding="utf-8") == schema.text(), told


def test_the_command_writes_the_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "FILE", tmp_path / "events.schema.json")
    assert command.main(["schema"]) == 0
    assert schema.FILE.read_text(encoding="utf-8") == schema.text()
