"""A damaged state folder: one sentence with a way on, nothing changed, and what runs is shown."""

import errno
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from compose.lifecycle import __main__ as command
from compose.lifecycle import backups, journal, owner, recovery, steps, update, verify, working
from compose.lifecycle.deployment import COLOURED, Deployment
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal
from compose.lifecycle.state import UpdateOptions, UpdateState
from compose.release import Release
from gate.errors import MachineError
from gate.machine import commands
from gate.machine.commands import Result
from tests.unit.lying_docker import LyingDocker, install, placed, recorded

CHANGES = r"^docker (compose .*\b(up|down|create|start|stop)\b|start|stop|rm|run|kill)"
RELEASE = {"version": "1", "revision": "a", "tag": "t"}


def written(facts: object = None, **changes: object) -> str:
    """An update's journal, as it is or damaged."""
    facts = {"id": "1", "release": RELEASE, "old": {"api": "x"}, "folder": "served"} | (
        facts if isinstance(facts, dict) else {}
    )
    whole = {"schema": 1, "command": "update", "began": "now", "facts": facts}
    return json.dumps({**whole, "begun": ["images"], "done": [], "reason": None, **changes})


DAMAGED = {
    "truncated": written()[:90],
    "empty": "",
    "zeros": "\0" * 64,
    "list": "[]",
    "text": '"update"',
    "number": "7",
    "bare": '{"command": "update"}',
    "facts-null": json.dumps({**json.loads(written()), "facts": None}),
    "facts-list": json.dumps({**json.loads(written()), "facts": [1]}),
    "steps-null": written(begun=None),
    "steps-numbers": written(done=[1, 2]),
    "command-list": written(command=["update"]),
    "reason-list": written(reason=["why"]),
    "old-null": written({"old": None}),
    "release-text": written({"release": "t"}),
    "tag-number": written({"release": {**RELEASE, "tag": 7}}),
    "options-text": written({"wishes": "all"}),
    "watch-text": written({"wishes": {"watch": "long"}}),
    "later": written(schema=2),
    "unknown": written(command="teleport"),
}


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LyingDocker:
    made = LyingDocker(tmp_path)
    made.deployed("old", b"")
    install(monkeypatch, made)
    for name in ("require", "claim"):
        monkeypatch.setattr(owner, name, lambda _: None)
    monkeypatch.setattr(owner, "lines", lambda _: iter(()))
    monkeypatch.setattr(command, "wanted", lambda: Release("2", "abc", "new"))
    return made


@pytest.fixture
def deployment(tmp_path: Path, docker: LyingDocker) -> Deployment:
    assert docker.containers
    made = placed(tmp_path)
    recorded(made, ("older", 2, None), ("old", 2, None))
    return made


def give(deployment: Deployment, verb: str) -> int:
    place = ["--project", deployment.project, "--state", str(deployment.state)]
    return command.main([verb, *place, "--env-file", str(deployment.env_file)])


def test_the_journal_that_damaged_ones_are_made_from_is_read(tmp_path: Path) -> None:
    (tmp_path / "journal.json").write_text(written({"wishes": {"watch": 30}}))
    found = Journal.find(tmp_path / "journal.json")
    assert found
    assert isinstance(found.state, UpdateState)
    assert found.begun == ["images"]


@pytest.mark.parametrize("verb", ["update", "rollback", "start", "status"])
@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_journal_is_one_sentence_and_nothing_is_changed(
    deployment: Deployment,
    docker: LyingDocker,
    capsys: pytest.CaptureFixture[str],
    text: str,
    verb: str,
) -> None:
    path = deployment.state / "journal.json"
    path.write_text(text)
    assert give(deployment, verb) == 1
    shown = capsys.readouterr()
    said = (shown.out + shown.err).splitlines()
    (line,) = [line for line in said if "expected" in line and " got" in line]
    assert any(step in line for step in ("move the file away", "from the checkout that began it"))
    assert ("breakout-bot/api:old" in shown.out) is (verb == "status")
    assert path.read_text() == text
    assert docker.count(CHANGES) == 0


