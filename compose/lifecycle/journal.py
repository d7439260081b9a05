"""What a command has done so far, on disk at each step, so that another process can go on."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compose.lifecycle.trouble import Refused
from gate.machine.interrupts import deferred

FILE = "journal.json"


def now() -> str:
    """The time, UTC, ISO 8601."""
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


class Journal:
    """The one unfinished command of a deployment: its facts, and the steps begun and done."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._content = content

    @classmethod
    def begin(cls, path: Path, command: str, facts: dict[str, Any]) -> "Journal":
        """A new journal, written down before the first step."""
        content = {"schema": 1, "command": command, "began": now(), "facts": facts}
        journal = cls(path, {**content, "begun": [], "done": [], "reason": None})
        journal._write()
        return journal

    @classmethod
    def found(cls, path: Path) -> "Journal | None":
        """The journal that an earlier command left behind, if one did."""
        try:
            return cls(path, json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    @property
    def command(self) -> str:
        """`update`, `rollback`, `deploy` or `restore`."""
        return str(self._content["command"])

    @property
    def began(self) -> str:
        """When."""
        return str(self._content["began"])

    @property
    def facts(self) -> dict[str, Any]:
        """What the steps need to know of each other."""
        facts: dict[str, Any] = self._content["facts"]
        return facts

    @property
    def begun(self) -> list[str]:
        """Names of the steps that were begun, in order."""
        return list(self._content["begun"])

    @property
    def done(self) -> list[str]:
        """Names of the steps that were finished."""
        return list(self._content["done"])

    @property
    def reason(self) -> str | None:
        """Why it is being undone; None while it goes forward."""
        reason: str | None = self._content["reason"]
        return reason

    def note(self, **facts: Any) -> None:
        """Write facts down."""
        self.facts.update(facts)
        self._write()

    def start(self, step: str) -> None:
        """Say that a step is about to be done."""
        if step not in self._content["begun"]:
            self._content["begun"].append(step)
        self._write()

    def finish(self, step: str) -> None:
        """Say that a step is done."""
        self._content["done"].append(step)
        self._write()

    def fail(self, reason: str) -> None:
        """Say that everything is to be undone, and why."""
        self._content["reason"] = self._content["reason"] or reason
        self._write()

    def undone(self, step: str) -> None:
        """Say that a step was taken back."""
        for names in (self._content["begun"], self._content["done"]):
            if step in names:
                names.remove(step)
        self._write()

    def close(self, outcome: str) -> None:
        """Finish: the journal becomes a line of the history."""
        self._content |= {"outcome": outcome, "ended": now()}
        with deferred():
            with (self._path.parent / "history.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(self._content) + "\n")
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        with deferred():
            write_json(self._path, self._content)


@contextmanager
def alone(folder: Path, command: str) -> Iterator[None]:
    """Hold the deployment's lock. Raises `Refused` naming the owner of a lock that is held.

    The kernel lets go of the lock of a dead process, so a stale one is simply taken over.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Refused(f"another command is at work here: {file.read().strip()}") from None
        file.truncate(0)
        file.write(f"{command}, process {os.getpid()} on {socket.gethostname()} since {now()}\n")
        file.flush()
        yield
        file.truncate(0)


def new_id() -> str:
    """A name for one command's traces: sortable by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(2).hex()}"
