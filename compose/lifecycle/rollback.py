"""Rollback to a kept release: as an update, and the data with it where their schema differs."""

from pathlib import Path
from typing import ClassVar

from compose.lifecycle import backups, proxy, releases
from compose.lifecycle.deployment import API, docker
from compose.lifecycle.restore import opened
from compose.lifecycle.steps import Step
from compose.lifecycle.trouble import BadInput
from compose.lifecycle.update import STOP_SECONDS, Update, migrate
from gate.machine.commands import run
from gate.target import Trust


class Rollback(Update):
    """An update to an earlier release.

    Data of a newer schema are taken back first, with the bot stopped: by the newer release's own
    migration, or from the backup that was made before it came. No certificate keeps it from
    going back: it was served before, too.
    """

    trust: ClassVar[Trust] = "any"

    def steps(self) -> list[Step]:
        """Every step, in order."""
        every = super().steps()
        if not self.journal.facts["schema_differs"]:
            return every
        stop = Step("stop", "the bot: its data change", self.stop, self.start_old)
        way, back = self.take_data_back, self.put_data_back
        data = Step("data", self._data_way(), way, back, onward=True)
        every = [one for one in every if one.name != "canary"]  # no old colour to compare with
        at = next(number for number, one in enumerate(every) if one.name == "start")
        return [*every[:at], stop, data, *every[at:]]

    def _data_way(self) -> str:
        archive = self.journal.facts["restore"]
        if archive:
            return f"from {Path(archive).name}: what was written since is lost"
        return f"down to schema {self.journal.facts['schema']}, by the newer release"

    def start(self) -> None:
        """As an update, but served at once where the old bot had to be stopped for its data.

        Else the engine would trade while no emergency stop could reach it.
        """
        super().start()
        if self.journal.facts["schema_differs"]:
            self.prepare()
            self.switch()

    @property
    def scraped_since(self) -> str:
        """A scrape while the bot was stopped would hold the smoke stage.

        One that hung then is told of up to 4 s later, so that an earlier one proves nothing.
        """
        return self.alive(API).started_at if self.journal.facts["schema_differs"] else ""

    def unstart(self) -> None:
        """The old colour is served, which is started again when its data are back."""
        if self.journal.facts["schema_differs"]:
            self.unswitch()
            proxy.forget(self.deployment, self.folder)
        super().unstart()

    def stop(self) -> None:
        """Nobody has the data open."""
        docker("stop", "--time", str(STOP_SECONDS), self.old(API))

    def start_old(self) -> None:
        """The bot as it was."""
        self.bring_back()

    def take_data_back(self) -> None:
        """The data as the earlier release knows them."""
        archive = self.journal.facts["restore"]
        if archive:
            with opened(self.deployment, Path(archive), self.wishes.key_file) as (folder, _):
                backups.put_data(self.deployment, folder / "data.sqlite3")
            return
        present = releases.current(self.deployment)
        assert present is not None
        migrate(self.deployment, present.release, int(self.journal.facts["schema"]))

    def put_data_back(self) -> None:
        """The data as they were when the rollback began."""
        before = backups.folder(self.deployment) / str(self.journal.facts["backup"])
        backups.stop(self.deployment, API)
        backups.set_aside(self.deployment, self.wishes.key_file, "rollback")
        with opened(self.deployment, before, self.wishes.key_file) as (folder, _):
            backups.put_data(self.deployment, folder / "data.sqlite3")


def schema_facts(
    present: releases.Manifest, wanted: releases.Manifest, archive: Path | None
) -> dict[str, object]:
    """What a rollback has to do about the data. Raises `BadInput` where only a backup helps."""
    lower = wanted.schema < present.schema
    if lower and archive is None and not _can_migrate(present):
        raise BadInput(
            f"expected {present.tag} to take its schema {present.schema} back to {wanted.schema},"
            f" but it cannot: give --restore-data to restore {present.backup}; what was written"
            f" since {present.deployed} is lost then"
        )
    return {
        "schema_differs": lower,
        "schema": wanted.schema,
        "restore": str(archive) if archive else None,
    }


def _can_migrate(release: releases.Manifest) -> bool:
    program = ["/venv/bin/python", "-m", "breakout_bot.migrate", "--help"]
    image = releases.image(API, release.release)
    return run(["docker", "run", "--rm", "--network", "none", image, *program], 30.0).ok
