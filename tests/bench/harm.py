"""The drill's harm: updates broken off at every step, bad candidates, backups while it trades."""

import secrets
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from compose.lifecycle import backups, recovery, restore, update
from compose.lifecycle.deployment import API, Deployment
from compose.lifecycle.journal import Journal
from compose.lifecycle.steps import Step
from compose.lifecycle.trouble import Refused
from compose.machine.commands import run
from compose.machine.console import MachineError, say
from compose.release import Release
from tests.bench.record import Figure
from tests.lifecycle import candidates, harm
from tests.lifecycle.disposable import leftovers, revision, updated
from tests.lifecycle.traffic import DRILL_RATE, Seen, steady
from tests.lifecycle.witness import rename_preset

CANARY = ("--canary", "30", "--for", "4")
WISHES = update.Wishes(watch=harm.WATCH, canary=30.0, canary_seconds=4.0)
BACKUPS = 30
LOG_LIMIT = 20.0
Break = Callable[[str], None]
Way = Callable[..., None]
WAYS: dict[str, Way] = {
    "kill -9": harm.kill_at,
    "Docker refuses": harm.refuse_at,
    "a hang-up": harm.hang_up_at,
    "output without a reader": harm.reader_gone_at,
}
"""How an update is disturbed at each of its steps."""


def figures(deployment: Deployment, first: Release, second: Release) -> list[Figure]:
    """Everything that is done to a deployment that trades, and what came of it."""
    with tempfile.TemporaryDirectory() as name:
        ways = [
            figure
            for how, at in WAYS.items()
            for figure in _broken_off(
                deployment, first, how, partial(_break, at, deployment, second, Path(name))
            )
        ]
        return [
            *ways,
            *_bad(deployment, first),
            *_schema(deployment, first),
            *_backups(deployment),
        ]


def _break(at: Way, deployment: Deployment, wanted: Release, folder: Path, step: str) -> None:
    at(deployment, wanted, step, folder, *CANARY)


def steps(deployment: Deployment, wanted: Release) -> list[Step]:
    """The steps of an update with a canary."""
    journal = Journal(Path(), {"facts": update.facts(deployment, wanted, WISHES)})
    return update.Update(deployment, journal).steps()


def _broken_off(deployment: Deployment, first: Release, how: str, at: Break) -> list[Figure]:
    names = [one.name for one in steps(deployment, first)]
    failed, in_order = 0, 0
    for name in names:
        wrong, seen = _put_in_order(deployment, at, name)
        say(f"{how} at {name}: {wrong or 'put in order'}, failed requests {seen.failures[:3]}")
        failed += len(seen.failures)
        in_order += wrong is None
        if revision(deployment) != first.revision:
            updated(deployment, first, update.Wishes(watch=harm.WATCH))
    return [
        Figure(f"{how}: steps", "steps", [float(len(names))]),
        Figure(f"{how}: put in order", "steps", [float(in_order)], float(len(names)), "higher"),
        Figure(f"{how}: failed requests", "requests", [float(failed)], 0.0),
    ]


def _put_in_order(deployment: Deployment, at: Break, step: str) -> tuple[str | None, Seen]:
    with steady(deployment, DRILL_RATE) as seen:
        try:
            at(step)
            recovery.recover(deployment)
        except (AssertionError, Refused, MachineError) as error:
            return str(error), seen
    return recovery.left(deployment) or leftovers(deployment), seen


def _bad(deployment: Deployment, first: Release) -> list[Figure]:
    taken_back, failed = 0, 0
    for name, bad in harm.BAD.items():
        with steady(deployment, DRILL_RATE) as seen:
            wrong = harm.taken_back(deployment, first, bad)
        failures = seen.failures if bad.harmless else []
        say(f"bad candidate, {name}: {wrong or 'taken back'}, failed requests {failures[:3]}")
        taken_back += wrong is None
        failed += len(failures)
    taken_back += _without_images(deployment, first)
    of = float(len(harm.BAD) + 1)
    return [
        Figure("bad candidates taken back", "candidates", [float(taken_back)], of, "higher"),
        Figure("bad candidates: failed requests", "requests", [float(failed)], 0.0),
    ]


def _without_images(deployment: Deployment, first: Release) -> bool:
    nowhere = Release(first.version, candidates.revision(), "no-such-tag")
    try:
        updated(deployment, nowhere, update.Wishes(watch=harm.WATCH))
    except Refused as refused:
        return "no-such-tag" in str(refused) and leftovers(deployment) is None
    return False


def _schema(deployment: Deployment, first: Release) -> list[Figure]:
    wrong = harm.schema_taken_back(deployment, first)
    say(f"rollback over a newer schema: {wrong or 'data as before'}")
    name = "rollbacks over a newer schema, data equal"
    return [Figure(name, "rollbacks", [float(wrong is None)], 1.0, "higher")]


def _backups(deployment: Deployment) -> list[Figure]:
    good = sum(_one_backup(deployment) for _ in range(BACKUPS))
    log = run(["docker", "logs", deployment.container(API).id], LOG_LIMIT).text
    return [
        Figure(
            "backups while it trades, restored with the marker in them",
            "backups",
            [float(good)],
            float(BACKUPS),
            "higher",
        ),
        Figure("write errors of the bot", "errors", [float(log.count("is locked"))], 0.0),
    ]


def _one_backup(deployment: Deployment) -> bool:
    marker = secrets.token_hex(8)
    rename_preset(deployment, marker)
    archive = backups.make(deployment)
    try:
        restore.verify(deployment, archive, None)
    except Refused as refused:
        say(f"{archive.name}: {refused}")
        return False
    with restore.opened(deployment, archive, None) as (folder, _):
        return marker.encode() in (folder / "data.sqlite3").read_bytes()
