"""Backups: consistent while the engine writes, proved by restoring them, never half used."""

import tarfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from compose.lifecycle import backups, recovery, restore
from compose.lifecycle.archives import FORMAT, MANIFEST
from compose.lifecycle.deployment import API, Deployment
from compose.lifecycle.errors import Rejected
from compose.lifecycle.state import RestoreState
from compose.lifecycle.steps import StepName
from compose.machine.tar import extract
from gate import CheckFailed, check, expect, fail
from gate.errors import UsageError
from gate.wire import WireError
from tests.bot.lifecycle.disposable import DEPLOYED, NEEDS
from tests.bot.lifecycle.drills import hung_until
from tests.bot.lifecycle.witness import (
    engine_state,
    marked_backup,
    rename_preset,
    restores_the_marker,
    rows,
    start_engine,
    tell_engine,
)

check_api = partial(check, API, needs=NEEDS, follows=DEPLOYED)


@check_api(
    cause="the copy of the database or of Redis cannot be used",
    fix="`compose/backup.sh --verify`; read what the scratch stack said",
)
def test_a_backup_can_be_restored(deployment: Deployment) -> None:
    archive, marker = marked_backup(deployment)
    try:
        is_marked = restores_the_marker(deployment, archive, marker)
    except Rejected as refused:
        fail("a backup that can be restored", refused)
    expect(is_marked, "what was written just before it", "nothing of it")


@check_api(
    cause="the former -wal was laid over the restored database, or the wrong file was restored",
    fix="`compose/backup.sh --verify`, then restore again; remove a -wal that is older than"
    " the database",
)
def test_restore_brings_back_what_was_backed_up(deployment: Deployment) -> None:
    rename_preset(deployment, "before")
    archive, wanted = backups.make(deployment), rows(deployment)
    rename_preset(deployment, "after")
    # A bot that is told to stop leaves no -wal; one that hangs is why there is a restore.
    with hung_until(deployment, StepName.STOP):
        try:
            recovery.execute(deployment, RestoreState(archive=str(archive)))
        except Rejected as refused:
            fail("the bot to come up with the restored data", refused)
    expect(rows(deployment) == wanted, "the rows of the backup", rows(deployment))


@check_api(
    cause="the engine's record was taken from the backup, which is of a time when it traded",
    fix="send emergency-stop again after the restore; then look at GET /api/engine/status",
    follows=(DEPLOYED, "bot.lifecycle.backup.restore_brings_back_what_was_backed_up"),
)
def test_restore_undoes_no_emergency_stop(deployment: Deployment) -> None:
    start_engine(deployment)
    archive = backups.make(deployment)
    tell_engine(deployment, "emergency-stop")
    try:
        recovery.execute(deployment, RestoreState(archive=str(archive)))
        state = engine_state(deployment)
    except Rejected as refused:
        fail("the bot to come up with the restored data", refused)
    finally:
        with suppress(CheckFailed, WireError):  # only an emergency can be reset
            tell_engine(deployment, "reset")
    expect(state == "EMERGENCY", "the engine still in EMERGENCY after the restore", state)


@pytest.mark.parametrize("damage", ["cut", "changed", "foreign", "of another system", "mixed"])
@check_api(
    cause="a restore begins before the archive was checked as a whole",
    fix="`compose/backup.sh --verify` each archive before it is restored",
)
def test_a_harmed_archive_touches_nothing(
    deployment: Deployment, tmp_path: Path, damage: str
) -> None:
    before, api = rows(deployment), deployment.container(API)
    archive = damaged(backups.make(deployment), tmp_path / "backup.tar.gz", damage)
    try:
        with restore.opened(deployment, archive, None):
            said = "the archive was taken"
    except (UsageError, Rejected) as refused:
        said = str(refused)
    expect("nothing was touched" in said, "a refusal", said)
    expect(rows(deployment) == before, "data as before", rows(deployment))
    same = deployment.container(API)
    expect(same.started_at == api.started_at, "the bot untouched", "it was restarted")


def damaged(whole: Path, path: Path, damage: str) -> Path:
    """A copy of an archive that is no good."""
    content = whole.read_bytes()
    middle = len(content) // 2
    if damage == "cut":
        path.write_bytes(content[:middle])
    elif damage == "changed":
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "foreign":
        path.write_bytes(b"PK\x03\x04 an archive of something else")
    else:
        packed_again(whole, path, damage)
    return path


def packed_again(whole: Path, path: Path, damage: str) -> None:
    """A sound archive that says it is of another system, or whose parts are not of one backup."""
    folder = path.with_suffix(".parts")
    with tarfile.open(whole) as tar:
        for member in tar:
            extract(tar, member, folder)
    manifest = folder / MANIFEST
    if damage == "of another system":
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text.replace(FORMAT, "another-backup"), encoding="utf-8")
    else:
        with (folder / "data.sqlite3").open("ab") as file:
            file.write(b"of another night")
    with tarfile.open(path, "w:gz") as tar:
        for one in sorted(folder.iterdir()):
            tar.add(one, one.name)
