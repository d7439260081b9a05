"""Restore: a backup's data in place of what is there, and the proof that it can be done."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compose.lifecycle import archives, backups, deploy, releases, working
from compose.lifecycle.deployment import (
    API,
    EXCHANGE,
    REDIS,
    Deployment,
    docker,
    health,
    holds_within,
)
from compose.lifecycle.errors import Rejected, report_and_continue
from compose.lifecycle.journal import Journal, new_id
from compose.lifecycle.state import RestoreState
from compose.lifecycle.steps import Step, StepName
from compose.release import Release
from gate.machine.console import say

NO_PORTS = "ports: !reset []"
"""On the host, so that a scratch stack can run beside anything."""
SCRATCH = {API: f'{NO_PORTS}, restart: !override "no"', REDIS: NO_PORTS, EXCHANGE: NO_PORTS}
READY_SECONDS = 60.0
SERVICES = (REDIS, API)
"""What a restore stops, fills and starts."""


@dataclass
class Restore:
    """One restore, described by its journal alone."""

    deployment: Deployment
    journal: Journal[RestoreState]

    @property
    def state(self) -> RestoreState:
        """What the steps know of each other."""
        return self.journal.state

    def steps(self) -> list[Step]:
        """List every step, in order."""
        name = Path(self.state.archive).name
        every = [
            Step(StepName.BACKUP, "of what is there now, to come back to", self.back_up),
            Step(StepName.STOP, "the bot and Redis", self.stop, self.start),
            Step(
                StepName.DATA,
                f"from {name}, no stale -wal",
                self.put,
                self.undo_put,
                roll_forward=True,
            ),
            Step(StepName.START, "Redis and the bot, until healthy", self.start, final=True),
        ]
        if self.state.down:
            description = "containers and volumes that are gone, of the release that should run"
            every.insert(0, Step(StepName.CREATE, description, self.create, self.undo_create))
        return every

    def create(self) -> None:
        """Make containers of everything, after a `down`: started once the data are there."""
        self.deployment.compose("create", "--no-build", release=self._release)

    def undo_create(self) -> None:
        """Remove the containers again; data stay."""
        self.deployment.compose("down", release=self._release)

    @property
    def _release(self) -> Release:
        return deploy.running(self.deployment)

    def back_up(self) -> None:
        """Back up what is there now, if it is sound: a restore may be made because it is not."""
        if not backups.has_data(self.deployment):
            say("    there are no data yet to come back to")
            return
        try:
            self.state.before = str(backups.make(self.deployment, self.state.key_file, "restore"))
        except Rejected as unsound:
            say(f"    there is no coming back to what is there now: {unsound}")

    def stop(self) -> None:
        """Stop all that have the data open."""
        backups.stop(self.deployment, *SERVICES)

    def put(self) -> None:
        """Put the archive's data in place."""
        self._put(self.state.archive)

    def undo_put(self) -> None:
        """Put the data of before back."""
        before = self.state.before
        if before is None:
            return say("    there is nothing to put back: the restored data stay")
        self.stop()
        backups.set_aside(self.deployment, self.state.key_file, "restore")
        return self._put(before)

    def _put(self, archive: str) -> None:
        key = self.state.key_file
        with opened(self.deployment, Path(archive), key) as (folder, _):
            backups.put_data(self.deployment, folder / "data.sqlite3")
            backups.put_redis(self.deployment, folder)

    def start(self) -> None:
        """Start the bot and wait until it answers."""
        if self.state.down:
            if StepName.CREATE in self.journal.done and self.journal.reason is None:
                deploy.bring_up(self.deployment, self._release, self.state.id)
                holds_within(lambda: not self.deployment.unhealthy_services(), READY_SECONDS)
            return
        redis, api = (self.deployment.containers(name)[-1].id for name in SERVICES)
        docker("start", redis, api)
        if not holds_within(lambda: health(api), READY_SECONDS):
            raise Rejected(f"the bot is not healthy {READY_SECONDS:g} s after the restore")
        holds_within(lambda: not self.deployment.unhealthy_services(), READY_SECONDS)


@contextmanager
def opened(
    deployment: Deployment, archive: Path, key_file: str | None
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Open a checked archive: its files, in a folder that goes away again, and its manifest."""
    with working.folder(deployment) as folder:
        manifest = archives.unpack(archive, folder, key_file)
        counted = backups.contents(folder / "data.sqlite3")
        if counted["rows"] != manifest["rows"]:
            raise Rejected(f"{archive.name}: its rows are not those that were counted")
        yield folder, manifest


def verify(deployment: Deployment, archive: Path, key_file: str | None) -> dict[str, Any]:
    """Restore into a scratch stack, compare, start the bot on it; the archive's manifest.

    Raises `Rejected` when the restored data differ or the bot does not come up with them.
    """
    tag = _tag(deployment)
    release = Release("scratch", "scratch", tag)
    scratch = _scratch(deployment, f"{deployment.project}-scratch-{new_id()[-4:]}")
    with opened(deployment, archive, key_file) as (folder, manifest):
        working.note(folder, f"{scratch.project} {tag}")
        try:
            scratch.compose("create", "--no-build", REDIS, EXCHANGE, API, release=release)
            backups.put_data(scratch, folder / "data.sqlite3")
            backups.put_redis(scratch, folder)
            restored = folder / "restored.sqlite3"
            backups.snapshot(scratch, restored)
            seen = backups.contents(restored)
            if seen != {name: manifest[name] for name in seen}:
                raise Rejected(f"restored {seen}, but {manifest['rows']} were backed up")
            _comes_up(scratch, release)
        except BaseException:
            with report_and_continue(f"{scratch.project} was not removed"):
                _remove_scratch(scratch, release)
            raise
        _remove_scratch(scratch, release)
    return manifest


def _remove_scratch(scratch: Deployment, release: Release) -> None:
    scratch.compose("down", "--volumes", "--timeout", "5", release=release)


def _scratch(deployment: Deployment, project: str) -> Deployment:
    """Give the stack to try a backup on, with a compose file of its own on top."""
    rows = "".join(f"  {service}: {{{keys}}}\n" for service, keys in SCRATCH.items())
    path = deployment.state / "scratch.yaml"
    path.write_text(f"services:\n{rows}", encoding="utf-8")
    return replace(deployment, project=project, files=(*deployment.files, path))


def _tag(deployment: Deployment) -> str:
    """Give the tag of the images that run, or after a `down` should."""
    if containers := deployment.containers(API):
        return containers[-1].image.rpartition(":")[2]
    present = releases.current(deployment)
    if present is None:
        raise Rejected("nothing was deployed here yet: `compose/deploy.sh` deploys")
    return present.tag


def clear_scratch(deployment: Deployment, note: str) -> None:
    """Remove the scratch stack of a verification that was killed."""
    project, tag = note.split()
    scratch = _scratch(deployment, project)
    _remove_scratch(scratch, Release("scratch", "scratch", tag))


def _comes_up(scratch: Deployment, release: Release) -> None:
    scratch.compose("start", REDIS, EXCHANGE, API, release=release)
    api = scratch.containers(API)[-1].id
    if not holds_within(lambda: health(api), READY_SECONDS):
        raise Rejected("the bot does not come up with the restored data")
    if not holds_within(lambda: REDIS not in scratch.unhealthy_services(), READY_SECONDS):
        raise Rejected("Redis does not come up with the restored data")
