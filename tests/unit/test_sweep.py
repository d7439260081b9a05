"""What a run leaves is removed by its label, told where that fails, and tried again by the next."""

import itertools
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import pytest

from compose.lifecycle.deployment import Deployment
from gate import stack as stacks
from gate import sweep as sweeps
from gate.errors import MachineError
from gate.machine import commands
from gate.machine.commands import Result
from gate.stack import ComposeError, GateCompose, Stack
from gate.sweep import RunLock, leftovers, state, sweep
from tests.bot.lifecycle import disposable as disposables

RUN = "a-run"


class Docker:
    """An engine that has things of one run; some cannot be removed, or it says nothing."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.stuck: set[str] = set()
        self.silent = False
        self.downs: list[str] = []

    def __call__(self, words: Sequence[str], limit: float) -> Result:
        assert limit > 0
        if self.silent:
            return Result(124, "", "no answer within 60 s")
        match words:
            case ["docker", "compose", "--project-name", project, "down", *_]:
                self.downs.append(project)
                return Result(1, "", "compose is not in the mood")
            case ["docker", kind, "ls", *rest]:
                label = f"label={sweeps.RUN_LABEL}"
                assert f"{label}={RUN}" in rest or label in rest
                names = sorted(name for name in self.names if name.startswith(kind))
                shown = names if "--quiet" in rest else [f"{RUN} 1" for _ in names]
                return Result(0, "\n".join(shown), "")
            case ["docker", _, "rm", *_, name] if name in self.stuck:
                return Result(1, "", f"{name} has active endpoints")
            case ["docker", _, "rm", *_, name]:
                self.names.discard(name)
                return Result(0, name, "")
        raise AssertionError(words)


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Docker:
    engine = Docker("container-1", "container-2", "network-1", "volume-1")
    monkeypatch.setattr(sweeps, "run", engine)
    monkeypatch.setattr(sweeps, "runs_folder", lambda: tmp_path)
    monkeypatch.setattr(stacks, "runs_folder", lambda: tmp_path)
    return engine


def fails() -> None:
    raise MachineError("no answer within 120 s: docker compose down")


def test_what_a_failed_down_leaves_is_removed_by_the_runs_label(docker: Docker) -> None:
    lock = RunLock(RUN)
    lock.end(fails)
    assert docker.names == set()
    assert not lock.folder.exists()


def test_what_cannot_be_removed_is_told_and_left_to_the_next_sweep(docker: Docker) -> None:
    docker.stuck = {"network-1"}
    lock = RunLock(RUN)
    with pytest.raises(MachineError, match=r"still has the network network-1: .*active endpoints"):
        lock.end(fails)
    assert state(RUN) == "dead"
    docker.stuck = set()
    assert sweep() == [RUN]
    assert docker.names == set()
    assert state(RUN) == "unknown"


def test_an_engine_that_does_not_answer_has_not_lost_what_it_ran(docker: Docker) -> None:
    docker.silent = True
    lock = RunLock(RUN)
    with pytest.raises(MachineError, match="expected Docker to list each container"):
        lock.end(fails)
    assert state(RUN) == "dead"
    with pytest.raises(MachineError, match="no answer within 60 s"):
        leftovers()


def test_a_sweep_that_fails_is_told_and_the_run_stays_known_for_dead(
    docker: Docker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.stuck = {"volume-1"}
    monkeypatch.setattr(sweeps, "LIMIT", -1.0)  # every folder is old
    monkeypatch.setattr(sweeps, "run", lambda words, _: docker(words, 1.0))
    RunLock(RUN)._file.close()  # as the kernel does when the process dies
    assert sweep() == []
    assert "still has the volume volume-1" in capsys.readouterr().err
    assert state(RUN) == "dead"
    assert docker.downs == [f"gate-{RUN}-companions", f"gate-{RUN}"]


class Compose:
    def stop(self) -> None:
        raise ComposeError("network gate-a-run_back has active endpoints")


def test_a_stack_that_was_not_taken_down_is_no_silent_success(docker: Docker) -> None:
    stack = Stack.__new__(Stack)
    stack.run_id, stack.keep, stack._lock = RUN, False, RunLock(RUN)
    stack.compose = cast(GateCompose, Compose())
    docker.stuck = {"network-1"}
    with pytest.raises(MachineError, match="still has the network"):
        stack.remove()
    assert state(RUN) == "dead"
    docker.stuck = set()
    stack.remove()
    assert docker.names == set()


def test_a_deployment_of_a_check_that_was_not_taken_down_is_told_too(
    docker: Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disposables, "new_run_id", lambda: RUN)
    monkeypatch.setattr(Deployment, "compose", lambda *_, **__: fails())
    docker.stuck = {"container-2"}
    with (
        pytest.raises(MachineError, match="still has the container container-2"),
        disposables.disposable(),
    ):
        pass
    assert state(RUN) == "dead"
    assert docker.names == {"container-2", "network-1", "volume-1"}


@pytest.mark.parametrize(("back_after", "left"), [(3, 0), (1000, 4)])
def test_a_daemon_that_restarts_is_waited_for(
    docker: Docker, monkeypatch: pytest.MonkeyPatch, back_after: int, left: int
) -> None:
    away = (
        "Cannot connect to the Docker daemon at unix:///docker.sock. Is the docker daemon running?"
    )
    asked = itertools.count(1)

    def run(words: Sequence[str], limit: float) -> Result:
        if words[1] == "version":
            is_back = next(asked) >= back_after
            return Result(0, "27", "") if is_back else Result(1, "", away)
        return docker(words, limit) if next(asked) > back_after else Result(1, "", away)

    def down() -> None:
        raise ComposeError(away)

    monkeypatch.setattr(sweeps, "run", run)
    monkeypatch.setattr(commands, "run", run)
    monkeypatch.setattr(commands, "RESTART_SECONDS", 2.0)
    lock = RunLock(RUN)
    with pytest.raises(MachineError, match="Is the docker daemon") if left else nullcontext():
        lock.end(down)
    assert len(docker.names) == left
