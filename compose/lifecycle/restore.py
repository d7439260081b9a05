"""Restore: a backup's data in place of what is there, and the proof that it can be done."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compose.lifecycle import archives, backups
from compose.lifecycle.deployment import API, Deployment, docker, health, until
from compose.lifecycle.journal import Journal, new_id
from compose.lifecycle.steps import Step
from compose.lifecycle.trouble import Refused
from compose.release import HERE, Release

SCRATCH = HERE / "lifecycle" / "scratch.yaml"
READY_SECONDS = 60.0
SERVICES = ("redis", API)
"""What a restore stops, fills and starts."""


@dataclass
class Restore:
    """One restore, described by its journal alone."""

    deployment: Deployment
    journal: Journal

    def steps(self) -> list[Step]:
        """Every step, in order."""
        name = Path(str(self.journal.facts["archive"])).name
        return [
            Step("backup", "of what is there now, to come back to", self.back_up),
            Step("stop", "the bot and Redis", self.stop, self.start),
            Step("data", f"from {name}, no stale -wal", self.put, self.put_back, onward=True),
            Step("start", "Redis and the bot, until healthy", self.start, final=True),
        ]

    def back_up(self) -> None:
        """What is there now."""
        key = self.journal.facts["key_file"]
        self.journal.note(before=str(backups.make(self.deployment, key)))

    def stop(self) -> None:
        """Nobody has the data open."""
        backups.stop(self.deployment, *SERVICES)

    def put(self) -> None:
        """The archive's data."""
        self._put(str(self.journal.facts["archive"]))

    def put_back(self) -> None:
        """The data that were there before."""
        self.stop()
        backups.set_aside(self.deployment, self.journal.facts["key_file"])
        self._put(str(self.journal.facts["before"]))

    def _put(self, archive: str) -> None:
        with opened(Path(archive), self.journal.facts["key_file"]) as (folder, _):
            backups.put_data(self.deployment, folder / "data.sqlite3")
            backups.put_redis(self.deployment, folder)

    def start(self) -> None:
        """The bot answers again."""
        redis, api = (self.deployment.containers(name)[-1].id for name in SERVICES)
        docker("start", redis, api)
        if not until(lambda: health(api), READY_SECONDS):
            raise Refused(f"the bot is not healthy {READY_SECONDS:g} s after the restore")
        until(lambda: not self.deployment.unwell(), READY_SECONDS)


@contextmanager
def opened(archive: Path, key_file: str | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files and the manifest of a checked archive, in a folder that goes away again."""
    with tempfile.TemporaryDirectory(prefix="breakout-bot-") as name:
        manifest = archives.unpack(archive, Path(name), key_file)
        found = backups.contents(Path(name) / "data.sqlite3")
        if found["rows"] != manifest["rows"]:
            raise Refused(f"{archive.name}: its rows are not those that were counted")
        yield Path(name), manifest


def verify(deployment: Deployment, archive: Path, key_file: str | None) -> dict[str, Any]:
    """Restore into a scratch stack, compare, start the bot on it; the archive's manifest.

    Raises `Refused` when the restored data differ or the bot does not come up with them.
    """
    running = deployment.containers(API)[-1].image
    release = Release("scratch", "scratch", running.rpartition(":")[2])
    project = f"{deployment.project}-scratch-{new_id()[-4:]}"
    scratch = replace(deployment, project=project, files=(*deployment.files, SCRATCH))
    with opened(archive, key_file) as (folder, manifest):
        try:
            scratch.compose("create", "--no-build", "redis", "exchange", API, release=release)
            backups.put_data(scratch, folder / "data.sqlite3")
            backups.put_redis(scratch, folder)
            _compare(scratch, folder, manifest)
            _comes_up(scratch, release)
        finally:
            scratch.compose("down", "--volumes", "--timeout", "5", release=release)
    return manifest


def _compare(scratch: Deployment, folder: Path, manifest: dict[str, Any]) -> None:
    restored = folder / "restored.sqlite3"
    backups.snapshot(scratch, restored)
    seen = backups.contents(restored)
    if seen != {name: manifest[name] for name in seen}:
        raise Refused(f"restored {seen}, but {manifest['rows']} were backed up")


def _comes_up(scratch: Deployment, release: Release) -> None:
    scratch.compose("start", "redis", "exchange", API, release=release)
    api = scratch.containers(API)[-1].id
    if not until(lambda: health(api), READY_SECONDS):
        raise Refused("the bot does not come up with the restored data")
