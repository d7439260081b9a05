"""Stands in for pytest, Docker and a stack in tests of the engine."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gate.checks import Check
from gate.extensions import Extension
from gate.options import Options
from gate.recorder import Recorder
from gate.target import Credentials, Target
from reports.events import CheckResult, Event, FaultPlanted, Outcome
from reports.progress import Progress

DISPOSABLE = Target("disposable", "disposable", {"proxy": "https://localhost:1"}, managed=True)
LIVE = Target("bot.example.org", "live", {"proxy": "https://bot.example.org"})


def item(
    nodeid: str,
    *fixtures: str,
    needs: tuple[str, ...] = ("proxy",),
    component: str = "proxy",
    follows: tuple[str, ...] = (),
    is_check: bool = True,
    **parameters: Any,
) -> Any:
    """Return what pytest collects, made by hand."""
    function = SimpleNamespace()
    if is_check:
        function.check = Check(component, f"{component} is down", "start it", needs, follows)
    made = SimpleNamespace(
        nodeid=nodeid, name=nodeid.partition("::")[2], fixturenames=fixtures, function=function
    )
    if parameters:
        made.callspec = SimpleNamespace(params=parameters)
    return made


def raised(error: Exception) -> Exception:
    """Return an exception that was raised in a file of ours."""
    try:
        raise error
    except Exception as caught:
        return caught


def call(when: str = "call", error: BaseException | None = None, seconds: float = 0.5) -> Any:
    """Return what pytest tells of one phase of a test."""
    info: Any = None
    if error is not None:
        try:
            raise error
        except BaseException:
            info = pytest.ExceptionInfo.from_current()
    return SimpleNamespace(when=when, excinfo=info, duration=seconds)


def options(folder: Path, target: Target = DISPOSABLE, **changes: Any) -> Options:
    """Return the options of a run of smoke."""
    plain = Options(
        target=target,
        credentials=Credentials(),
        stages=("smoke",),
        version=None,
        revision=None,
        waivers={},
        keep_stack=False,
        report_dir=folder,
    )
    return replace(plain, **changes)


def recorder(folder: Path, *secrets: str) -> Recorder:
    """Return a recorder whose progress nobody sees."""
    return Recorder(folder / "runs" / "r1", Progress(io.StringIO(), background=False), secrets)


def events(of: Recorder, kind: str | None = None) -> list[dict[str, Any]]:
    """Read the lines of the stream, all or those of one kind."""
    text = (of.folder / "events.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line) for line in text.splitlines()]
    return [one for one in found if kind in (None, one["kind"])]


class Hook:
    """Writes down what is asked of it."""

    phase = "planting"
    words = "planting the fault"

    def __init__(self, calls: list[str], problems: list[Any] | None = None) -> None:
        self.calls = calls
        self.problems = problems or []
        self.error: Exception | None = None

    def before(self) -> None:
        self.calls.append("hook.before")

    def shown(self) -> None:
        self.calls.append("hook.shown")

    def now(self) -> list[Any]:
        self.calls.append("hook.now")
        return self.problems

    def end(self) -> None:
        self.calls.append("hook.end")
        if self.error is not None:
            raise self.error

    def event(self) -> Event:
        return FaultPlanted("f1", "A fault")


@dataclass(frozen=True)
class Planted(Extension):
    """An extension that does something to the stack."""

    made: Any = None
    wanted: Callable[[str], bool] | None = None

    @property
    def expects(self) -> Callable[[str], bool] | None:
        return self.wanted

    @property
    def gives(self) -> frozenset[str]:
        return frozenset({"baseline"})

    @property
    def changes_the_stack(self) -> bool:
        return self.made is not None

    def hook(self, stack: Any) -> Any:
        assert stack is not None
        return self.made


@dataclass
class Sidecar:
    """A gate beside the run's that has ended before it began."""

    stage: str
    nodes: tuple[str, ...]
    folder: Path
    options: list[str]
    now: float
    is_joined: bool = False
    calls: list[str] = field(default_factory=list)

    def join(self) -> None:
        self.is_joined = True
        self.calls.append("join")

    def stop(self) -> None:
        self.calls.append("stop")

    def events(self) -> Iterator[Event]:
        yield CheckResult(
            check="lifecycle.update.b",
            title="b",
            stage="lifecycle",
            component="proxy",
            outcome=Outcome.FAILED,
            seconds=1.0,
            reason=None,
            finding=None,
            follows=(),
        )

    def new_events(self) -> list[Event]:
        return []

    def logs(self) -> Iterator[tuple[str, str]]:
        yield "lifecycle-api.log", "words"
