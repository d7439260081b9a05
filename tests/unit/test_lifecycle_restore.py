"""Restore: a backup's data or those of before, and a bot that answers, whatever Docker does."""

import json
import tarfile
from pathlib import Path

import pytest

from compose.lifecycle import archives, backups, recovery, restore
from compose.lifecycle.deployment import API, Deployment
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal
from compose.lifecycle.state import RestoreState
from compose.lifecycle.steps import StepName
from compose.machine.tar import extract
from gate.errors import MachineError
from tests.unit.lying_docker import (
    Fake,
    Killed,
    LyingDocker,
    database,
    install,
    placed,
    recorded,
)

DATA, REDIS = "bot_data", "bot_redis-data"
THEN = database(2, eager="then")
NOW = database(2, eager="now")
FAILED_SECONDS = restore.READY_SECONDS


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LyingDocker:
    made = LyingDocker(tmp_path)
    made.deployed("old", THEN)
    made.data[REDIS] = b"then"
    install(monkeypatch, made)
    return made


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    made = placed(tmp_path)
    recorded(made, ("old", 2, None))
    return made


@pytest.fixture
def archive(docker: LyingDocker, deployment: Deployment) -> Path:
    """A backup of then; what there is now differs."""
    made = backups.make(deployment)
    docker.data |= {DATA: NOW, REDIS: b"now"}
    docker.calls.clear()
    return made


def restored(deployment: Deployment, archive: Path, *, down: bool = False) -> None:
    recovery.execute(deployment, RestoreState(id="x", archive=str(archive), down=down))


def backups_of_restores(deployment: Deployment) -> list[Path]:
    return [path for path in backups.listed(deployment) if "-restore." in path.name]


def data_in(deployment: Deployment, archive: Path) -> bytes:
    with restore.opened(deployment, archive, None) as (folder, _):
        return (folder / "data.sqlite3").read_bytes()


