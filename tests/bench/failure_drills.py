"""The drill's harm: commands broken off at every step, bad candidates, backups while it trades."""

import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from compose.lifecycle import backups, recovery, rollback, update
from compose.lifecycle.deployment import API, Deployment
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal
from compose.lifecycle.state import CommandState, DeployState, RestoreState, UpdateOptions
from compose.lifecycle.steps import StepName
from compose.release import Release
from gate.errors import MachineError
from gate.machine.commands import run
from gate.machine.console import say
from tests.bench.record import Figure
from tests.bot.lifecycle import candidates, drills
from tests.bot.lifecycle.disposable import brought_to, leftovers, updated
from tests.bot.lifecycle.traffic import DRILL_RATE, Seen, steady
from tests.bot.lifecycle.witness import marked_backup, restores_the_marker

COMMANDS = ("update", "deploy", "rollback", "restore", "backup")
CANARY = ("--canary", "30", "--for", "4")
OPTIONS = UpdateOptions(watch=drills.WATCH, canary=30.0, canary_seconds=4.0)
OPTIONS_QUICK = UpdateOptions(watch=drills.WATCH, backup=False)
BACKUPS = 30
LOG_LIMIT = 20.0
Way = Callable[..., None]
WAYS: dict[str, Way] = {
    "kill -9": drills.kill_at,
    "Docker refuses": drills.refuse_at,
    "a hang-up": drills.hang_up_at,
    "output without a reader": drills.reader_gone_at,
}
"""How a command is disturbed at each of its steps."""


def figures(deployment: Deployment, first: Release, second: Release) -> list[Figure]:
    """Everything that is done to a deployment that trades, and what came of it."""
    return [
        *broken_off(deployment, first, second, COMMANDS),
        *_bad(deployment, first),
        *_schema(deployment, first),
        *_backups(deployment),
    ]


def broken_off(
    deployment: Deployment, first: Release, second: Release, names: Sequence[str]
) -> list[Figure]:
    """Break these commands off at each of their steps, in each way."""
    found = list[Figure]()
    with tempfile.TemporaryDirectory() as folder:
        for what in _commands(deployment, first, second, names):
            for how, at in WAYS.items():
                found += _broken_off(deployment, what, how, partial(at, folder=Path(folder)))
        if "backup" in names:
            found += _backups_broken_off(deployment, first, Path(folder))
    return found


@dataclass(frozen=True)
class Broken:
    """A command that is broken off at each of its steps."""

    command: drills.Command
    steps: tuple[str, ...]
    before: Callable[[], None]
    """What brings the deployment to where it begins."""
    is_noticed: bool
    """Whether requests may fail meanwhile: a deploy and a restore interrupt the service."""


def _commands(
    deployment: Deployment, first: Release, second: Release, names: Sequence[str]
) -> Iterator[Broken]:
    to_first = partial(brought_to, deployment, first, OPTIONS_QUICK)

    def to_second() -> None:
        to_first()
        brought_to(deployment, second, OPTIONS_QUICK)

    if "update" in names:
        steps = _steps(deployment, update.read_state(deployment, second, OPTIONS))
        yield Broken(drills.update_to(second, *CANARY), steps, to_first, is_noticed=False)
    if "deploy" in names:
        steps = _steps(deployment, DeployState(id="drill", release=second, had_data=True))
        yield Broken(drills.Command(("deploy",), second), steps, to_first, is_noticed=True)
    if "rollback" in names:
        state = rollback.read_state(deployment, first, OPTIONS_QUICK)
        words = ("rollback", "--watch", f"{drills.WATCH:g}")
        steps = (StepName.BACKUP, *_steps(deployment, state))
        yield Broken(drills.Command(words, first), steps, to_second, is_noticed=False)
    if "restore" in names:
        to_first()
        archive = backups.make(deployment)
        steps = _steps(deployment, RestoreState(archive=str(archive)))
        command = drills.Command(("restore", archive.name), first)
        yield Broken(command, steps, to_first, is_noticed=True)


