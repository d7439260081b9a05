"""What the recorder writes of a run and of its checks."""

import errno
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gate import manifest
from gate.checks import Check, CheckFailed, Failure
from gate.containers import REVISION_LABEL, SOURCE_LABEL, VERSION_LABEL
from gate.errors import MachineError
from gate.machine.pressure import Pressure
from gate.recorder import AWAY, ENTRY_AWAY, ROOTS, PlannedCheck, Recorder, where
from gate.stages import STAGES
from gate.wire import DockerSilent, Sent, WireError
from reports.checks import matches
from reports.events import Expected, Interrupted
from reports.progress import Progress
from reports.stream import read
from tests.unit.fakes import DISPOSABLE, call, events, raised, recorder

CHECK = Check("redis", "it is down", "start it", ("redis",), ("smoke.stack.starts[redis]",))
PLANNED = PlannedCheck("smoke.redis.can_save", CHECK, "can save")
IDS = [check for checks in manifest.load().values() for check in checks]


def planned(identifier: str, check: Check = CHECK) -> PlannedCheck:
    return PlannedCheck(identifier, check, "a title")


def result(one: Recorder, *calls: Any, check: PlannedCheck = PLANNED) -> dict[str, Any]:
    for told in calls:
        one.take_result(check, told)
    (event,) = events(one, "check")
    return event


# The run


