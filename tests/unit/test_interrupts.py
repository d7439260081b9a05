"""A command that is told to end, or that nobody listens to: real signals, pipes and terminals."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

import pytest

from compose.lifecycle import __main__ as lifecycle
from compose.lifecycle import owner
from gate.errors import BAD_INPUT
from gate.machine import console
from gate.machine.interrupts import heeded_by_children
from gate.wait import wait_until
from reports.progress import Progress

ROOT = Path(__file__).parent.parent.parent
LIMIT = 20.0
SECRET = "0123456789abcdef-secret"
PROGRAM = """
import sys, time
from pathlib import Path
from compose.lifecycle.deployment import capture
from compose.lifecycle.journal import Journal
from compose.lifecycle.state import RestoreState
from compose.lifecycle.steps import Step, carry_out
from gate.machine.commands import run
from gate.machine.console import recorded, say, show
from gate.machine.interrupts import run_main

folder, final, seconds = Path(sys.argv[1]), sys.argv[2] == "final", sys.argv[3]
CHILD = f"trap '' PIPE; echo begun >> {folder}/child; sleep {seconds}; echo ended >> {folder}/child"

def note(text):
    with (folder / "notes").open("a") as file:
        file.write(text + "\\n")

def work():
    note("work")
    run(["sh", "-c", CHILD], 15.0)
    for number in range(20):
        say(f"line {number} " + "x" * 200)
        time.sleep(0.01)
    note("worked")

def undo():
    note("undo")
    say("undoing")
    time.sleep(0.8)
    note("undone")

def main():
    steps = [
        Step("first", "first", lambda: note("first"), lambda: note("-first"), final=final),
        Step("work", "work", work, undo),
        Step("last", "last", lambda: note("last")),
    ]
    with recorded(folder / "logs", "x-update", str):
        show("shown")
        carry_out(Journal.begin(folder / "journal.json", RestoreState(archive="x")), steps)
        show("done")
    return 0

sys.exit(run_main(main))
"""
DONE = ["first", "work", "worked", "last"]


@pytest.fixture(autouse=True)
def _children_heed_signals() -> Iterator[None]:
    with heeded_by_children():
        yield


def program(folder: Path, *, final: bool = False, seconds: float = 0.5) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(folder), "final" if final else "-", str(seconds)]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def wait_for(condition: Callable[[], object]) -> None:
    wait_until(condition, LIMIT, "it", every=0.02)


@contextmanager
def at_work(folder: Path, **options: float) -> Iterator[subprocess.Popen[str]]:
    """The program, with a child that works."""
    words = program(folder, final=bool(options.get("final")), seconds=0.5)
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        wait_for(lambda: lines(folder / "child"))
        yield process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_child_end_undoes_all_and_gives_its_number(
    tmp_path: Path, number: signal.Signals
) -> None:
    with at_work(tmp_path) as process:
        process.send_signal(number)
        output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + number, output
    assert lines(tmp_path / "child") == ["begun", "ended"]
    assert lines(tmp_path / "notes") == ["first", "work", "undo", "undone", "-first"]
    assert "Traceback" not in output
    assert ("Ctrl-C" if number == signal.SIGINT else number.name) in output


def test_further_signals_do_not_break_the_undoing(tmp_path: Path) -> None:
    with at_work(tmp_path) as process:
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "undo" in lines(tmp_path / "notes"))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process.send_signal(number)
            time.sleep(0.1)
        process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + signal.SIGHUP
    assert lines(tmp_path / "notes")[-2:] == ["undone", "-first"]


def test_where_there_is_no_way_back_it_is_finished_first(tmp_path: Path) -> None:
    with at_work(tmp_path, final=True) as process:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert lines(tmp_path / "notes") == ["first", "work", "work", "worked", "last"]
    assert "there was no way back" in output


def test_a_program_started_with_nohup_goes_on(tmp_path: Path) -> None:
    words = ["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh", *program(tmp_path)]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        wait_for(lambda: lines(tmp_path / "child"))
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert lines(tmp_path / "notes") == DONE


def test_a_terminal_that_hangs_up_leaves_the_child_at_work_and_all_is_undone(
    tmp_path: Path,
) -> None:
    process, terminal = on_a_terminal(program(tmp_path))
    wait_for(lambda: lines(tmp_path / "child"))
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 128 + signal.SIGHUP
    assert lines(tmp_path / "child") == ["begun", "ended"]
    assert lines(tmp_path / "notes") == ["first", "work", "undo", "undone", "-first"]
    assert "interrupted by SIGHUP" in (tmp_path / "logs" / "x-update.log").read_text()


def test_ctrl_c_on_a_terminal_does_not_reach_the_child(tmp_path: Path) -> None:
    process, terminal = on_a_terminal(program(tmp_path))
    wait_for(lambda: lines(tmp_path / "child"))
    os.write(terminal, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 128 + signal.SIGINT
    assert lines(tmp_path / "child") == ["begun", "ended"]
    os.close(terminal)


def on_a_terminal(words: list[str]) -> tuple[int, int]:
    """A program with a terminal of its own: its process, and the other end."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(ROOT)
        os.execv(words[0], words)
    return process, terminal


