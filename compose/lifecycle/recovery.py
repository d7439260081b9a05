"""What to do with a command that was killed: go on to its end, or undo it."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from compose.lifecycle import backups, journal, proxy, releases, restore, working
from compose.lifecycle.deploy import Deploy, bring_up, former
from compose.lifecycle.deployment import COLOURED, Deployment, holds_within, inspected
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal, deployment_lock
from compose.lifecycle.restore import Restore
from compose.lifecycle.rollback import Rollback
from compose.lifecycle.state import (
    CommandState,
    DeployState,
    RestoreState,
    RollbackState,
    UpdateState,
)
from compose.lifecycle.steps import Step, StepName, carry_out, must_roll_forward, undo_all
from compose.lifecycle.update import Update, downgrade_schema, remove_others
from gate.containers import Container
from gate.errors import MachineError
from gate.machine.console import say
from gate.machine.interrupts import deferred
from reports.words import listed

Command = Deploy | Update | Restore
COMMANDS: dict[str, Callable[[Deployment, Journal[Any]], Command]] = {
    DeployState.command: Deploy,
    UpdateState.command: Update,
    RollbackState.command: Rollback,
    RestoreState.command: Restore,
}
ORPHAN_SECONDS = 120.0


def journal_path(deployment: Deployment) -> Path:
    """Give the path where the unfinished command of a deployment is written down."""
    return deployment.state / journal.FILE


def steps_of(deployment: Deployment, journal: Journal[CommandState]) -> list[Step]:
    """List the steps of the command that a journal is about."""
    return COMMANDS[journal.command](deployment, journal).steps()


def unfinished_command(deployment: Deployment) -> str | None:
    """Say what an earlier command left unfinished; None when nothing is."""
    journal = Journal.find(journal_path(deployment))
    if journal is None:
        return None
    at = journal.begun[-1] if journal.begun else "its beginning"
    steps = steps_of(deployment, journal)
    way = "finish" if must_roll_forward(journal, steps) else "undo"
    return (
        f"the {journal.command} begun {journal.began} ended unfinished at `{at}`;"
        f" the next update or rollback will {way} it"
    )


def to_start(deployment: Deployment) -> list[Container]:
    """List one container of each service: those that served, and go on to, when all were stopped.

    What an unfinished command is undone to is older than what it made. A rollback that has taken
    the data back has left no bot that may open them, until it has made the earlier one.
    """
    newest = {container.service: container for container in deployment.newest()}
    journal = Journal.find(journal_path(deployment))
    if journal is None or not isinstance(journal.state, UpdateState):
        return list(newest.values())
    if not must_roll_forward(journal, steps_of(deployment, journal)):
        old = inspected(list(journal.state.old.values()))
        return list((newest | {container.service: container for container in old}).values())
    made = StepName.START in journal.done
    return [container for container in newest.values() if made or container.service not in COLOURED]


def recover(deployment: Deployment) -> bool:
    """Finish or undo what was left; whether there was anything."""
    journal = Journal.find(journal_path(deployment))
    if journal is None:
        return False
    say(f"{deployment.project}: {unfinished_command(deployment)}")
    holds_within(lambda: not _orphans(deployment.project), ORPHAN_SECONDS)
    steps = steps_of(deployment, journal)
    with deferred():
        if must_roll_forward(journal, steps):
            carry_out(journal, steps)
            journal.close("finished later")
        else:
            _make_former_anew(deployment, journal)
            undo_all(journal, steps, journal.reason or "it was interrupted")
            journal.close("undone later")
    return True


def _make_former_anew(deployment: Deployment, journal: Journal[Any]) -> None:
    """Make the containers that an update is undone to, where a prune took the stopped ones."""
    state, present = journal.state, releases.current(deployment)
    if not isinstance(state, UpdateState) or present is None:
        return
    gone = [service for service, container in state.old.items() if not inspected([container])]
    if not gone:
        return
    say(f"    {listed(gone)}: made anew, for the former container is gone")
    downgrade_schema(deployment, state.release, journal)
    remove_others(deployment, [])
    flags = ("--no-recreate", "--pull", "never")
    bring_up(former(deployment), present.release, f"{state.id}-former", *flags)
    state.old = {service: deployment.container(service).id for service in COLOURED}
    state.folder = proxy.serving(deployment)
    journal.save()


def clear(deployment: Deployment) -> None:
    """Remove what a killed command left: plain copies of data, helpers, scratch stacks.

    While another command is at work only the plain copies go; the rest is for the next one.
    """
    dead = working.abandoned(deployment)
    old = [*deployment.state.glob("tmp????????"), *deployment.state.glob("backups/.backup-*.new*")]
    if not dead and not old:
        return None
    for folder in dead:
        shutil.rmtree(folder / working.FILES, ignore_errors=True)
    with suppress(Rejected), deployment_lock(deployment.state, "clear"):
        say(f"{deployment.project}: removing what a command that was killed has left")
        for path in old:  # as a version before left it
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        try:
            for folder in dead:
                _clear(deployment, folder)
            backups.clear_volumes(deployment)
        except MachineError as error:  # such as no image to look with, until there is a deploy
            return say(f"    the next command has to go on with that: {error}")
        for folder in dead:
            shutil.rmtree(folder)
    return None


def _clear(deployment: Deployment, folder: Path) -> None:
    for path in deployment.state.glob(f"backups/.{folder.name}.*"):
        path.unlink()
    working.remove_helpers(folder.name)
    note = folder / working.SCRATCH
    if note.is_file():
        scratch = note.read_text(encoding="utf-8", errors="replace")
        if len(scratch.split()) != 2:  # killed while it wrote that down: before the stack was made
            return
        holds_within(lambda: not _orphans(scratch.split()[0]), ORPHAN_SECONDS)
        restore.clear_scratch(deployment, scratch)


def _orphans(project: str) -> list[int]:
    """List compose commands on this project whose parent was killed: they still change things."""
    wanted = f"\0-p\0{project}\0".encode()
    pids = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command_line = entry.read_bytes()
        except OSError:
            continue
        if (
            wanted in command_line
            and b"compose" in command_line
            and int(entry.parent.name) != os.getpid()
        ):
            pids.append(int(entry.parent.name))
    return pids


def execute(deployment: Deployment, state: CommandState) -> None:
    """Carry a new command out from its first step to its last. Raises `Rejected`, `MachineError`.

    The journal stays open while a step is neither done nor undone.
    """
    journal = None
    try:
        with deferred():
            journal = Journal.begin(journal_path(deployment), state)
            steps = steps_of(deployment, journal)
        carry_out(journal, steps)
    except (Rejected, KeyboardInterrupt) as ended:
        if journal is not None and not journal.begun:
            journal.close(f"undone: {ended}")
        elif journal is not None and all(step.name in journal.done for step in steps):
            journal.close("done")
        raise
    journal.close("done")
