"""Progress is shown for what takes long and for nothing else."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from gate.machine import console
from reports import terminal
from reports.progress import Progress
from reports.tally import Tally
from reports.verdict import judge
from tests.unit.reports_sample import PROMOTE, check, event

ROOT = Path(__file__).parents[2]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_quick_step_shows_nothing() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock, background=False)
    with progress.step("looking"):
        clock.now += 1.9
        progress.tick()
    assert stream.getvalue() == ""


def test_a_long_step_is_shown_once_and_with_its_time() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock, background=False)
    with progress.step("bringing the stack up"):
        for _ in range(10):
            clock.now += 1
            progress.tick()
    assert stream.getvalue() == "bringing the stack up …\nbringing the stack up: 10.0 s\n"


def test_on_a_terminal_one_line_is_kept_up_to_date() -> None:
    stream, clock = Terminal(), Clock()
    progress = Progress(stream, clock, background=False)
    with progress.step("waiting"):
        for _ in range(3):
            clock.now += 1
            progress.tick()
    line = "\r\x1b[K"
    assert stream.getvalue() == f"{line}waiting … 2 s{line}waiting … 3 s{line}waiting: 3.0 s\n"


def test_a_step_that_fails_says_so_and_lets_the_error_through() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock, background=False)

    def fails() -> None:
        with progress.step("waiting"):
            clock.now += 5
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fails()
    assert stream.getvalue() == "waiting: failed after 5.0 s\n"


def test_a_step_in_a_step_is_the_one_that_is_shown() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock, background=False)
    with progress.step("outer"), progress.step("inner"):
        clock.now += 3
        progress.tick()
    assert stream.getvalue() == "inner …\ninner: 3.0 s\nouter: 3.0 s\n"


def test_lines_of_commands_are_the_same_and_are_kept_in_their_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "Progress", partial(Progress, clock=lambda: 0.0, threshold=0.0))
    with (
        console.recorded(tmp_path, "a", lambda line: line.replace("s3cret", "***")) as log,
        console.step("pulling s3cret"),
    ):
        pass
    said = capsys.readouterr().err
    assert said == "pulling ***: 0.0 s\n"
    assert log is not None
    assert log.read_text(encoding="utf-8").endswith(said)


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    progress = Progress(io.StringIO())
    for _ in range(2):
        with progress.step("quick"):
            assert threading.active_count() == before + 1
        assert threading.active_count() == before
    with Progress(io.StringIO()) as progress, progress.step("quick"):
        pass
    assert threading.active_count() == before


def test_a_stream_that_was_closed_does_not_break_the_work() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock, background=False)
    with progress.step("long"):
        clock.now += 9
        stream.close()
        progress.tick()


def test_a_log_gets_a_line_at_the_beginning_every_half_minute_and_at_the_end() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock, background=False)
    clock.now += 60
    with progress.step("control: is it obeyed", lambda: "control · 3/9 checks"):
        for _ in range(140):
            progress.tick()
            clock.now += 0.5
    with progress.step("ui: does the page work", lambda: "ui · 9/9 checks"):
        clock.now += 0.2
    assert stream.getvalue().splitlines() == [
        "control: is it obeyed …",
        "control · 3/9 checks … 30 s",
        "control · 3/9 checks … 60 s",
        "control · 3/9 checks: 70.0 s",
        "ui · 9/9 checks: 0.2 s",
    ]


def test_a_quick_run_shows_no_stage() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock, background=False)
    with progress.step("smoke: is it well", lambda: "smoke · 9/9 checks"):
        clock.now += 0.7
        progress.tick()
        progress.keep("finding")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("seconds", "shown"), [(4.9, ""), (34.0, ", 34 s for redis to answer")])
def test_a_wait_is_named_once_it_is_long(seconds: float, shown: str) -> None:
    stream, clock = Terminal(), Clock()
    waits = ("for redis to answer", seconds)
    progress = Progress(stream, clock, background=False, waits=lambda: waits)
    with progress.step("starting"):
        clock.now += 50
        progress.tick()
        assert stream.getvalue() == f"\r\x1b[Kstarting … 50 s{shown}"


def test_no_line_is_wider_than_the_terminal() -> None:
    stream, clock = Terminal(), Clock()
    progress = Progress(stream, clock, background=False, waits=lambda: ("for " + "a" * 90, 9.0))
    with progress.step("starting"):
        clock.now += 50
        progress.tick()
    first = stream.getvalue().split("\x1b[K")[1].rstrip("\r")
    assert len(first) == 79
    assert first.endswith("…")


def test_a_line_that_stays_takes_the_place_of_the_one_that_is_written_over() -> None:
    stream, clock = Terminal(), Clock()
    progress = Progress(stream, clock, background=False)
    with progress.step("starting"):
        clock.now += 50
        progress.tick()
        progress.keep("a finding")
        progress.tick()
    clear = "\r\x1b[K"
    line = f"{clear}starting … 50 s"
    assert stream.getvalue() == f"{line}{clear}a finding\n{line}{clear}starting: 50.0 s\n"


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_dumb_terminal_gets_lines(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    stream, clock = Terminal(), Clock()
    progress = Progress(stream, clock, background=False)
    with progress.step("starting"):
        clock.now += 50
        progress.tick()
    assert ("\x1b" in stream.getvalue()) == (term == "xterm")
    report = terminal.fitted(judge(PROMOTE), Terminal(), "index.html")
    assert ("\x1b" in report) == (term == "xterm")


def tally() -> tuple[Tally, list[str]]:
    shown: list[str] = []
    made = Tally(shown.append)
    made.take(event("required", stage="control", checks=["control.a", "control.b", "control.c"]))
    made.take(event("required", stage="lifecycle", checks=["lifecycle.a", "lifecycle.b"]))
    return made, shown


def test_checks_are_counted_once_and_only_those_that_have_to_pass() -> None:
    made, _ = tally()
    made.take(check("control.a", "api"))
    made.take(check("control.a", "api"))
    made.take(check("control.other", "api"))
    made.take(check("control.b", "api", "not_run"))
    assert made.status("control") == "control · 2/5 checks · 0 findings"


def test_checks_of_the_gate_beside_it_are_counted_with_their_findings() -> None:
    made, shown = tally()
    news = [[check("lifecycle.a", "proxy", "failed")], []]
    made.count_sidecar("lifecycle", lambda: news.pop(0))
    assert made.status("control") == "control · 1/5 checks · lifecycle 1/2 · 1 finding"
    made.take(check("lifecycle.a", "proxy", "failed"))
    assert made.status("lifecycle") == "lifecycle · 1/5 checks · 1 finding"
    assert shown == [" ✗ proxy — proxy does what lifecycle.a promises  lifecycle.a"]


def test_what_follows_from_a_finding_is_no_other_one() -> None:
    made, shown = tally()
    made.take(check("control.a", "redis", "failed"))
    made.take(check("control.b", "api", "failed", follows=["control.a*"]))
    made.take(check("control.c", "page", "error", reason="no browser"))
    assert made.status("control").endswith("2 findings")
    assert [line[:10] for line in shown] == [" ✗ redis —", " ? page — "]


def test_of_many_findings_the_first_are_shown_and_all_counted() -> None:
    made, shown = tally()
    for number in range(40):
        made.take(check(f"control.{number}", "api", "failed"))
    assert len(shown) == 12
    assert made.status("control").endswith("40 findings")


CAPTURED = """
import sys
from gate.machine.console import duplicated
from reports import terminal
from reports.progress import Progress

def pytest_configure(config):
    config.progress = Progress(duplicated(sys.stderr), threshold=0.2)

def test_at_work(request):
    import time
    print("captured")
    with request.config.progress.step("working"):
        time.sleep(1.2)
"""


@pytest.mark.parametrize("on_terminal", [True, False])
def test_progress_is_seen_while_pytest_captures(tmp_path: Path, on_terminal: bool) -> None:
    (tmp_path / "conftest.py").write_text(CAPTURED)
    (tmp_path / "test_it.py").write_text("from conftest import test_at_work")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    ours, theirs = pty.openpty() if on_terminal else os.pipe()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    done = subprocess.run(
        words, cwd=tmp_path, stderr=theirs, stdout=subprocess.DEVNULL, env=environment, timeout=60
    )
    os.close(theirs)
    said = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "working …" in said
    assert ("\r\x1b[K" in said) == on_terminal
    assert "captured" not in said