def test_a_stopped_terminal_holds_nothing_up(tmp_path: Path) -> None:
    process, terminal = on_a_terminal(program(tmp_path, seconds=0.1))
    os.write(terminal, b"\x13")  # Ctrl-S
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    assert lines(tmp_path / "notes") == DONE
    os.close(terminal)


@pytest.mark.parametrize("streams", ["both", "stdout", "stderr"])
def test_a_reader_that_is_gone_decides_nothing(tmp_path: Path, streams: str) -> None:
    unread, gone = os.pipe()
    os.close(unread)
    with (tmp_path / "read").open("w+") as read:
        done = subprocess.run(
            program(tmp_path, seconds=0.1),
            cwd=ROOT,
            stdout=gone if streams != "stderr" else read,
            stderr=gone if streams != "stdout" else read,
            timeout=LIMIT,
            check=False,
        )
    os.close(gone)
    assert done.returncode == 0
    assert lines(tmp_path / "notes") == DONE
    assert "Error" not in (tmp_path / "read").read_text()
    kept = (tmp_path / "logs" / "x-update.log").read_text()
    assert "line 19" in kept
    assert "done" in kept


@pytest.mark.parametrize(
    "end", ["2>&1 | sed /line/q", ">/dev/full 2>&1", ">&- 2>&-", ">&- 2>&- <&-"]
)
def test_a_shell_line_whose_output_goes_nowhere_ends_with_the_code_of_the_work(
    tmp_path: Path, end: str
) -> None:
    script = f'{{ "$@"; echo $? > {tmp_path}/code; }} {end}'
    words = ["sh", "-c", script, "sh", *program(tmp_path, seconds=0.1)]
    subprocess.run(words, cwd=ROOT, timeout=LIMIT, check=False, stdout=subprocess.DEVNULL)
    assert lines(tmp_path / "code") == ["0"]
    assert lines(tmp_path / "notes") == DONE
    assert json.loads((tmp_path / "journal.json").read_text())["reason"] is None


def test_what_is_asked_of_argparse_ends_well_without_a_reader() -> None:
    unread, gone = os.pipe()
    os.close(unread)
    words = [sys.executable, "-m", "compose.lifecycle", "update", "--help"]
    done = subprocess.run(
        words, cwd=ROOT, stdout=gone, stderr=subprocess.PIPE, timeout=LIMIT, check=False
    )
    os.close(gone)
    assert (done.returncode, done.stderr) == (0, b"")


def test_of_the_logs_of_commands_the_last_are_kept_for_their_owner_only(tmp_path: Path) -> None:
    for number in range(console.LOGS_KEPT + 3):
        with console.recorded(tmp_path, f"{number:03}-update", lambda text: text.upper()):
            console.say("word")
    kept = sorted(tmp_path.iterdir())
    assert [one.name for one in kept][:2] == ["003-update.log", "004-update.log"]
    assert len(kept) == console.LOGS_KEPT
    assert kept[-1].read_text().endswith(" WORD\n")
    assert {one.stat().st_mode & 0o777 for one in kept} == {0o600}


def test_a_command_that_fails_names_its_log_and_neither_shows_a_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "require", lambda _: None)
    (tmp_path / "settings.env").write_text(f"REDIS_PASSWORD={SECRET}\n")
    place = ["--env-file", str(tmp_path / "settings.env"), "--state", str(tmp_path / "state")]
    assert lifecycle.main(["restore", *place, f"{SECRET}.tar.gz"]) == BAD_INPUT
    said = capsys.readouterr().err
    (log,) = (tmp_path / "state" / "logs").glob("*-restore.log")
    assert f"every line of it is in {log}" in said
    assert "got '«redacted».tar.gz'" in said
    assert "got '«redacted».tar.gz'" in log.read_text()
    assert lifecycle.main(["status", *place, "--project", "no-such-project"]) != BAD_INPUT
    assert list((tmp_path / "state" / "logs").iterdir()) == [log]


def test_progress_on_a_stopped_terminal_holds_nothing_up() -> None:
    other, terminal = pty.openpty()
    termios.tcflow(terminal, termios.TCOOFF)
    with os.fdopen(terminal, "w") as stream:
        shown = Progress(cast(TextIO, console.Unfailing(stream, patient=False)), threshold=0.0)
        with shown.step("work"):
            time.sleep(0.7)
        termios.tcflow(terminal, termios.TCOON)
    os.close(other)
