"""What a command has done so far, on disk at each step, so that another process can go on."""

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from compose.lifecycle.errors import Rejected
from compose.lifecycle.state import CommandState, from_json, to_json
from gate.machine.interrupts import deferred

FILE, RESERVE = "journal.json", ".journal.reserve"
RESERVED_BYTES = 64 * 1024
"""Kept for the journal of a command at work: a full disk does not keep it from going back."""
SCHEMA = 1
REMEDY = (
    "what the command was at is not known, so nothing was changed. `compose/status.sh` shows what"
    " runs; move the file away, then `compose/deploy.sh` brings every service to one release"
)


def now() -> str:
    """Give the time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_json(path: Path, content: Any) -> None:
    """Replace a file as a whole, on the disk before this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def append(path: Path, line: str) -> None:
    """Write one more line at the end of a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


T = TypeVar("T")


def read_json(path: Path, kind: Callable[[Any], T], remedy: str) -> T | None:
    """Read what a file of the state folder holds, by `kind`; None where there is no such file.

    Raises `Rejected` for one that is damaged, with what an operator can do about it: a guess would
    undo, or leave undone, what somebody else's service depends on.
    """
    try:
        return kind(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        size = path.stat().st_size
        raise Rejected(
            f"expected {path} as this program writes it, got {size} bytes that cannot be read"
            f" ({type(error).__name__}: {error}); {remedy}"
        ) from None


S = TypeVar("S", bound=CommandState)
S_co = TypeVar("S_co", bound=CommandState, covariant=True)


class Journal(Generic[S_co]):
    """The one unfinished command of a deployment: its state, and the steps begun and done."""

    def __init__(self, path: Path, state: S_co, began: str = "") -> None:
        self._path = path
        self.state = state
        self.began = began
        self.begun: list[str] = []
        """Names of the steps that were begun, in order."""
        self.done: list[str] = []
        """Names of the steps that were finished."""
        self.reason: str | None = None
        """Why it is being undone; None while it goes forward."""

    @staticmethod
    def begin(path: Path, state: S) -> "Journal[S]":
        """Write a new journal down, before the first step."""
        journal = Journal(path, state, now())
        path.parent.mkdir(parents=True, exist_ok=True)
        journal._reserve.write_bytes(b"\0" * RESERVED_BYTES)
        journal.save()
        return journal

    @staticmethod
    def find(path: Path) -> "Journal[CommandState] | None":
        """Read the journal that an earlier command left behind, if one did. Raises `Rejected`."""
        return read_json(path, lambda content: Journal._read(path, content), REMEDY)

    @staticmethod
    def _read(path: Path, content: dict[str, Any]) -> "Journal[CommandState]":
        """Read one. Raises `Rejected` for another version's, `TypeError` and such for a damaged."""
        if content.get("schema", SCHEMA) != SCHEMA:
            raise Rejected(
                f"expected {path} of schema {SCHEMA}, got schema {content['schema']}, of another"
                " version: give the command again from the checkout that began it"
            )
        journal = Journal(path, from_json(content["command"], content["facts"]), content["began"])
        journal.begun, journal.done = list(content["begun"]), list(content["done"])
        journal.reason = content["reason"]
        words = [journal.began, *journal.begun, *journal.done, journal.reason or ""]
        if not all(isinstance(word, str) for word in words):
            raise TypeError("names of steps, reason or time that are no text")
        return journal

    @property
    def command(self) -> str:
        """`update`, `rollback`, `deploy` or `restore`."""
        return self.state.command

    def start(self, step: str) -> None:
        """Say that a step is about to be done."""
        if step not in self.begun:
            self.begun.append(step)
        self.save()

    def finish(self, step: str) -> None:
        """Say that a step is done, and what it has found out."""
        self.done.append(step)
        self.save()

    def fail(self, reason: str) -> None:
        """Say that everything has to be undone, and why."""
        self.reason = self.reason or reason
        self.save()

    def mark_undone(self, step: str) -> None:
        """Say that a step was undone."""
        for names in (self.begun, self.done):
            if step in names:
                names.remove(step)
        self.save()

    def close(self, outcome: str) -> None:
        """Finish: the journal becomes a line of the history."""
        line = json.dumps({**self._content, "outcome": outcome, "ended": now()})
        with deferred():
            self._with_room(lambda: append(self._path.parent / "history.jsonl", line))
            self._path.unlink(missing_ok=True)
            self._reserve.unlink(missing_ok=True)

    def save(self) -> None:
        """Write it down as it is now."""
        with deferred():
            self._with_room(lambda: write_json(self._path, self._content))

    @property
    def _reserve(self) -> Path:
        return self._path.with_name(RESERVE)

    def _with_room(self, write: Callable[[], None]) -> None:
        """Write, on a full disk into what was kept for that."""
        try:
            write()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not self._reserve.exists():
                raise
            self._reserve.unlink()
            write()

    @property
    def _content(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "command": self.command,
            "began": self.began,
            "facts": to_json(self.state),
            "begun": self.begun,
            "done": self.done,
            "reason": self.reason,
        }


@contextmanager
def deployment_lock(folder: Path, command: str) -> Iterator[None]:
    """Hold the deployment's lock. Raises `Rejected` naming the owner of a lock that is held.

    The kernel lets go of the lock of a dead process, so a stale one is simply taken over.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Rejected(f"another command is at work here: {file.read().strip()}") from None
        file.truncate(0)
        file.write(f"{command}, process {os.getpid()} on {socket.gethostname()} since {now()}\n")
        file.flush()
        yield
        file.truncate(0)


def new_id() -> str:
    """Make a name for one command's traces: sortable by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(2).hex()}"
