"""Progress is shown for what takes long and for nothing else."""

from __future__ import annotations

import io
import threading
from functools import partial
from pathlib import Path

import pytest

from gate.machine import console
from reports.progress import Progress


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