def test_nothing_is_on_disk_before_something_is_written(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    assert not one.has_begun
    assert not list(tmp_path.iterdir())
    one.trouble("x")
    assert one.has_begun
    assert (tmp_path / "runs" / "r1" / "events.jsonl").exists()


def test_no_secret_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_API_KEY", "hunter-one")
    one = recorder(tmp_path, "hunter-two")
    one.add_secrets(["hunter-three"])
    one.trouble("hunter-one hunter-two hunter-three")
    one.add_secrets(["hunter-four"])
    one.trouble("hunter-four")
    assert "hunter" not in (one.folder / "events.jsonl").read_text()


def test_a_run_begins_with_what_it_is_of(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    one.run_started(
        DISPOSABLE, Expected("1", None), {"smoke": True, "ui": False}, "pytest -m smoke"
    )
    (event,) = events(one)
    assert event["kind"] == "run_started"
    assert event["run_id"] == "r1"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", event["at"])
    assert event["target"] == {
        "name": "disposable",
        "kind": "disposable",
        "url": "https://localhost:1",
    }
    assert event["expected"] == {"version": "1", "revision": None}
    assert (event["asked"], event["not_asked"]) == (["smoke"], ["ui"])
    assert event["stages"] == list(STAGES)
    assert event["command"] == "pytest -m smoke"


def test_a_run_ends_with_pytest_s_exit_code_and_takes_no_more(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    one.emit(Interrupted("SIGTERM"))
    one.run_finished(2)
    told, end = events(one)
    assert (told["kind"], told["signal"]) == ("interrupted", "SIGTERM")
    assert (end["kind"], end["pytest_exit"]) == ("run_finished", 2)
    assert end["seconds"] >= 0
    with pytest.raises(ValueError, match="closed"):
        one.trouble("x")


def test_a_part_of_the_run_is_timed_and_shown_also_when_it_fails(tmp_path: Path) -> None:
    shown = io.StringIO()
    one = Recorder(tmp_path, Progress(shown, threshold=0.0, background=False))
    with pytest.raises(MachineError), one.phase("set-up", "building images"):
        raise MachineError("no disk")
    (event,) = events(one, "phase")
    assert event["name"] == "set-up"
    assert 0 <= event["started"] <= event["t"]
    assert event["seconds"] >= 0
    assert "building images: failed after" in shown.getvalue()


def test_a_step_is_shown_and_not_timed(tmp_path: Path) -> None:
    shown = io.StringIO()
    one = Recorder(tmp_path, Progress(shown, threshold=0.0, background=False))
    with one.step("waiting"):
        assert shown.getvalue() == ""
    assert shown.getvalue().startswith("waiting: ")
    assert not one.has_begun


def test_trouble_says_what_was_expected_and_what_was_seen(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    one.trouble("expected a disk with room, but: it is full")
    one.trouble("something else")
    first, second = events(one, "trouble")
    assert first["message"] == "expected a disk with room, but: it is full"
    assert (first["expected"], first["seen"]) == ("expected a disk with room", "it is full")
    assert "run the gate again" in first["next_step"]
    assert (second["expected"], second["seen"]) == (None, None)


def test_a_crash_keeps_its_traceback(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    one.crash(raised(KeyError("x")))
    (event,) = events(one, "trouble")
    assert re.match(r"the gate crashed: fakes\.py:\d+: KeyError: 'x'; its", event["message"])
    assert "logs/crash.log" in event["message"]
    assert "Traceback" in (one.folder / "logs" / "crash.log").read_text()


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_what_the_machine_lacks_is_no_crash_of_the_gate(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    one.crash(FULL)
    (event,) = events(one, "trouble")
    assert event["message"].startswith("expected space on the disk")
    assert not (one.folder / "logs").exists()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FULL, "it was not done: expected space on the disk"),
        (MachineError("Docker is away"), "it was not done: Docker is away"),
        (WireError("no answer"), "it was not done: no answer"),
        (KeyError("x"), "it was not done: test_gate_recorder.py:"),
    ],
)
def test_what_goes_wrong_at_the_end_is_trouble_and_ends_nothing(
    tmp_path: Path, error: Exception, words: str
) -> None:
    one = recorder(tmp_path)
    with one.report_and_continue("it was not done"):
        raise error
    (event,) = events(one, "trouble")
    assert event["message"].startswith(words)


def test_what_left_the_process_is_written(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    sent = Sent("GET", "https://a/", "proxy", 1.0, 0.5, 200, None, False)
    one.request(sent)
    (event,) = events(one, "request")
    assert {key: event[key] for key in vars(sent)} == vars(sent)


def test_containers_are_written_with_what_they_run(tmp_path: Path) -> None:
    labels = {VERSION_LABEL: "1", REVISION_LABEL: "abc", SOURCE_LABEL: "debian-trixie"}
    seen = {"image": "img", "health": "healthy", "restarts": 2, "state": "exited"}
    done: Any = SimpleNamespace(**seen, one_shot=True, exit_code=0, labels=labels)
    broken: Any = SimpleNamespace(**seen, one_shot=True, exit_code=1, labels={})
    one = recorder(tmp_path)
    one.components({"certs": done, "api": broken}, {"api": "http://localhost:2"})
    certs, api = events(one, "component")
    assert {key: value for key, value in certs.items() if key not in ("t", "kind")} == {
        "name": "certs",
        "image": "img",
        "version": "1",
        "revision": "abc",
        "state": "done",
        "health": "healthy",
        "restarts": 2,
        "source": "debian-trixie",
        "address": None,
    }
    assert (api["name"], api["state"], api["version"]) == ("api", "exited", None)
    assert api["address"] == "http://localhost:2"


def test_what_is_required_and_waived_is_written(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    one.required("smoke", ["a", "b"], {"b": "no Grafana", "c": "of another stage"})
    required, waiver = events(one)
    assert (required["kind"], required["stage"], required["checks"]) == (
        "required",
        "smoke",
        ["a", "b"],
    )
    assert (waiver["kind"], waiver["check"], waiver["reason"]) == ("waiver", "b", "no Grafana")


# Checks


def test_a_check_that_passes_is_written_once_with_the_time_of_its_setup(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    event = result(one, call("setup", seconds=2.0), call(seconds=0.5), call("teardown"))
    assert event["check"] == "smoke.redis.can_save"
    assert (event["title"], event["stage"], event["component"]) == ("can save", "smoke", "redis")
    assert (event["outcome"], event["seconds"]) == ("passed", 2.5)
    assert (event["reason"], event["finding"]) == (None, None)
    assert one.failed == []


def test_the_time_of_a_setup_is_of_its_own_check_only(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    for told in (call("setup", seconds=2.0), call(), call("teardown", seconds=9.0), call()):
        one.take_result(PLANNED, told)
    assert [event["seconds"] for event in events(one, "check")] == [2.5, 0.5]


def test_a_failed_check_says_what_it_saw(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    error = CheckFailed(Failure("a save", "no disk", "INFO", component="host", cause="full"))
    event = result(one, call(error=error))
    assert (event["outcome"], event["component"]) == ("failed", "host")
    assert event["finding"] == {
        "expected": "a save",
        "seen": "no disk",
        "likely_cause": "full",
        "next_step": "start it",
        "evidence": "INFO",
        "machine": None,
    }
    assert one.failed == ["smoke.redis.can_save"]


@pytest.mark.parametrize(
    ("expected", "seen", "is_late"),
    [
        ("an answer within 2 s", "none", True),
        ("p99 below 300 ms", "p99 of 512.5ms", True),
        ("user 999", "user 0", False),
        ("3 services", "2", False),
    ],
)
def test_a_late_answer_says_that_the_machine_was_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str, seen: str, is_late: bool
) -> None:
    monkeypatch.setattr(Pressure, "shortage", lambda _, seconds: f"cores for {seconds:.0f} s")
    event = result(recorder(tmp_path), call(error=CheckFailed(Failure(expected, seen))))
    assert event["finding"]["machine"] == ("cores for 0 s" if is_late else None)


def test_a_failed_check_has_the_cause_and_component_of_its_declaration(tmp_path: Path) -> None:
    event = result(recorder(tmp_path), call(error=CheckFailed(Failure("a save", "none"))))
    assert event["component"] == "redis"
    assert event["finding"]["likely_cause"] == "it is down"


def test_no_answer_is_a_failure_and_a_silent_docker_is_not(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    one.take_result(PLANNED, call(error=WireError("refused")))
    one.take_result(PLANNED, call(error=DockerSilent("no socket")))
    failed, error = events(one, "check")
    assert (failed["outcome"], error["outcome"]) == ("failed", "error")
    assert (failed["finding"]["expected"], failed["finding"]["seen"]) == ("an answer", "refused")
    assert "no socket" in error["reason"]


def test_a_plain_assertion_says_where_it_stands(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    one.take_result(PLANNED, call(error=(AssertionError("1 == 2"))))
    one.take_result(PLANNED, call(error=(AssertionError())))
    first, second = (event["finding"] for event in events(one, "check"))
    assert re.match(r"the assertion at fakes\.py:\d+: AssertionError", first["expected"])
    assert (first["seen"], second["seen"]) == ("1 == 2", "it does not")


def test_a_skipped_check_did_not_run_and_says_why(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    event = result(one, call("setup", pytest.skip.Exception("out of time")))
    assert (event["outcome"], event["reason"]) == ("not_run", "out of time")
    assert one.failed == []


def test_a_check_that_breaks_is_an_error_that_counts_as_failed(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    event = result(one, call("setup", KeyError("x"), seconds=0.25))
    assert event["outcome"] == "error"
    assert re.match(r"fakes\.py:\d+: KeyError: 'x'", event["reason"])
    assert event["seconds"] == 0.25
    assert one.failed == ["smoke.redis.can_save"]


def test_a_check_that_the_machine_broke_says_what_it_lacks(tmp_path: Path) -> None:
    event = result(recorder(tmp_path), call(error=FULL))
    assert event["outcome"] == "error"
    assert event["reason"].startswith("expected space on the disk")


def test_a_check_without_a_turn_did_not_run(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    one.not_run(PLANNED, "waived: because")
    (event,) = events(one, "check")
    assert (event["outcome"], event["reason"]) == ("not_run", "waived: because")
    assert (event["check"], event["seconds"]) == ("smoke.redis.can_save", 0.0)


def test_a_deselected_check_did_not_run(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    one.deselected("bot.control.pause.b", "left out by -k")
    (event,) = events(one, "check")
    assert {key: value for key, value in event.items() if key not in ("t", "kind")} == {
        "check": "bot.control.pause.b",
        "title": "bot.control.pause.b",
        "stage": "control",
        "component": None,
        "outcome": "not_run",
        "seconds": 0.0,
        "reason": "left out by -k",
        "finding": None,
        "follows": [],
    }


def test_the_innermost_line_of_ours_is_named() -> None:
    assert re.match(r"fakes\.py:\d+: ValueError: x", where(raised(ValueError("x"))))
    assert where(ValueError("x")) == "ValueError: x"


# What explains a failure


def follows(folder: Path, check: PlannedCheck, failure: Failure | None = None) -> list[str]:
    error = CheckFailed(failure or Failure("a", "b"))
    found: list[str] = result(recorder(folder), call(error=error), check=check)["follows"]
    return found


def test_a_failure_follows_its_component_and_the_blamed_one_being_away(tmp_path: Path) -> None:
    assert follows(tmp_path, PLANNED, Failure("a", "b", component="exchange")) == [
        "smoke.stack.starts[redis]",
        "smoke.reach.answers*[redis]",
        "smoke.reach.answers*[exchange]",
    ]


def test_what_goes_through_the_proxy_follows_the_proxy_being_away(tmp_path: Path) -> None:
    through = Check("api", "c", "f", ("proxy",), ())
    assert follows(tmp_path, planned("smoke.health.is_healthy", through)) == [
        "smoke.reach.answers*[api]",
        "smoke.reach.answers[proxy]",
    ]


@pytest.mark.parametrize(
    "name", ["stack.starts", "containers.is_running", "reach.answers", "tls.can_be_reached"]
)
def test_what_says_why_nothing_answers_follows_only_what_it_declares(
    tmp_path: Path, name: str
) -> None:
    through = Check("proxy", "c", "f", ("proxy",), ("smoke.stack.*",))
    assert follows(tmp_path, planned(f"smoke.{name}[proxy]", through)) == ["smoke.stack.*"]


@pytest.mark.parametrize("glob", [*ROOTS, AWAY.format(component="*"), ENTRY_AWAY])
def test_what_the_engine_knows_of_checks_matches_some(glob: str) -> None:
    assert any(matches(glob, check) for check in IDS)


# A gate beside this one


def test_results_of_another_gate_are_taken_over(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    there = recorder(tmp_path / "other")
    there.take_result(planned("lifecycle.update.a"), call())
    there.take_result(planned("lifecycle.update.b"), call(error=KeyError()))
    there.trouble("x")
    one.take_over(read(there.folder))
    one.stream.attach("api.log", "words")
    assert [event["kind"] for event in events(one)] == ["check", "check", "trouble"]
    assert events(one)[1]["check"] == "lifecycle.update.b"
    assert one.failed == ["lifecycle.update.b"]
    assert (one.folder / "logs" / "api.log").read_text() == "words"
