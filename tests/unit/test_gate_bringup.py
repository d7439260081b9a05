"""How a run's own stack comes up and goes, with a stack that does not do what it should."""

from pathlib import Path
from typing import Any

import pytest

from gate import hooks as hooked
from gate import stack as stacks
from gate.bringup import BringUp
from gate.errors import MachineError
from gate.hooks import Release
from gate.options import Options
from gate.ready import Problem
from gate.target import Credentials, Target
from tests.unit.fakes import DISPOSABLE, LIVE, Hook, Planted, events, options, recorder

RELEASE = Release("1.2", "abcdef0", "tag")
KEYS = Credentials("the-api-key", None, None)
EXITED = Problem("redis", "exited with code 1")
NO_COMPOSE = Problem("stack", "`docker compose up` failed")


class Stack:
    """A stack of no containers, whose ports change each time one asks."""

    calls: list[str]
    failing_up: Problem | None = None
    not_ready: tuple[Problem, ...] = ()
    are_broken: tuple[Problem, ...] = ()
    error: Exception | None = None

    def __init__(self, *words: Any) -> None:
        self.words = words
        self.credentials = KEYS
        self.compose = "compose"
        self.asked = 0
        self.settled: Any = None

    def up(self) -> Problem | None:
        self.calls.append("up")
        return self.failing_up

    def target(self) -> Target:
        self.asked += 1
        return Target("disposable", "disposable", {"proxy": f"https://localhost:{self.asked}"})

    def ready(self, target: Target) -> list[Problem]:
        self.calls.append(f"ready {target.urls['proxy'][-1]}")
        return list(self.not_ready)

    def broken(self, target: Target) -> list[Problem]:
        self.calls.append(f"broken {target.urls['proxy'][-1]}")
        return list(self.are_broken)

    def settle(self, target: Target, broken: set[str]) -> None:
        self.calls.append(f"settle {target.urls['proxy'][-1]}")
        self.settled = broken

    def health_drills(self) -> dict[str, int]:
        self.calls.append("drills")
        return {"redis": 1}

    def last_words(self) -> dict[str, str]:
        self.calls.append("last words")
        if self.error is not None:
            raise self.error
        return {"redis": "words"}

    def remove(self) -> None:
        self.calls.append("remove")
        if self.error is not None:
            raise self.error


class Run:
    """A bring-up with what it works with."""

    def __init__(self, folder: Path, asked: Options) -> None:
        self.recorder = recorder(folder)
        self.bringup = BringUp(asked, self.recorder, "r1")

    @property
    def phases(self) -> list[str]:
        return [event["name"] for event in events(self.recorder, "phase")]

    @property
    def port(self) -> str:
        return self.bringup.target.urls["proxy"][-1]

    @property
    def stack(self) -> Any:
        return self.bringup.stack


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the stack, which stands in for Docker's."""
    made: list[str] = []

    class Made(Stack):
        calls = made

    monkeypatch.setattr(stacks, "Stack", Made)
    monkeypatch.setattr(stacks, "build", lambda *words: made.append(f"build {words}"))
    monkeypatch.setattr(stacks, "clean_start", lambda: made.append("clean"))
    monkeypatch.setattr(stacks, "attach", lambda name: f"attached {name}")
    return made


def brought_up(folder: Path, stage: str = "smoke", *hooks: Hook, **changes: Any) -> Run:
    extensions = tuple(Planted(hook) for hook in hooks)
    run = Run(folder, options(folder, stages=(stage,), extensions=extensions))
    for name, value in changes.items():
        setattr(stacks.Stack, name, value)
    run.bringup.bring_up(RELEASE)
    return run


BUILT = f"build ('compose', {RELEASE!r})"


class Hooks:
    """What the owner of a stack knows."""

    def release(self) -> Release:
        return RELEASE

    def require_browser(self) -> None:
        raise MachineError("no browser")


@pytest.fixture
def _hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooked, "hooks", Hooks)


@pytest.mark.usefixtures("_hooks")
def test_the_release_is_that_of_this_tree_for_a_stack_of_the_run_s_own(tmp_path: Path) -> None:
    assert Run(tmp_path, options(tmp_path)).bringup.find_release() is RELEASE
    assert Run(tmp_path, options(tmp_path, LIVE)).bringup.find_release() is None


@pytest.mark.usefixtures("_hooks")
def test_a_machine_without_a_browser_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no browser"):
        Run(tmp_path, options(tmp_path)).bringup.require_browser()


def test_what_ended_runs_left_is_taken_away_first(tmp_path: Path, calls: list[str]) -> None:
    run = Run(tmp_path, options(tmp_path))
    run.bringup.clean()
    assert calls == ["clean"]
    assert run.phases == ["clean"]
    assert run.bringup.stack is None


def test_a_stack_is_built_started_waited_for_and_looked_at(
    tmp_path: Path, calls: list[str]
) -> None:
    run = brought_up(tmp_path)
    assert calls == [BUILT, "up", "ready 1", "settle 2", "drills"]
    assert run.phases == ["set-up", "bring-up", "settle", "drills"]
    assert (run.bringup.problems, run.bringup.drills) == ({}, {"redis": 1})
    assert run.port == "2"
    assert run.stack.settled == set()


def test_before_there_is_a_stack_all_is_as_the_options_say(tmp_path: Path) -> None:
    bringup = Run(tmp_path, options(tmp_path, credentials=KEYS)).bringup
    assert bringup.stack is None
    assert (bringup.target, bringup.credentials) == (DISPOSABLE, KEYS)
    assert (bringup.problems, bringup.drills) == ({}, {})


