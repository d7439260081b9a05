"""Private working folders: nothing plain lies anywhere else, and a killed command's are known."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from compose.lifecycle.deployment import DOCKER_LIMIT, Deployment, docker, holds_within
from gate.errors import MachineError
from gate.machine.commands import run

FOLDER = "working"
LABEL = "org.breakout-bot.working"
"""On containers that work for a command: the name of its working folder."""
GONE_SECONDS = 20.0
LOCK, FILES, SCRATCH = "lock", "files", "scratch"


@contextmanager
def folder(deployment: Deployment) -> Iterator[Path]:
    """Make a private folder for plain data; it goes away at the end, whatever happens.

    The kernel lets go of its lock when this process is killed, so that another command knows.
    """
    root = deployment.state / FOLDER
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(root / LOCK):  # else `abandoned` could see it before it is locked
        mine = Path(tempfile.mkdtemp(dir=root, prefix="work-"))
        lock = _held(mine / LOCK)
    assert lock is not None
    try:
        (mine / FILES).mkdir()
        yield mine / FILES
    except BaseException:
        with suppress(MachineError):
            remove_helpers(mine.name)
        raise
    finally:
        shutil.rmtree(mine, ignore_errors=True)
        lock.close()


def note(files: Path, text: str) -> None:
    """Write down which scratch stack is worked with, for who clears up after a kill."""
    (files.parent / SCRATCH).write_text(text, encoding="utf-8")


def name_of(files: Path) -> str:
    """Give the name of the working folder that holds these files, for `LABEL`."""
    return files.parent.name


def abandoned(deployment: Deployment) -> list[Path]:
    """List the working folders of commands that were killed."""
    root = deployment.state / FOLDER
    if not root.is_dir():
        return []
    with _locked(root / LOCK):
        return [path for path in sorted(root.glob("work-*")) if _is_abandoned(path)]


def remove_helpers(name: str) -> None:
    """Remove the containers that work for a working folder; one may be on its way out by itself."""
    command = ["ps", "--all", "--quiet", "--filter", f"label={LABEL}={name}"]
    for container in docker(*command).split():
        run(["docker", "rm", "--force", container], DOCKER_LIMIT)
    if not holds_within(lambda: not docker(*command), GONE_SECONDS):
        raise MachineError(f"Expected the helper of {name} to go away, but it does not.")


def _is_abandoned(path: Path) -> bool:
    try:
        lock = _held(path / LOCK)
    except FileNotFoundError:  # it has just come to its end
        return False
    if lock is not None:
        lock.close()
    return lock is not None


def _held(path: Path) -> IO[bytes] | None:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