def _steps(deployment: Deployment, state: CommandState) -> tuple[str, ...]:
    journal = Journal(Path(), state)
    return tuple(one.name for one in recovery.steps_of(deployment, journal))


def _broken_off(deployment: Deployment, what: Broken, how: str, at: Way) -> list[Figure]:
    name, failed, in_order = what.command.words[0], 0, 0
    for step in what.steps:
        what.before()
        wrong, seen = _recovered(deployment, partial(at, deployment, what.command, step))
        say(f"{name}, {how} at {step}: {wrong or 'recovered'}, failed {seen.failures[:3]}")
        failed += len(seen.failures)
        in_order += not wrong
    steps = float(len(what.steps))
    found = [
        Figure(f"{name}, {how}: steps", "steps", [steps]),
        Figure(f"{name}, {how}: recovered", "steps", [float(in_order)], steps, "higher"),
    ]
    if not what.is_noticed:
        found.append(Figure(f"{name}, {how}: failed requests", "requests", [float(failed)], 0.0))
    return found


def _recovered(deployment: Deployment, work: Callable[[], object]) -> tuple[str | None, Seen]:
    """Break a command off, do what the next one begins with, and tell what is wrong then."""
    with steady(deployment, DRILL_RATE) as seen:
        try:
            work()
            recovery.clear(deployment)
            recovery.recover(deployment)
        except (AssertionError, Rejected, MachineError) as error:
            return str(error), seen
    return _wrong(deployment), seen


def _wrong(deployment: Deployment) -> str | None:
    plain = drills.plain_left(deployment)
    return (
        recovery.unfinished_command(deployment)
        or leftovers(deployment)
        or (f"plain data in {plain}" if plain else None)
    )


def _backups_broken_off(deployment: Deployment, release: Release, folder: Path) -> list[Figure]:
    """Backups have no steps: they are ended at each of their calls of Docker."""
    found = list[Figure]()
    for number in (signal.SIGKILL, signal.SIGHUP):
        calls, in_order, came = 0, 0, True
        while came:
            broken = partial(
                drills.backup_broken_off, deployment, release, number, calls + 1, folder
            )
            came = broken()
            recovery.clear(deployment)
            wrong = _wrong(deployment)
            say(f"backup, {number.name} at call {calls + 1}: {wrong or 'recovered'}")
            calls, in_order = calls + 1, in_order + (not wrong)
        name = f"backup, {number.name} at a call of Docker"
        found.append(
            Figure(f"{name}: recovered", "calls", [float(in_order)], float(calls), "higher")
        )
    return found


def _bad(deployment: Deployment, first: Release) -> list[Figure]:
    taken_back, failed = 0, 0
    for name, bad in drills.BAD.items():
        with steady(deployment, DRILL_RATE) as seen:
            wrong = drills.taken_back(deployment, first, bad)
        failures = seen.failures if bad.harmless else []
        say(f"bad candidate, {name}: {wrong or 'taken back'}, failed requests {failures[:3]}")
        taken_back += wrong is None
        failed += len(failures)
    taken_back += _without_images(deployment, first)
    of = float(len(drills.BAD) + 1)
    return [
        Figure("bad candidates taken back", "candidates", [float(taken_back)], of, "higher"),
        Figure("bad candidates: failed requests", "requests", [float(failed)], 0.0),
    ]


def _without_images(deployment: Deployment, first: Release) -> bool:
    nowhere = Release(first.version, candidates.revision(), "no-such-tag")
    try:
        updated(deployment, nowhere, UpdateOptions(watch=drills.WATCH))
    except Rejected as refused:
        return "no-such-tag" in str(refused) and leftovers(deployment) is None
    return False


def _schema(deployment: Deployment, first: Release) -> list[Figure]:
    wrong = drills.schema_taken_back(deployment, first)
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
    archive, marker = marked_backup(deployment)
    try:
        return restores_the_marker(deployment, archive, marker)
    except Rejected as refused:
        say(f"{archive.name}: {refused}")
        return False
