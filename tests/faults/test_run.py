"""The run itself is broken: no Docker, told to stop, killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from gate.containers import PROJECT_LABEL
from gate.machine.commands import run
from gate.machine.console import INTERRUPTED
from gate.machine.interrupts import heeded_by_children
from gate.stack import Stack
from gate.sweep import RUN_LABEL, leftovers, sweep
from gate.wait import wait_until
from tests.faults.fault import CATALOGUE
from tests.faults.runs import LIMIT, ROOT, gate

READY_SECONDS = 40.0


def test_without_docker_nothing_is_known(tmp_path: Path) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{tmp_path}/nothing.sock"}
    outcome = gate("-m", "smoke", folder=tmp_path, environment=nowhere)
    assert outcome.code == 6, outcome.output
    assert outcome.verdict["verdict"] == "UNDECIDED"
    assert "expected a Docker engine" in outcome.output
    assert "Traceback" not in outcome.output


def test_a_target_that_is_away_is_one_finding(tmp_path: Path) -> None:
    outcome = gate("-m", "smoke", "--target", "https://127.0.0.1:1", folder=tmp_path)
    assert outcome.code == 1, outcome.output
    assert outcome.roots == [("proxy", "smoke.tls.can_be_reached")], outcome.output


def test_when_nothing_runs_nothing_is_promoted_or_started(tmp_path: Path) -> None:
    outcome = gate("-m", "smoke", "-k", "no_such_check", folder=tmp_path)
    assert outcome.code == 5, outcome.output
    assert outcome.verdict["verdict"] == "HOLD"
    assert containers(run_id(tmp_path)) == []


def test_a_check_left_out_by_hand_holds(tmp_path: Path) -> None:
    target = ["--target", "https://127.0.0.1:1"]
    outcome = gate("-m", "smoke", "-k", "can_be_reached", *target, folder=tmp_path)
    left_out = {one["check"]: one["reason"] for one in outcome.verdict["not_run"]}
    assert left_out["smoke.tls.certificate_lasts"] == "left out by -k or --deselect"
    assert outcome.verdict["verdict"] == "HOLD"


def test_a_stack_that_fails_smoke_is_given_no_more_work(tmp_path: Path) -> None:
    override = tmp_path / "override.yaml"
    override.write_text("services: {alertmanager: {entrypoint: ['false']}}", encoding="utf-8")
    files = f"--compose-file={override}"
    outcome = gate("-m", "smoke or control", files, folder=tmp_path)
    assert outcome.code == 1, outcome.output
    assert {component for component, _ in outcome.roots} == {"alertmanager"}, outcome.output
    left = {one["reason"] for one in outcome.verdict["not_run"] if one["stage"] == "control"}
    assert left == {"smoke failed: a broken stack is given no more work"}
    stages = {one["name"]: one for one in outcome.verdict["stages"]}
    assert stages["control"]["passed"] == 0


def test_a_killed_gate_beside_the_run_leaves_its_checks_unknown(tmp_path: Path) -> None:
    words = ["-m", "observability or lifecycle", "-k", "counters or runs_what_should_run"]
    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(gate, *words, folder=tmp_path)
        own = f"--report-dir={tmp_path}/runs/"
        os.kill(process_with(own), signal.SIGKILL)
        outcome = whole.result()
    assert outcome.code == 6, outcome.output
    assert outcome.troubles == ["the gate of lifecycle ended with -9"]
    assert "run `pytest -m lifecycle` by itself" in outcome.output
    assert containers(run_id(tmp_path)) == []
    sweep()  # the killed one's


def process_with(words: str) -> int:
    """The process that was started with some words, once there is one."""

    def find() -> int | None:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if words.encode() in entry.read_bytes():
                    return int(entry.parent.name)
        return None

    return wait_until(find, READY_SECONDS, f"a process with {words}") or 0


def test_two_gates_side_by_side_do_not_meet(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda folder: gate("-m", "smoke", folder=folder), folders))
    for outcome in outcomes:
        assert outcome.code == 0, outcome.output
    addresses = [{row["address"] for row in one.verdict["components"]} for one in outcomes]
    assert addresses[0] & addresses[1] <= {None}
    assert [containers(run_id(folder)) for folder in folders] == [[], []]


def test_what_runs_of_the_images_beside_a_stack_is_none_of_its_services(stack: Stack) -> None:
    before = stack.target()
    name = f"{stack.project}-proxy-1"
    image = run(["docker", "inspect", "--format", "{{.Image}}", name], LIMIT).out.strip()
    # As the image has them when the stack's own project has built it last.
    labels = {PROJECT_LABEL: stack.project, "com.docker.compose.service": "proxy"}
    words = [f"--label={key}={value}" for key, value in labels.items()]
    beside = ["docker", "run", "--rm", "--detach", "--network=none", *words, image, "sleep", "60"]
    started_one = run(beside, LIMIT).out.strip()
    try:
        assert started_one
        assert stack.target() == before
    finally:
        run(["docker", "rm", "--force", started_one], LIMIT)


def started(folder: Path) -> subprocess.Popen[str]:
    """A gate that has containers of its own by now."""
    command = [sys.executable, "-m", "pytest", "-m", "smoke", f"--report-dir={folder}"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + READY_SECONDS
    while not containers(run_id(folder)):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process


def run_id(folder: Path) -> str:
    """The run that writes into this folder."""
    found = list((folder / "runs").glob("*"))
    return found[0].name if found else "none yet"


def containers(name: str) -> list[str]:
    """Containers of a run."""
    wanted = ["--filter", f"label={RUN_LABEL}={name}", "--format", "{{.Names}}"]
    return run(["docker", "ps", "--all", *wanted], LIMIT).out.split()


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGHUP])
def test_a_gate_that_is_told_to_stop_reports_and_leaves_nothing(
    tmp_path: Path, first: signal.Signals
) -> None:
    with heeded_by_children():
        process = started(tmp_path)
    for number in (first, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(process.pid, number)  # as a CI that cancels: once, and while it takes all away
        time.sleep(0.3)
    output, _ = process.communicate(timeout=LIMIT)
    verdict = json.loads((tmp_path / "latest" / "verdict.json").read_text(encoding="utf-8"))
    assert process.returncode == 2, output
    assert verdict["verdict"] != "PROMOTE"
    assert verdict["run_id"] == run_id(tmp_path)
    assert f"the run was interrupted by {first.name}" in output
    assert containers(run_id(tmp_path)) == []
    assert "Traceback" not in output


def test_a_matrix_that_is_told_to_stop_stops_its_gate(tmp_path: Path) -> None:
    shutil.copy(CATALOGUE / "metrics-dropped.toml", tmp_path)
    words = ["--faults", str(tmp_path), "--stage", "smoke"]
    before, deadline = known(), time.monotonic() + READY_SECONDS
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.matrix", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        while not known() - before:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == INTERRUPTED, output
    assert not known() - before
    assert "Traceback" not in output


def known() -> set[str]:
    """Runs that Docker has anything of."""
    return {one.run_id for one in leftovers()}


def test_what_a_killed_gate_left_is_swept_and_only_that(stack: Stack, tmp_path: Path) -> None:
    killed = killed_run(tmp_path)
    assert containers(killed)
    assert killed in sweep()
    assert containers(killed) == []
    assert killed not in known()
    assert containers(stack.run_id)


def killed_run(folder: Path) -> str:
    """The run of a gate that was killed, once the compose process that it left has ended too."""
    process, before = started(folder), list[str]()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=LIMIT)
    while before != (before := containers(run_id(folder))) or not before:
        time.sleep(2)
    return run_id(folder)


def test_a_killed_run_can_still_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / killed_run(tmp_path)
    sweep()
    done = run([sys.executable, "-m", "reports", folder], LIMIT, cwd=ROOT)
    assert done.code == 6, done.text
    assert "UNDECIDED" in done.out
    assert (folder / "index.html").exists()
