"""A tool gets a stack that came up, or an error: it never measures one that did not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gate import running
from gate.errors import MACHINE, MachineError
from gate.machine.interrupts import run_main
from gate.ready import Problem
from tests.bench import smoke


class Stack:
    """A stack that says what it was told to do, with what does not come up."""

    compose, release = "compose", "release"

    def __init__(self, at_start: Problem | None = None, later: tuple[Problem, ...] = ()) -> None:
        self.at_start, self.later, self.told = at_start, later, ["clean"]

    def __call__(self, *how: Any) -> "Stack":
        self.told.append(f"made with {len(how[2])}")
        return self

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *_: object) -> None:
        self.told.append("removed")

    def up(self) -> Problem | None:
        self.told.append("up")
        return self.at_start

    def target(self) -> str:
        return "target"

    def ready(self, target: str) -> list[Problem]:
        self.told.append(f"ready {target}")
        return list(self.later)


@contextmanager
def engine(monkeypatch: pytest.MonkeyPatch, stack: Stack) -> Iterator[Stack]:
    steps = SimpleNamespace(
        clean_start=lambda: None, build=lambda *what: stack.told.append(f"built {what}")
    )
    monkeypatch.setattr(running, "stacks", steps)
    monkeypatch.setattr(running, "Stack", stack)
    monkeypatch.setattr(running, "hooks", lambda: SimpleNamespace(release=lambda: "release"))
    yield stack


def test_a_stack_is_built_changed_started_waited_for_and_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with engine(monkeypatch, Stack()) as stack:
        change = running.running_stack(Path("a.yaml"), before=lambda _: stack.told.append("plant"))
        with change:
            stack.told.append("measured")
    assert stack.told == [
        *("clean", "made with 1", "built ('compose', 'release')", "plant", "up", "ready target"),
        *("measured", "removed"),
    ]


@pytest.mark.parametrize(
    "stack",
    [
        Stack(at_start=Problem("stack", "`docker compose up` failed", "no space left")),
        Stack(later=(Problem("redis", "exited (1)", "bad config"), Problem("api", "unhealthy"))),
    ],
    ids=["at start", "later"],
)
def test_one_that_did_not_come_up_is_an_error_and_removed(
    monkeypatch: pytest.MonkeyPatch, stack: Stack
) -> None:
    said = "expected the stack to come up, but (stack|redis): .*(no space left|bad config)"
    with (
        engine(monkeypatch, stack),
        pytest.raises(MachineError, match=said),
        running.running_stack(),
    ):
        stack.told.append("measured")
    assert "measured" not in stack.told
    assert stack.told[-1] == "removed"


def test_a_bench_ends_with_6_for_a_stack_that_did_not_come_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Stack(at_start=Problem("stack", "failed", "no space left"))
    with engine(monkeypatch, broken):
        assert run_main(smoke.main) == MACHINE
    assert "no space left" in capsys.readouterr().err
