"""A generator that is too slow, or loses a process, says nothing about a deployment: UNDECIDED.

And what is never answered is counted, also when the run ends before the time for an answer does.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from gate.machine.commands import run
from gate.stack import Stack
from gate.sweep import companions
from gate.target import Credentials, Target
from gate.wait import wait_until
from load import measures, profile, runner
from load.containers import WORKER
from tests.faults.runs import LIMIT, ROOT, described

WORKERS = 2
BEGUN_SECONDS = 6.0
"""After Locust has started, so that load is under way."""
SLICE_SECONDS = 0.2
TENTH = 0.1
UNDECIDED = 6
DOCKER_LIMIT = 30.0
LATE_STOP = """\
schema = 1
seed = 7
spacing = "even"
in_flight = 20
[[phase]]
kind = "measured"
seconds = 4
rate = 20
[[operation]]
request = "GET /"
weight = 1
[[control]]
request = "POST /stop"
every = 3
offset = 2
"""


@contextmanager
def load(stack: Stack, folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m load run smoke` on a stack, with load under way."""
    target = folder / "target.toml"
    target.write_text(described(stack.target(), stack.project), encoding="utf-8")
    command = [sys.executable, "-m", "load", "run", "smoke", f"--target={target}", *more]
    with subprocess.Popen(
        [*command, f"--folder={folder / 'load'}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            wait_until(lambda: generators(process.pid), LIMIT, "a generator")
            time.sleep(BEGUN_SECONDS)
            yield process
        finally:
            process.kill()


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    with suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def generators(pid: int) -> list[int]:
    """Locust's processes below ours, the first one first."""
    found = children(pid)
    return [*found, *(below for one in found for below in generators(one))]


def hold_back(process: subprocess.Popen[str]) -> None:
    """Let the generator run a tenth of the time, until it ends."""
    (locust,) = generators(process.pid)
    with suppress(ProcessLookupError):
        while process.poll() is None:
            os.kill(locust, signal.SIGSTOP)
            time.sleep(SLICE_SECONDS * (1 - TENTH))
            os.kill(locust, signal.SIGCONT)
            time.sleep(SLICE_SECONDS * TENTH)


def test_a_generator_with_a_tenth_of_a_core_is_undecided(stack: Stack, tmp_path: Path) -> None:
    with load(stack, tmp_path) as process:
        threading.Thread(target=hold_back, args=(process,), daemon=True).start()
        output, _ = process.communicate(timeout=2 * LIMIT)
    assert process.returncode == UNDECIDED, output
    assert "UNDECIDED: the run is not valid" in output


def test_a_lost_worker_is_undecided(stack: Stack, tmp_path: Path) -> None:
    with load(stack, tmp_path, f"--workers={WORKERS}") as process:
        *_, worker = generators(process.pid)
        os.kill(worker, signal.SIGKILL)
        output, _ = process.communicate(timeout=2 * LIMIT)
    assert process.returncode == UNDECIDED, output
    assert f"expected {WORKERS} generator processes to report, but 1 did" in output


def test_a_lost_worker_in_a_container_is_said(stack: Stack, tmp_path: Path) -> None:
    worker = f"{companions(stack.run_id)}-{WORKER}-{WORKERS}"
    chosen, target, keys = profile.load("smoke"), stack.target(), stack.credentials
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(runner.run, chosen, target, keys, tmp_path, WORKERS, stack=stack)
        top = ["docker", "top", worker]
        wait_until(lambda: run(top, DOCKER_LIMIT).ok, LIMIT, "a worker that runs")
        time.sleep(BEGUN_SECONDS)
        assert run(["docker", "kill", worker], DOCKER_LIMIT).ok
        found = running.result(2 * LIMIT)
    validity = found.summary["validity"]
    assert not validity["valid"]
    assert f"expected {WORKERS} generator processes to report, but 1 did" in validity["reasons"]


class Silent(BaseHTTPRequestHandler):
    """Answers reads, and nothing that is posted."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        time.sleep(LIMIT)

    def log_message(self, *_: object) -> None:
        """Nothing: this server is asked often."""


def test_what_is_never_answered_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "late-stop.toml"
    file.write_text(LATE_STOP, encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        target = Target("t", "disposable", {"proxy": f"http://127.0.0.1:{server.server_port}"})
        found = runner.run(profile.load(str(file)), target, Credentials(), tmp_path / "load")
        server.shutdown()
    assert found.summary["validity"]["valid"], found.summary["validity"]
    assert measures.errors(found.of("POST /stop")) == {"no answer": 1}