def test_the_stack_is_made_as_the_options_say(tmp_path: Path, calls: list[str]) -> None:
    files = (Path("more.yaml"),)
    asked = options(tmp_path, compose_files=files, keep_stack=True)
    run = Run(tmp_path, asked)
    run.bringup.bring_up(RELEASE)
    assert run.stack.words == ("r1", RELEASE, files, True, None)
    assert run.bringup.credentials is KEYS
    run.recorder.trouble("it says the-api-key")
    assert "the-api-key" not in str(events(run.recorder))
    assert calls[0] == BUILT


@pytest.mark.usefixtures("calls")
def test_the_stack_of_another_run_is_found(tmp_path: Path) -> None:
    run = Run(tmp_path, options(tmp_path, on_stack="r0"))
    run.bringup.bring_up(RELEASE)
    assert run.stack.words == ("r0", RELEASE, (), False, "attached r0")


@pytest.mark.parametrize(
    ("stage", "waited"),
    [
        ("smoke", ["settle 2", "drills"]),
        ("observability", ["settle 2"]),
        ("control", []),
    ],
)
def test_only_stages_that_need_a_first_look_wait_for_it(
    tmp_path: Path, calls: list[str], stage: str, waited: list[str]
) -> None:
    brought_up(tmp_path, stage)
    assert calls[3:] == waited


def test_a_service_that_does_not_come_up_is_evidence(tmp_path: Path, calls: list[str]) -> None:
    run = brought_up(tmp_path, not_ready=(EXITED,))
    assert run.bringup.problems == {"redis": EXITED}
    assert calls[2:] == ["ready 1", "settle 2"]
    assert run.stack.settled == {"redis"}
    assert run.bringup.drills == {}


def test_what_kept_compose_from_starting_says_more_than_compose(
    tmp_path: Path, calls: list[str]
) -> None:
    run = brought_up(tmp_path, failing_up=NO_COMPOSE, are_broken=(EXITED,))
    assert run.bringup.problems == {"redis": EXITED}
    assert calls[1:3] == ["up", "broken 1"]


@pytest.mark.parametrize("service", ["stack", "prometheus"])
def test_nobody_waits_for_a_first_look_that_cannot_come(
    tmp_path: Path, calls: list[str], service: str
) -> None:
    run = brought_up(tmp_path, failing_up=Problem(service, "gone"))
    assert list(run.bringup.problems) == [service]
    assert calls[1:] == ["up", "broken 1"]
    assert run.phases == ["set-up", "bring-up"]


# Faults


def test_a_fault_is_planted_before_the_start_and_while_it_runs(
    tmp_path: Path, calls: list[str]
) -> None:
    run = brought_up(tmp_path, "control", Hook(calls))
    assert calls == [BUILT, "hook.before", "up", "ready 1", "hook.shown", "hook.now"]
    assert run.phases == ["set-up", "planting", "bring-up", "planting"]
    assert [(one["id"], one["title"]) for one in events(run.recorder, "fault")] == [
        ("f1", "A fault"),
        ("f1", "A fault"),
    ]
    assert run.port == "3"
    assert run.bringup.problems == {}


def test_what_does_not_come_up_again_for_a_fault_is_evidence(
    tmp_path: Path, calls: list[str]
) -> None:
    run = brought_up(tmp_path, "control", Hook(calls, [EXITED]))
    assert run.bringup.problems == {"redis": EXITED}


def test_nothing_is_planted_in_a_stack_that_did_not_come_up(
    tmp_path: Path, calls: list[str]
) -> None:
    run = brought_up(tmp_path, "control", Hook(calls), not_ready=(EXITED,))
    assert calls[-1] == "hook.shown"
    assert len(events(run.recorder, "fault")) == 1


def test_a_fault_is_not_looked_for_where_compose_gave_up(tmp_path: Path, calls: list[str]) -> None:
    brought_up(tmp_path, "control", Hook(calls), failing_up=NO_COMPOSE)
    assert "hook.shown" not in calls


# The end


def test_a_run_without_a_stack_takes_nothing_away(tmp_path: Path) -> None:
    run = Run(tmp_path, options(tmp_path, LIVE))
    run.bringup.take_down()
    assert not run.recorder.has_begun


def test_a_healthy_stack_goes_without_its_logs(tmp_path: Path, calls: list[str]) -> None:
    run = brought_up(tmp_path, "control")
    run.bringup.take_down()
    assert calls[3:] == ["remove"]
    assert run.phases[2:] == ["teardown"]


@pytest.mark.parametrize("is_down", [True, False])
def test_the_logs_of_a_stack_with_findings_are_kept(
    tmp_path: Path, calls: list[str], is_down: bool
) -> None:
    run = brought_up(tmp_path, "control", not_ready=(EXITED,) if is_down else ())
    run.recorder.failed += [] if is_down else ["control.states.a"]
    run.bringup.take_down()
    assert calls[3:] == ["last words", "remove"]
    assert run.phases[2:] == ["logs", "teardown"]
    assert (run.recorder.folder / "logs" / "redis.log").read_text() == "words"


def test_whatever_goes_wrong_the_rest_is_taken_away(tmp_path: Path, calls: list[str]) -> None:
    hook = Hook(calls)
    hook.error = MachineError("still there")
    run = brought_up(tmp_path, "control", hook, error=RuntimeError("no answer"))
    run.recorder.failed.append("control.states.a")
    run.bringup.take_down()
    assert calls[-3:] == ["last words", "hook.end", "remove"]
    messages = [one["message"] for one in events(run.recorder, "trouble")]
    assert messages[0].startswith("the logs were not kept: test_gate_bringup.py:")
    assert messages[1] == "the fault could not be taken back: still there"
    assert messages[2].startswith("the stack was not taken down: test_gate_bringup.py:")
