"""Rollback to a kept release: as an update, and the data with it where their schema differs."""

from pathlib import Path
from typing import ClassVar

from compose.lifecycle import backups, proxy, releases, update
from compose.lifecycle.deployment import API, Deployment, docker
from compose.lifecycle.journal import Journal
from compose.lifecycle.restore import opened
from compose.lifecycle.state import RollbackState, SchemaChange, UpdateOptions
from compose.lifecycle.steps import Step, StepName
from compose.lifecycle.update import STOP_SECONDS, Update, migrate
from compose.release import Release
from gate.errors import UsageError
from gate.machine.commands import run
from gate.target import Trust


class Rollback(Update):
    """An update to an earlier release.

    Data of a newer schema are taken back first, with the bot stopped: by the newer release's own
    migration, or from the backup that was made before it came. No certificate keeps it from
    going back: it was served before, too.
    """

    journal: Journal[RollbackState]
    trust: ClassVar[Trust] = "any"

    @property
    def state(self) -> RollbackState:
        """What the steps know of each other."""
        return self.journal.state

    def steps(self) -> list[Step]:
        """List every step, in order."""
        every = super().steps()
        if not self.state.schema_differs:
            return every
        stop = Step(StepName.STOP, "the bot: its data change", self.stop, self.restart_old)
        way, back = self.downgrade_data, self.undo_downgrade
        source = f"down to schema {self.state.schema}, by the newer release"
        if self.state.restore:
            source = f"from {Path(self.state.restore).name}: what was written since is lost"
        data = Step(StepName.DATA, source, way, back, roll_forward=True)
        every = [
            step for step in every if step.name != StepName.CANARY
        ]  # no old colour to compare with
        at = next(number for number, step in enumerate(every) if step.name == StepName.START)
        return [*every[:at], stop, data, *every[at:]]

    def start(self) -> None:
        """Start as an update does; serve at once where the old bot had to be stopped for its data.

        Else the engine would trade while no emergency stop could reach it.
        """
        super().start()
        if self.state.schema_differs:
            self.prepare()
            self.switch()

    @property
    def scraped_since(self) -> str:
        """A scrape while the bot was stopped would hold the smoke stage.

        One that hung then is told of up to 4 s later, so that an earlier one proves nothing.
        """
        return self.alive(API).started_at if self.state.schema_differs else ""

    def undo_start(self) -> None:
        """Serve the old colour, which is started again when its data are back."""
        if self.state.schema_differs:
            self.undo_switch()
            proxy.forget(self.deployment, self.folder)
        super().undo_start()

    def stop(self) -> None:
        """Stop the bot, which has the data open."""
        docker("stop", "--time", str(STOP_SECONDS), self.old(API))

    def downgrade_data(self) -> None:
        """Take the data back to what the earlier release knows."""
        archive = self.state.restore
        if archive:
            with opened(self.deployment, Path(archive), self.options.key_file) as (folder, _):
                backups.put_data(self.deployment, folder / "data.sqlite3")
            return
        present = releases.current(self.deployment)
        assert present is not None
        migrate(self.deployment, present.release, self.state.schema)

    def undo_downgrade(self) -> None:
        """Put the data back as they were when the rollback began."""
        before = backups.folder(self.deployment) / str(self.state.backup)
        backups.stop(self.deployment, API)
        backups.set_aside(self.deployment, self.options.key_file, "rollback")
        with opened(self.deployment, before, self.options.key_file) as (folder, _):
            backups.put_data(self.deployment, folder / "data.sqlite3")


def read_state(
    deployment: Deployment,
    release: Release,
    options: UpdateOptions,
    change: SchemaChange = SchemaChange(),  # noqa: B008 (it cannot change)
) -> RollbackState:
    """Read what a rollback starts from."""
    start = update.read_state(deployment, release, options)
    return RollbackState(**vars(start), **vars(change))


def plan_schema_change(
    present: releases.Manifest, wanted: releases.Manifest, archive: Path | None
) -> SchemaChange:
    """Decide what a rollback does about the data. Raises `UsageError` where only a backup helps."""
    lower = wanted.schema < present.schema
    image = releases.image(API, present.release)
    program = [image, "/venv/bin/python", "-m", "breakout_bot.migrate", "--help"]
    ask = ["docker", "run", "--rm", "--network", "none", *program]
    if lower and archive is None and not run(ask, 30.0).ok:
        raise UsageError(
            f"expected {present.tag} to take its schema {present.schema} back to {wanted.schema},"
            f" but it cannot: give --restore-data to restore {present.backup}; what was written"
            f" since {present.deployed} is lost then"
        )
    return SchemaChange(lower, wanted.schema, str(archive) if archive else None)
