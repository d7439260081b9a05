"""A gate that nobody listens to, or that is told to end, still leaves its verdict and exit code."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.machine.interrupts import heeded_by_children
from gate.wait import wait_until

ROOT = Path(__file__).parent.parent.parent
LIMIT = 30.0
GATE = [sys.executable, "-m", "pytest", "-m", "smoke"]


@pytest.fixture(autouse=True)
def _children_heed_signals() -> Iterator[None]:
    with heeded_by_children():
        yield


def verdict(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "latest" / "verdict.json").read_text())
    return found


@pytest.mark.parametrize(
    "end", ["| sed q", "2>&1 | true", ">/dev/full", ">/dev/full 2>&1", ">&- 2>&-", ">&- 2>&- <&-"]
)
def test_output_that_nobody_reads_changes_no_verdict(tmp_path: Path, end: str) -> None:
    script = f'{{ "$@"; echo $? > {tmp_path}/code; }} {end}'
    nowhere = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/nothing.sock"}
    done = subprocess.run(
        ["bash", "-c", script, "bash", *GATE, f"--report-dir={tmp_path}"],
        cwd=ROOT,
        env=nowhere,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (tmp_path / "code").read_text() == "6\n"
    assert verdict(tmp_path)["verdict"] == "UNDECIDED"
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    held.append(listening.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        for one in held:
            one.close()


def begun(folder: Path) -> None:
    wait_until(lambda: [*folder.glob("runs/*/events.jsonl")], LIMIT, "a run's events", every=0.02)
    time.sleep(0.3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_gate_that_is_told_to_end_says_so_in_the_latest_report(
    tmp_path: Path, silent: str, number: signal.Signals
) -> None:
    words = [*GATE, f"--target={silent}", f"--report-dir={tmp_path}"]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        begun(tmp_path)
        process.send_signal(number)
        output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 2, output
    assert_interrupted(tmp_path, "Ctrl-C" if number == signal.SIGINT else number.name)
    assert "Traceback" not in output


def test_a_gate_whose_terminal_hangs_up_says_so_in_the_latest_report(
    tmp_path: Path, silent: str
) -> None:
    words = [*GATE, f"--target={silent}", f"--report-dir={tmp_path}"]
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(ROOT)
        os.execv(words[0], words)
    begun(tmp_path)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 2
    assert_interrupted(tmp_path, "SIGHUP")


def test_a_gate_started_with_nohup_goes_on(tmp_path: Path, silent: str) -> None:
    words = [*GATE, f"--target={silent}", f"--report-dir={tmp_path}"]
    script = 'trap "" HUP; exec "$@"'
    with subprocess.Popen(
        ["sh", "-c", script, "sh", *words], cwd=ROOT, stdout=subprocess.DEVNULL
    ) as process:
        begun(tmp_path)
        process.send_signal(signal.SIGHUP)
        assert process.wait(LIMIT) == 1
    assert verdict(tmp_path)["verdict"] == "HOLD"


def assert_interrupted(folder: Path, by: str) -> None:
    found = verdict(folder)
    assert found["verdict"] == "UNDECIDED"
    assert f"interrupted by {by}" in json.dumps(found)
    assert (folder / "latest").resolve().name == found["run_id"]


def test_a_load_run_that_is_hung_up_ends_its_generator(tmp_path: Path, silent: str) -> None:
    words = [sys.executable, "-m", "load", "run", "smoke", f"--target={silent}"]
    with subprocess.Popen(
        [*words, f"--folder={tmp_path}"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        children = wait_until(lambda: list_children(process.pid), LIMIT, "a child", every=0.02)
        process.send_signal(signal.SIGHUP)
        _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + signal.SIGHUP
    assert "interrupted by SIGHUP" in said
    assert "Traceback" not in said
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def list_children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


LEAK = """
import socket

def pytest_sessionfinish():
    left = [socket.socket()]
    left.append(left)  # a cycle: found when garbage is next collected, after the verdict
"""


def test_a_socket_left_open_does_not_change_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "leaking.py").write_text(LEAK)
    environment = {
        **os.environ,
        "DOCKER_HOST": f"unix://{tmp_path}/nothing.sock",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [*GATE, "-p", "leaking", f"--report-dir={tmp_path}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert verdict(tmp_path)["exit_code"] == 6
    assert done.returncode == 6, done.stderr
    assert "after the verdict" in done.stderr
    assert "<socket.socket" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
