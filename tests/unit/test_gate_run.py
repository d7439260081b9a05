"""A run from its start to its verdict, with a stack, a Docker and a pytest session made by hand."""

import asyncio
import gc
import io
import json
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gate import run as runs
from gate import sidecar
from gate.errors import MachineError
from gate.evidence import CONTAINERS, REGISTRY, Evidence
from gate.hooks import Release
from gate.machine.interrupts import NUMBERS
from gate.options import Options
from gate.run import Gate
from gate.stages import STAGES
from gate.target import Credentials, Target
from gate.wire import WireError
from reports import terminal
from tests.unit.fakes import DISPOSABLE, LIVE, Hook, Planted, call, events, item, options

SMOKE = "tests/smoke/test_tls.py::test_lasts"
CONTROL = "tests/control/test_states.py::test_a"
UI = "tests/ui/test_page.py::test_c"
UPDATE = "tests/lifecycle/test_update.py::test_b"
RELEASE = Release("1.2", "abcdef0", "tag")
KEYS = Credentials("key", None, None)
CONTAINER: Any = SimpleNamespace(
    image="img",
    labels={},
    one_shot=False,
    exit_code=None,
    state="running",
    health="healthy",
    restarts=0,
)
MANIFEST = {
    **{stage: {} for stage in STAGES},
    "smoke": {"smoke.tls.lasts": ("proxy",)},
    "ui": {"ui.page.c": ("proxy",)},
}


class BringUp:
    """Writes down what is asked of it."""

    def __init__(self, target: Target) -> None:
        self.calls: list[str] = []
        self.target = target
        self.credentials = KEYS
        self.stack: Any = None
        self.problems: dict[str, Any] = {}
        self.drills = {"redis": 1}
        self.error: Exception | None = None

    def find_release(self) -> Release | None:
        if isinstance(self.error, MachineError):
            raise self.error
        return RELEASE if self.target.managed else None

    def require_browser(self) -> None:
        self.calls.append("browser")

    def clean(self) -> None:
        self.calls.append("clean")
        if self.error is not None:
            raise self.error

    def bring_up(self, release: Release) -> None:
        self.calls.append(f"bring up {release.tag}")
        self.target = replace(self.target, urls={"proxy": "https://localhost:7"})

    def take_down(self) -> None:
        self.calls.append("take down")


