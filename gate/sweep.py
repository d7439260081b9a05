"""Leave nothing behind: which disposable stacks belong to a living gate, and removing the rest.

A gate holds a file lock for as long as it lives, so a dead one is known for sure, also after
kill -9 and whatever took its process id since. `python -m gate.sweep` removes what dead
gates left; `--all` removes kept stacks too, but never one whose gate lives.
"""

import fcntl
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gate.errors import MACHINE, MachineError
from gate.machine.commands import await_engine, run
from gate.machine.console import say, step
from gate.machine.limits import NO_ENGINE, limit_of
from gate.model import model

RUN_LABEL = model().label("gate.run")
STARTED_LABEL = model().label("gate.started")
PROJECT_PREFIX = "gate-"
OLD_SECONDS = 6 * 3600
"""A stack without a lock file here (another temporary folder) is left alone until this age."""
LIMIT = 60.0
LISTED = {
    "container": ["container", "ls", "--all"],
    "network": ["network", "ls"],
    "volume": ["volume", "ls"],
}
REMOVED = {
    "container": ["container", "rm", "--force", "--volumes"],
    "network": ["network", "rm"],
    "volume": ["volume", "rm", "--force"],
}


def runs_folder() -> Path:
    """Where this user's gates keep their locks and short-lived files."""
    return Path(tempfile.gettempdir()) / f"{model().project}-gate-{os.getuid()}"


class RunLock:
    """Says for as long as this process lives that the run's stack is in use."""

    def __init__(self, run_id: str, runs: Path | None = None) -> None:
        self.folder = (runs or runs_folder()) / run_id
        self.folder.mkdir(parents=True, mode=0o700)
        self._file = (self.folder / "lock").open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self, keep: bool = False) -> None:
        """Give the run up; `keep` marks its stack as left on purpose."""
        if keep:
            (self.folder / "kept").touch()
            (self.folder / "lock").unlink()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._file.close()

    def end(self, down: Callable[[], object]) -> None:
        """Take the run's stack away, by `down` if that can, and give the run up.

        Raises `MachineError` for what is still there. The folder stays then, with a lock that
        nobody holds: the next gate's sweep knows the run for dead and tries again.
        """
        try:
            try:
                down()
            except MachineError as error:
                if limit_of(str(error)) is NO_ENGINE:
                    await_engine()
            remove_labelled(self.folder.name)
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            self._file.close()


def new_run_id() -> str:
    """A name for one run: sortable by time, unique on this machine."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


@dataclass(frozen=True)
class Leftover:
    """What Docker still has of one run."""

    run_id: str
    started: float
    """Seconds since the epoch; 0 when the label cannot be read."""


def state(run_id: str, runs: Path | None = None) -> str:
    """`alive`, `dead`, `kept`, or `unknown` where there is no trace of the run here."""
    folder = (runs or runs_folder()) / run_id
    if (folder / "kept").exists():
        return "kept"
    try:
        with (folder / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return "unknown"
    except BlockingIOError:
        return "alive"
    return "dead"


def to_remove(leftover: Leftover, now: float, everything: bool, runs: Path | None = None) -> bool:
    """Whether a leftover may go: its gate is dead, or nobody knows it and it is old."""
    known = state(leftover.run_id, runs)
    if known == "unknown":
        return now - leftover.started > OLD_SECONDS
    return known == "dead" or (known == "kept" and everything)


def leftovers() -> list[Leftover]:
    """Give every run that Docker has something of. Raises `MachineError` where it does not say."""
    found: dict[str, float] = {}
    for kind in LISTED:
        shown = f'{{{{.Label "{RUN_LABEL}"}}}} {{{{.Label "{STARTED_LABEL}"}}}}'
        for line in _listed(kind, RUN_LABEL, "--format", shown):
            run_id, _, started = line.partition(" ")
            found[run_id] = float(started) if started.isdigit() else 0.0
    return [Leftover(run_id, started) for run_id, started in found.items()]


def _listed(kind: str, label: str, *how: str) -> list[str]:
    answer = run(["docker", *LISTED[kind], "--filter", f"label={label}", *how], LIMIT)
    if not answer.ok:
        raise MachineError(f"expected Docker to list each {kind} of {label}, but: {answer.text}")
    return answer.out.splitlines()


def sweep(everything: bool = False) -> list[str]:
    """Remove what dead gates left; returns the ids of their runs.

    What cannot be removed is told, and tried again by the next sweep.
    """
    now, gone, stuck = time.time(), [], set()
    for leftover in leftovers():
        run_id = leftover.run_id
        if not to_remove(leftover, now, everything):
            continue
        try:
            with step(f"removing what run {run_id} left behind"):
                remove(run_id)
            gone.append(run_id)
        except MachineError as error:
            stuck.add(run_id)
            say(str(error))
    _drop_empty_folders(now, stuck)
    return gone


def _drop_empty_folders(now: float, stuck: set[str]) -> None:
    """Folders of gates that died before Docker had anything of theirs."""
    for folder in runs_folder().glob("*/"):
        old = now - folder.stat().st_mtime > LIMIT
        if old and folder.name not in stuck and state(folder.name) == "dead":
            shutil.rmtree(folder, ignore_errors=True)


def companions(run_id: str) -> str:
    """The compose project of what only the tests need beside a run's stack."""
    return f"{PROJECT_PREFIX}{run_id}-companions"


def remove(run_id: str) -> None:
    """Take away all of a run; works without any file of it. Raises `MachineError`."""
    # The companions first: they are on the stack's network.
    for project in (companions(run_id), f"{PROJECT_PREFIX}{run_id}"):
        down = ["docker", "compose", "--project-name", project, "down"]
        run([*down, "--volumes", "--remove-orphans", "--timeout", "2"], LIMIT)
    remove_labelled(run_id)
    shutil.rmtree(runs_folder() / run_id, ignore_errors=True)


def remove_labelled(run_id: str) -> None:
    """Remove what has the label of a run, one by one. Raises `MachineError` for what stays."""
    label = f"{RUN_LABEL}={run_id}"
    for kind, words in REMOVED.items():
        names = _listed(kind, label, "--quiet")
        said = [run(["docker", *words, name], LIMIT).text for name in names]
        if names and (left := _listed(kind, label, "--quiet")):  # some go by themselves meanwhile
            raise MachineError(
                f"expected Docker to remove everything of run {run_id}, but it still has the {kind}"
                f" {', '.join(left)}: {' '.join(said)[-600:]}; `make clean` tries again"
            )


def main() -> int:
    """Remove leftovers and say which; 6 where Docker does not answer."""
    try:
        for run_id in sweep(everything="--all" in sys.argv[1:]):
            say(f"removed the stack of run {run_id}")
    except MachineError as error:
        say(str(error))
        return MACHINE
    return 0


if __name__ == "__main__":
    sys.exit(main())