@pytest.mark.parametrize("name", ["journal.json", "order.json", "releases/old.json"])
def test_a_stop_needs_none_of_it(deployment: Deployment, docker: LyingDocker, name: str) -> None:
    (deployment.state / name).write_text('{"sch')
    assert give(deployment, "stop") == 0
    assert docker.count(r"^docker compose .* stop\b") == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("order.json", ""),
        ("order.json", '{"old": 1}'),
        ("order.json", "[1, 2]"),
        ("releases/old.json", '{"tag": "old"'),
        ("releases/old.json", "[]"),
        ("releases/old.json", '{"tag": "old", "colour": "blue"}'),
    ],
)
def test_damaged_manifests_are_told_with_what_runs(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    (deployment.state / name).write_text(text)
    assert give(deployment, "status") == 1
    shown = capsys.readouterr()
    assert "what was deployed is not known" in shown.out
    assert "breakout-bot/api:old" in shown.out
    assert f"expected {deployment.state / name}" in shown.out
    assert "move `order.json` of that state folder away" in shown.out
    assert give(deployment, "rollback") == 1
    assert "Traceback" not in "".join(capsys.readouterr())


def test_a_manifest_that_is_gone_is_told_with_what_runs(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    (deployment.state / "releases" / "old.json").unlink()
    assert give(deployment, "status") == 1
    assert "breakout-bot/api:old" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", '{"until": "soon", "containers": []}'])
def test_a_damaged_note_of_kept_containers_is_told(deployment: Deployment, text: str) -> None:
    (deployment.state / update.RETAINED).write_text(text)
    with pytest.raises(Rejected, match="remove it; `docker ps --all`"):
        update.purge_retained(deployment)


@pytest.mark.parametrize("text", [b"", b"gate-scratch", b"\xff\x00"])
def test_a_note_that_a_kill_has_cut_short_stops_no_command(
    deployment: Deployment, docker: LyingDocker, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    monkeypatch.setattr(backups, "clear_volumes", lambda _: None)
    left = deployment.state / working.FOLDER / "work-x"
    left.mkdir(parents=True)
    (left / working.SCRATCH).write_bytes(text)
    recovery.clear(deployment)
    assert not left.exists()
    assert docker.count(r"^docker compose .* down\b") == 0


class Disk:
    """A full disk: only the journal's reserve, once removed, leaves room for the journal."""

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self.reserve = state / journal.RESERVE
        self._write = journal.write_json
        for name in ("write_json", "append"):
            monkeypatch.setattr(journal, name, self._checked(getattr(journal, name)))

    def _checked(self, write: Callable[..., None]) -> Callable[..., None]:
        def checked(*args: Any) -> None:
            if self.is_full and self.reserve.exists():
                self.fail()
            write(*args)

        return checked

    def fail(self, *_: object) -> None:
        self.is_full = True
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def updated(deployment: Deployment) -> None:
    options = UpdateOptions(watch=2.0)
    recovery.execute(deployment, update.read_state(deployment, Release("2", "b", "new"), options))


def runs_alone(docker: LyingDocker, tag: str) -> None:
    for service in COLOURED:
        assert [(one.tag, one.state) for one in docker.all(service)] == [(tag, "running")]


def test_a_full_disk_puts_an_update_back(
    deployment: Deployment, docker: LyingDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(deployment.state, monkeypatch)
    monkeypatch.setattr(verify, "smoke", disk.fail)  # the new colour is there by then
    with pytest.raises(Rejected, match=r"put back.*expected space on the disk.*`df -i`"):
        updated(deployment)
    assert recovery.unfinished_command(deployment) is None
    assert not disk.reserve.exists()
    runs_alone(docker, "old")


@pytest.mark.parametrize("verb", ["start", "finish", "close"])
def test_a_disk_that_fills_up_in_the_middle_ends_no_update(
    deployment: Deployment, docker: LyingDocker, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    disk = Disk(deployment.state, monkeypatch)
    real = getattr(Journal, verb)

    def fills_up(self: Journal[UpdateState], word: str) -> None:
        disk.is_full = disk.is_full or verb == "close" or word == "start"
        real(self, word)

    monkeypatch.setattr(Journal, verb, fills_up)
    updated(deployment)
    assert disk.is_full
    assert recovery.unfinished_command(deployment) is None
    runs_alone(docker, "new")


def test_on_a_disk_that_is_full_before_nothing_is_begun(
    deployment: Deployment,
    docker: LyingDocker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "_preflight", lambda *_: None)
    monkeypatch.setattr(Path, "write_bytes", Disk(deployment.state, monkeypatch).fail)
    assert give(deployment, "update") == 6
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "stopped" in line]
    assert "expected space on the disk, and free inodes, got: [Errno 28]" in line
    assert docker.count(CHANGES) == 0


@pytest.mark.parametrize("is_back", [True, False])
def test_what_a_restart_of_the_daemon_broke_off_is_put_back_once_it_is_back(
    deployment: Deployment, docker: LyingDocker, monkeypatch: pytest.MonkeyPatch, is_back: bool
) -> None:
    away = "Cannot connect to the Docker daemon at unix:///d.sock. Is the docker daemon running?"
    gone = {"is": False}

    def breaks_off(*_: object) -> None:
        gone["is"] = True
        raise MachineError(away)

    def awaited() -> None:
        gone["is"] = not is_back

    def completed(words: Sequence[str], *rest: Any) -> Result:
        return Result(1, "", away) if gone["is"] else docker.completed(words, *rest)

    monkeypatch.setattr(verify, "smoke", breaks_off)
    monkeypatch.setattr(steps, "await_engine", awaited)
    monkeypatch.setattr(commands, "completed", completed)
    with pytest.raises(Rejected if is_back else MachineError, match="Is the docker daemon"):
        updated(deployment)
    if is_back:
        runs_alone(docker, "old")
    assert (recovery.unfinished_command(deployment) is None) is is_back