def test_a_restore_puts_data_and_redis_back_and_keeps_what_it_replaced(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    restored(deployment, archive)
    assert docker.data == {DATA: THEN, REDIS: b"then"}
    (kept,) = backups_of_restores(deployment)
    assert data_in(deployment, kept) == NOW
    assert docker.running(API) == docker.running("redis") == ["old"]
    assert recovery.unfinished_command(deployment) is None


def test_nobody_has_the_data_open_while_they_are_replaced(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    states: list[str] = []
    docker.observe(
        "DATA replace|put", lambda: states.extend([docker.of(API).state, docker.of("redis").state])
    )
    restored(deployment, archive)
    assert states == ["exited"] * 4
    assert docker.of("proxy").state == "running"


def test_a_restore_where_there_are_no_data_yet_has_nothing_to_come_back_to(
    docker: LyingDocker, deployment: Deployment, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.data[DATA] = b""
    restored(deployment, archive)
    assert docker.data[DATA] == THEN
    assert "no data yet to come back to" in capsys.readouterr().err
    assert docker.count("DATA snapshot") == 0
    assert not backups_of_restores(deployment)


def test_a_restore_over_damaged_data_goes_on_without_a_way_back(
    docker: LyingDocker, deployment: Deployment, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.data[DATA] = b"SQLite format 3\0 but damaged" * 1000
    restored(deployment, archive)
    assert docker.data[DATA] == THEN
    assert "no coming back to what is there now: the copy" in capsys.readouterr().err


def test_a_failed_restore_puts_the_data_of_before_back_and_the_bot_answers(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    docker.fail("docker start")
    with pytest.raises(Rejected, match=r"put back as it was, because: .*planted"):
        restored(deployment, archive)
    assert docker.data == {DATA: NOW, REDIS: b"now"}
    assert docker.running(API) == docker.running("redis") == ["old"]
    assert recovery.unfinished_command(deployment) is None
    kept = backups_of_restores(deployment)  # what was there before, and what was restored
    assert sorted(data_in(deployment, path) for path in kept) == sorted([NOW, THEN])


def test_the_bot_is_stopped_before_its_data_of_before_are_put_back(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    states: list[str] = []
    docker.unhealthy.add(API)
    docker.observe("DATA replace", lambda: states.append(docker.of(API).state))
    with pytest.raises(Rejected, match="the bot is not healthy 60 s after the restore"):
        restored(deployment, archive)
    assert states == ["exited", "exited"]
    assert docker.data == {DATA: NOW, REDIS: b"now"}


def test_what_failed_with_nothing_to_come_back_to_keeps_the_restored_data(
    docker: LyingDocker, deployment: Deployment, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.data[DATA] = b""
    docker.fail("docker start")
    with pytest.raises(Rejected):
        restored(deployment, archive)
    assert docker.data[DATA] == THEN
    assert "there is nothing to put back: the restored data stay" in capsys.readouterr().err
    assert not backups_of_restores(deployment)


def test_a_backup_that_fails_for_the_machine_s_sake_ends_the_restore_before_anything(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    docker.fail("DATA snapshot")
    with pytest.raises(Rejected, match="planted"):
        restored(deployment, archive)
    assert docker.data[DATA] == NOW
    assert docker.count("docker stop") == 0


def test_a_restore_waits_for_a_bot_that_is_late_and_then_for_all_others(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    docker.slow |= {API: 20.0}
    began = docker.clock.now
    restored(deployment, archive)
    assert 20 < docker.clock.now - began < FAILED_SECONDS
    docker.slow = {"redis": 40.0}
    began = docker.clock.now
    restored(deployment, archive)
    assert 40 < docker.clock.now - began < FAILED_SECONDS


def test_a_service_that_stays_unwell_does_not_undo_a_restore(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    docker.unhealthy.add("prometheus")
    restored(deployment, archive)
    assert docker.data[DATA] == THEN


# Without containers


@pytest.fixture
def down(docker: LyingDocker, archive: Path) -> LyingDocker:
    """After a `docker compose down`: volumes, and no container."""
    assert archive.is_file()
    docker.containers.clear()
    return docker


def test_a_restore_after_a_down_makes_the_containers_and_starts_them_with_the_data(
    down: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    states: list[str] = []
    down.observe("DATA replace", lambda: states.append(down.of(API).state))
    down.slow["prometheus"] = 30.0
    began = down.clock.now
    restored(deployment, archive, down=True)
    assert states == ["created"]
    assert down.running(API) == ["old"]
    assert down.data == {DATA: THEN, REDIS: b"then"}
    assert (down.served, down.serving_api) == ("x", down.of(API))
    assert 30 < down.clock.now - began < FAILED_SECONDS


def test_a_failed_restore_after_a_down_leaves_no_containers_but_the_data_of_before(
    down: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    down.fail(r"compose .* up")
    with pytest.raises(Rejected, match="planted"):
        restored(deployment, archive, down=True)
    assert not down.containers
    assert down.data == {DATA: NOW, REDIS: b"now"}
    assert down.count(r"compose .* up") == 1, "what is undone is not started first"


def test_a_restore_after_a_down_whose_containers_cannot_be_made_starts_nothing(
    down: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    down.fail(r"compose .* create")
    with pytest.raises(Rejected, match="planted"):
        restored(deployment, archive, down=True)
    assert not down.containers
    assert down.count(r"compose .* up|docker start") == 0


def test_the_release_that_should_run_is_made_after_a_down(
    down: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    recorded(deployment, ("old", 2, None), ("newer", 2, None))
    restored(deployment, archive, down=True)
    assert down.running(API) == ["newer"]


# Broken off


def test_a_restore_killed_at_any_call_is_finished_or_undone_by_the_next_command(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    restored(deployment, archive)
    calls, seen = len(docker.calls), set[bytes]()
    for number in range(1, calls + 1):
        docker.heal()
        docker.data |= {DATA: NOW, REDIS: b"now"}
        docker.kill_at(".", at=number)
        with pytest.raises(Killed):
            restored(deployment, archive)
        docker.heal()
        recovery.recover(deployment)
        assert docker.data in ({DATA: THEN, REDIS: b"then"}, {DATA: NOW, REDIS: b"now"}), number
        assert docker.running(API) == docker.running("redis") == ["old"], number
        assert recovery.unfinished_command(deployment) is None
        seen.add(docker.data[DATA])
    assert seen == {THEN, NOW}


@pytest.mark.parametrize(
    ("down", "names"),
    [
        (False, [StepName.BACKUP, StepName.STOP, StepName.DATA, StepName.START]),
        (
            True,
            [StepName.CREATE, StepName.BACKUP, StepName.STOP, StepName.DATA, StepName.START],
        ),
    ],
)
def test_the_plan_says_what_is_done_in_which_order(
    deployment: Deployment, down: bool, names: list[StepName]
) -> None:
    state = RestoreState(archive="/far/backup-1.tar.gz", down=down)
    steps = recovery.steps_of(deployment, Journal(Path("/dev/null"), state))
    assert [step.name for step in steps] == names
    (data,) = [step for step in steps if step.name == StepName.DATA]
    assert data.description.startswith("from backup-1.tar.gz")
    assert [step.name for step in steps if step.final] == [StepName.START]
    assert [step.name for step in steps if step.roll_forward] == [StepName.DATA]


# What an archive has to be


def test_an_archive_whose_rows_are_not_those_that_were_counted_is_refused(
    deployment: Deployment, archive: Path, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    with tarfile.open(archive) as tar:
        for member in tar:
            extract(tar, member, parts)
    about = json.loads((parts / archives.MANIFEST).read_text())
    about["rows"]["presets"] += 1
    (parts / archives.MANIFEST).write_text(json.dumps(about))
    other = tmp_path / "other.tar.gz"
    with tarfile.open(other, "w:gz") as tar:
        for path in sorted(parts.iterdir()):
            tar.add(path, path.name)
    with (
        pytest.raises(Rejected, match=r"other\.tar\.gz: its rows are not those that were counted"),
        restore.opened(deployment, other, None),
    ):
        pytest.fail("it was opened")


def test_an_opened_archive_leaves_nothing_behind(deployment: Deployment, archive: Path) -> None:
    with restore.opened(deployment, archive, None) as (folder, manifest):
        assert manifest["rows"] == {"presets": 1}
        assert (folder / "data.sqlite3").read_bytes() == THEN
    assert not folder.exists()


def test_a_locked_archive_is_opened_with_its_key_alone(
    docker: LyingDocker, deployment: Deployment, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("ab" * 32)
    locked = backups.make(deployment, str(key))
    docker.data[DATA] = NOW
    with pytest.raises(Rejected, match="is encrypted: give its key"):
        restored(deployment, locked)
    assert docker.data[DATA] == NOW
    state = RestoreState(id="x", archive=str(locked), key_file=str(key))
    recovery.execute(deployment, state)
    assert docker.data[DATA] == THEN
    assert state.before
    assert state.before.endswith("-restore.tar.gz.enc")


# The proof in a scratch stack


def in_scratch(docker: LyingDocker) -> list[Fake]:
    return [one for one in docker.containers.values() if one.project != "bot"]


def scratch_calls(docker: LyingDocker) -> list[str]:
    return [call for call in docker.calls if "bot-scratch-" in call]


def test_a_backup_is_proved_in_a_scratch_stack_that_goes_away(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    notes: list[str] = []
    docker.observe(
        r"compose .* create",
        lambda: notes.extend(p.read_text() for p in deployment.state.glob("working/*/scratch")),
    )
    before = dict(docker.containers), dict(docker.data)
    manifest = restore.verify(deployment, archive, None)
    assert manifest["rows"] == {"presets": 1}
    assert (docker.containers, docker.data) == before
    made = next(call for call in docker.calls if " create " in call)
    assert "scratch.yaml" in made
    assert made.endswith(f"create --no-build redis exchange {API}")
    (note,) = notes
    assert note.split()[0] in made
    assert note.split()[1] == "old"
    assert any(" start redis exchange " in call for call in scratch_calls(docker))


def test_the_scratch_stack_gets_the_images_that_run(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    docker.of(API).tag = "newest"
    tags: list[list[str]] = []
    docker.observe(
        r"compose .* start",
        lambda: tags.append([one.tag for one in in_scratch(docker)]),
    )
    restore.verify(deployment, archive, None)
    assert tags == [["newest"] * 3]


def test_after_a_down_the_scratch_stack_gets_the_release_that_should_run(
    down: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    tags: list[str] = []
    down.observe(
        r"compose .* start", lambda: tags.extend(one.tag for one in down.containers.values())
    )
    restore.verify(deployment, archive, None)
    assert tags == ["old"] * 3


def test_nothing_is_proved_where_nothing_was_deployed(
    down: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    (deployment.state / "order.json").unlink()
    with pytest.raises(Rejected, match=r"nothing was deployed here yet: `compose/deploy\.sh`"):
        restore.verify(deployment, archive, None)
    assert not down.containers


def test_data_that_come_back_otherwise_are_no_proof(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    def lose() -> None:
        name = next(name for name in docker.data if "scratch" in name and name.endswith("_data"))
        docker.data[name] = database(2)

    docker.observe("DATA snapshot", lose)
    with pytest.raises(
        Rejected, match=r"restored .*'presets': 0.*, but {'presets': 1} were backed"
    ):
        restore.verify(deployment, archive, None)
    assert not in_scratch(docker)


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (API, "the bot does not come up with the restored data"),
        ("redis", "Redis does not come up with the restored data"),
    ],
)
def test_a_scratch_stack_that_does_not_come_up_is_no_proof_and_goes_away(
    docker: LyingDocker, deployment: Deployment, archive: Path, service: str, said: str
) -> None:
    docker.unhealthy.add(service)
    began = docker.clock.now
    with pytest.raises(Rejected, match=said):
        restore.verify(deployment, archive, None)
    assert docker.clock.now - began > FAILED_SECONDS
    assert not in_scratch(docker)
    assert set(docker.data) == {DATA, REDIS}


def test_redis_is_put_into_the_scratch_stack_too(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    seen: list[bytes] = []

    def look() -> None:
        (scratch,) = {one.project for one in in_scratch(docker)}
        seen.append(docker.data[f"{scratch}_redis-data"])

    docker.observe(r"compose .* start", look)
    restore.verify(deployment, archive, None)
    assert seen == [b"then"]


def test_the_scratch_stack_of_a_killed_proof_is_removed_by_its_note(
    docker: LyingDocker, deployment: Deployment
) -> None:
    docker.add(API, "old", project="bot-scratch-ab12")
    docker.data["bot-scratch-ab12_data"] = THEN
    restore.clear_scratch(deployment, "bot-scratch-ab12 old")
    assert {one.project for one in docker.containers.values()} == {"bot"}
    assert set(docker.data) == {DATA, REDIS}
    (call,) = scratch_calls(docker)
    assert "scratch.yaml" in call


def test_a_machine_that_fails_on_the_way_takes_the_scratch_stack_away_all_the_same(
    docker: LyingDocker, deployment: Deployment, archive: Path
) -> None:
    docker.fail("DATA replace")
    with pytest.raises(MachineError, match="planted"):
        restore.verify(deployment, archive, None)
    assert {one.project for one in docker.containers.values()} == {"bot"}