class Wire:
    """Sends nothing."""

    made: list[tuple[Any, ...]]

    def __init__(self, *words: Any) -> None:
        self.made.append(words)

    async def __aenter__(self) -> "Wire":
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class Run:
    """A run whose bring-up is made by hand."""

    def __init__(self, asked: Options) -> None:
        self.gate = Gate(asked, "pytest -m smoke")
        self.bringup = BringUp(asked.target)
        self.gate.bringup = self.bringup  # type: ignore[assignment]
        self.gate.schedule._manifest = {stage: dict(MANIFEST[stage]) for stage in STAGES}

    def prepare(self, *items: Any) -> bool:
        self.items = list(items)
        self.gate.collect(self.items)
        return self.gate.prepare(self.items)

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        return events(self.gate.recorder, kind)

    @property
    def trouble(self) -> list[str]:
        return [one["message"] for one in self.events("trouble")]


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def wires(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """How the wire was made that evidence was gathered through."""
    made: list[tuple[Any, ...]] = []

    class Made(Wire):
        pass

    Made.made = made
    monkeypatch.setattr(runs, "Wire", Made)
    sees(monkeypatch, {"proxy": CONTAINER})
    monkeypatch.setattr(sidecar, "is_possible", lambda: True)
    return made


def sees(monkeypatch: pytest.MonkeyPatch, containers: Any) -> None:
    async def gather(_: Any, probes: Any) -> Evidence:
        assert probes is REGISTRY
        await asyncio.sleep(0)
        return Evidence(DISPOSABLE, {CONTAINERS: containers})

    monkeypatch.setattr(runs, "gather", gather)


# From the start to the verdict


def test_a_healthy_stack_is_promoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(options(tmp_path))
    assert run.gate.evidence is None
    assert run.gate.exit_code is None
    assert run.prepare(item(SMOKE, "seen"))
    (one,) = run.items
    assert run.gate.begin(one) is None
    run.gate.take_result(one, call())
    assert run.gate.finish(0) == 0
    assert run.gate.exit_code == 0
    assert run.bringup.calls == ["clean", "bring up tag", "take down"]
    verdict = json.loads((run.gate.recorder.folder / "verdict.json").read_text())
    assert verdict["verdict"] == "PROMOTE"
    assert verdict["run_id"] == run.gate.recorder.folder.name
    assert "PROMOTE" in capsys.readouterr().out
    assert run.events()[-1]["pytest_exit"] == 0
    assert (tmp_path / "latest" / "index.html").exists()


def test_a_failed_check_holds(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    run.prepare(item(SMOKE, "seen"))
    (one,) = run.items
    run.gate.begin(one)
    run.gate.take_result(one, call(error=AssertionError()))
    assert run.gate.finish(1) == 1
    assert run.gate.exit_code == 1


def test_a_run_says_what_it_is_of(tmp_path: Path) -> None:
    run = Run(options(tmp_path, stages=("smoke", "ui"), version="1.3"))
    run.prepare(item(SMOKE, "seen"))
    started = run.events()[0]
    assert started["kind"] == "run_started"
    assert started["target"]["name"] == "disposable"
    assert started["expected"] == {"version": "1.3", "revision": "abcdef0"}
    assert started["asked"] == ["smoke", "ui"]
    assert "load" in started["not_asked"]
    assert started["command"] == "pytest -m smoke"


def test_no_secret_of_the_options_is_written(tmp_path: Path) -> None:
    run = Run(options(tmp_path, credentials=Credentials("hunter2", None, None)))
    run.gate.recorder.trouble("hunter2")
    assert "hunter2" not in str(run.events())


def test_evidence_knows_how_the_stack_came_up_and_what_must_run(
    tmp_path: Path, wires: list[tuple[Any, ...]]
) -> None:
    run = Run(options(tmp_path))
    run.bringup.problems = {"redis": SimpleNamespace(service="redis", seen="gone")}
    assert run.prepare(item(SMOKE, "seen"))
    evidence = run.gate.evidence
    assert evidence is not None
    assert evidence.problems is run.bringup.problems
    assert evidence.drills == {"redis": 1}
    assert evidence.expected == {"version": "1.2", "revision": "abcdef0"}
    ((target, keys, record, began),) = wires
    assert target.urls == {"proxy": "https://localhost:7"}
    assert (keys, record) == (KEYS, run.gate.recorder.request)
    assert began + run.gate.stream.now() == pytest.approx(time.monotonic(), abs=1.0)
    (component,) = run.events("component")
    assert (component["name"], component["address"]) == ("proxy", "https://localhost:7")
    assert "evidence" in [one["name"] for one in run.events("phase")]


def test_what_is_required_is_told_once_the_stack_is_there(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    assert run.prepare(item(SMOKE, "seen"), item(CONTROL, "seen", needs=("direct:redis",)))
    (required,) = run.events("required")
    assert required["checks"] == ["smoke.tls.lasts"]
    assert [one.nodeid for one in run.items] == [SMOKE]
    assert [one["check"] for one in run.events("check")] == ["control.states.a"]


def test_a_run_without_checks_brings_nothing_up(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    assert run.prepare()
    assert run.bringup.calls == []
    assert len(run.events("required")) == 1


def test_a_live_target_is_only_looked_at(tmp_path: Path) -> None:
    run = Run(options(tmp_path, LIVE))
    assert run.prepare(item(UPDATE))
    assert run.bringup.calls == []
    assert run.gate.evidence is not None
    assert run.gate.evidence.expected == {"version": None, "revision": None}


def test_checks_that_look_at_no_stack_get_none(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    assert run.prepare(item(UPDATE, "deployment"))
    assert run.bringup.calls == ["clean"]
    assert run.gate.evidence is None


def planted(folder: Path) -> Options:
    return options(folder, extensions=(Planted(Hook([])),))


@pytest.mark.parametrize("how", ["fault", "on_stack"])
def test_a_stack_that_was_named_or_changed_is_always_looked_at_and_alone(
    tmp_path: Path, how: str
) -> None:
    run = Run(planted(tmp_path) if how == "fault" else options(tmp_path, on_stack="r0"))
    assert run.prepare(item(UPDATE, "deployment"), item(CONTROL))
    assert run.bringup.calls == ["clean", "bring up tag"]
    assert [one.nodeid for one in run.items] == [CONTROL, UPDATE]
    assert not run.gate.schedule._elsewhere


def test_checks_that_wait_run_beside_those_of_the_run_s_own_stack(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    assert run.prepare(item(UPDATE, "deployment"), item(CONTROL))
    assert run.gate.schedule._elsewhere == (UPDATE,)
    run = Run(options(tmp_path, LIVE))
    assert run.prepare(item(UPDATE, "deployment"), item(CONTROL))
    assert not run.gate.schedule._elsewhere


def test_checks_of_a_page_need_a_browser_before_anything_starts(tmp_path: Path) -> None:
    run = Run(options(tmp_path, stages=("ui",)))
    assert run.prepare(item(UI, "operator"))
    assert run.bringup.calls[:2] == ["browser", "clean"]


# What the machine cannot do


def test_a_tree_that_git_cannot_name_is_trouble_of_a_run_that_began(tmp_path: Path) -> None:
    run = Run(options(tmp_path, revision="1234567"))
    run.bringup.error = MachineError("expected git to answer, but: no")
    assert not run.prepare(item(SMOKE, "seen"))
    assert run.events()[0]["expected"] == {"version": None, "revision": "1234567"}
    assert run.trouble == ["expected git to answer, but: no"]
    assert run.gate.finish(0) == 6
    assert run.gate.exit_code == 6


def test_a_crash_of_the_gate_is_trouble_with_its_traceback(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    run.bringup.error = KeyError("x")
    assert not run.prepare(item(SMOKE, "seen"))
    assert "the gate crashed: test_gate_run.py:" in run.trouble[0]
    assert "KeyError" in (run.gate.recorder.folder / "logs" / "crash.log").read_text()
    assert run.gate.finish(0) == 6


@pytest.mark.parametrize(
    ("seen", "words"), [({}, "it has none"), (WireError("no socket"), "no socket")]
)
def test_containers_that_docker_does_not_tell_of_are_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: Any, words: str
) -> None:
    sees(monkeypatch, seen)
    run = Run(options(tmp_path, replace(LIVE, project="breakout-bot")))
    run.gate.schedule._manifest["smoke"]["smoke.containers.x"] = ("project",)
    assert run.prepare(item(SMOKE, "seen"))
    assert f"the containers of breakout-bot, but {words}" in run.trouble[0]
    assert run.bringup.target.project is None
    assert run.events("required")[0]["checks"] == ["smoke.tls.lasts"]


@pytest.mark.parametrize(
    ("target", "seen"),
    [(replace(LIVE, project="p"), {"proxy": CONTAINER}), (LIVE, {}), (DISPOSABLE, {})],
)
def test_other_targets_have_no_trouble_with_docker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Target, seen: Any
) -> None:
    sees(monkeypatch, seen)
    run = Run(options(tmp_path, target))
    assert run.prepare(item(SMOKE, "seen"))
    assert run.trouble == []
    assert run.bringup.target.project == target.project


# While the checks run


def test_a_stack_with_problems_gets_no_work(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    run.bringup.problems = {"redis": SimpleNamespace(service="redis", seen="gone")}
    run.prepare(item(CONTROL, "operator"))
    assert "did not come up" in str(run.gate.begin(run.items[0]))


def test_only_its_own_gate_tells_of_a_check_that_ran_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(options(tmp_path))
    run.prepare(item(UPDATE, "deployment"), item(CONTROL))
    update = next(one for one in run.items if one.nodeid == UPDATE)
    skipped = call("setup", pytest.skip.Exception("it ran in the gate of lifecycle"))
    monkeypatch.setattr(run.gate.schedule, "is_of_sidecar", lambda one: one is update)
    run.gate.take_result(update, skipped)
    assert run.events("check") == []
    run.gate.take_result(update, call("setup"))
    run.gate.take_result(update, call("teardown", KeyError("x")))
    assert [one["outcome"] for one in run.events("check")] == ["error"]
    monkeypatch.setattr(run.gate.schedule, "is_of_sidecar", lambda _: False)
    run.gate.take_result(update, skipped)
    assert [one["outcome"] for one in run.events("check")] == ["error", "not_run"]


def test_hands_act_on_the_stack_that_came_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = SimpleNamespace(Operator=lambda *words: words)
    monkeypatch.setitem(sys.modules, "gate.operator", module)
    run = Run(options(tmp_path))
    run.bringup.stack = "the stack"
    made: Any = run.gate.operator()
    assert made == (
        run.bringup.target,
        KEYS,
        "the stack",
        run.gate.recorder.request,
        run.gate.stream,
    )


def test_a_stage_times_parts_of_its_own(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    with run.gate.phase("comparison", "comparing"):
        pass
    assert [one["name"] for one in run.events("phase")] == ["comparison"]


# The end


def test_a_run_that_is_told_to_stop_says_by_what_and_is_not_hurried(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    run.prepare(item(SMOKE, "seen"))
    with pytest.raises(KeyboardInterrupt):
        run.gate.told_to_stop(signal.SIGTERM, None)
    assert all(signal.getsignal(number) is signal.SIG_IGN for number in NUMBERS)
    assert run.gate.finish(2) == 2
    (event,) = run.events("interrupted")
    assert event["signal"] == "SIGTERM"
    assert run.bringup.calls[-1] == "take down"


def test_gathering_that_is_told_to_stop_ends_at_once_and_shows_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(options(tmp_path, LIVE))

    async def probe() -> None:
        run.gate.told_to_stop(signal.SIGHUP, None)
        await asyncio.sleep(30)

    async def gather(*_: Any) -> Any:
        await asyncio.gather(probe())

    monkeypatch.setattr(runs, "gather", gather)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run.prepare(item(SMOKE, "seen"))
    assert time.monotonic() - began < 20
    gc.collect()
    assert not caplog.records
    run.gate.finish(2)
    assert [one["signal"] for one in run.events("interrupted")] == ["SIGHUP"]


def test_once_evidence_is_gathered_a_run_ends_where_it_is(tmp_path: Path) -> None:
    run = Run(options(tmp_path, LIVE))
    assert run.prepare(item(SMOKE, "seen"))
    with pytest.raises(KeyboardInterrupt):
        run.gate.told_to_stop(signal.SIGTERM, None)


def test_a_run_that_pytest_ends_was_ended_by_ctrl_c(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    run.prepare(item(SMOKE, "seen"))
    run.gate.finish(2)
    assert [one["signal"] for one in run.events("interrupted")] == ["Ctrl-C"]


def test_a_run_that_ends_by_itself_was_not_interrupted(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    run.prepare(item(SMOKE, "seen"))
    run.gate.finish(1)
    assert run.events("interrupted") == []


def test_checks_that_cannot_be_collected_are_no_interruption(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    run.gate.finish(2)
    assert run.events("interrupted") == []
    assert [one["kind"] for one in run.events()] == ["run_finished"]


def test_the_end_of_a_run_is_not_hurried(tmp_path: Path) -> None:
    Run(options(tmp_path)).gate.finish(0)
    assert all(signal.getsignal(number) is signal.SIG_IGN for number in NUMBERS)


def test_all_that_is_left_is_told_before_the_end(tmp_path: Path) -> None:
    run = Run(options(tmp_path))
    run.prepare(item(SMOKE, "seen"))
    run.gate.deselect([item("tests/smoke/test_tls.py::test_other")])
    run.gate.begin(run.items[0])
    run.gate.finish(0)
    told = [one["kind"] for one in run.events()][-3:]
    assert told == ["phase", "check", "run_finished"]
    assert run.events("check")[-1]["check"] == "smoke.tls.other"


class Terminal(io.StringIO):
    encoding = "utf-16"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "no_colour", "colour", "columns"),
    [
        (Terminal(), "", True, 77),
        (Terminal(), "1", False, 77),
        (io.StringIO(), "", False, 100),
    ],
)
def test_the_verdict_is_shown_as_wide_and_coloured_as_the_terminal_can(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: Any,
    no_colour: str,
    colour: bool,
    columns: int,
) -> None:
    shown: list[tuple[Any, ...]] = []

    def text(*words: Any) -> str:
        shown.append(words)
        return "VERDICT"

    monkeypatch.setattr(terminal, "text", text)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("NO_COLOR", no_colour)
    monkeypatch.setenv("COLUMNS", "77")
    monkeypatch.chdir(tmp_path)
    run = Run(options(tmp_path / "reports"))
    run.gate.finish(0)
    assert out.getvalue() == "VERDICT"
    encoding = out.encoding or "utf-8"
    assert shown[0][1:] == (colour, columns, encoding, "reports/latest/index.html")


def test_a_verdict_that_cannot_be_shown_has_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(options(tmp_path))

    def text(*_: Any) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(terminal, "text", text)
    with pytest.raises(ZeroDivisionError):
        run.gate.finish(0)
    assert run.gate.exit_code == 6


def test_a_report_elsewhere_is_named_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Run(options(tmp_path)).gate.finish(0)
    assert str(tmp_path / "latest" / "index.html") in capsys.readouterr().out
