"""The result stream: JSON lines on disk, so that a killed run still leaves what it saw.

A disk that takes no more ends no run, which has a stack to take away: from then on what happens is
kept in memory, for the verdict.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from reports.events import Event, Picture, Trouble, from_line, to_line
from reports.redact import Redactor

FILE = "events.jsonl"


class Stream:
    """Takes events as they happen and puts each on disk at once, without secrets."""

    def __init__(
        self, folder: Path, redactor: Redactor, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder = folder
        self.error: OSError | None = None
        """Why nothing is written any more."""
        self.unwritten: list[Event] = []
        """What happened since then."""
        self.redactor = redactor
        self._clock = clock
        self._lock = threading.Lock()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file: int | None = None
        self._is_closed = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / FILE, flags, 0o644)
        except OSError as error:
            self.error = error
        self._start = clock()

    def now(self) -> float:
        """Seconds since the stream was opened: the scale of `t` and of every `started`."""
        return round(self._clock() - self._start, 3)

    def emit(self, event: Event) -> None:
        """Write one event; it survives whatever happens to this process afterwards."""
        line = to_line(replace(event, t=self.now()), self.redactor.value) + "\n"
        data = line.encode("utf-8", "replace")
        with self._lock:
            if self._is_closed:
                raise ValueError(
                    f"the result stream is closed, so it cannot take a {event.kind!r} event"
                )
            try:
                while data and self._file is not None and self.error is None:
                    data = data[os.write(self._file, data) :]
            except OSError as error:
                self.error = error
            if self.error is not None and (kept := from_line(line.encode("utf-8", "replace"))):
                self.unwritten.append(kept)

    def attach(self, name: str, text: str) -> str:
        """Keep a longer text beside the events; returns its path relative to the run's folder."""
        data = self.redactor.text(text).encode("utf-8", "replace")
        return self._keep("logs", _safe(self.redactor.name(name)), data)

    def picture(self, title: str, data: bytes) -> str:
        """Keep a JPEG or PNG as evidence; returns its path relative to the run's folder.

        A picture cannot be redacted: whoever takes it sees to it that it shows no secret.
        """
        title = self.redactor.text(title)
        kind = "png" if data.startswith(b"\x89PNG") else "jpg"
        path = self._keep("pictures", f"{_safe(title)}.{kind}", data)
        self.emit(Picture(title, path, len(data)))
        return path

    def _keep(self, folder: str, name: str, data: bytes) -> str:
        try:
            with self._lock:
                (self.folder / folder).mkdir(exist_ok=True)
                path = _free(self.folder / folder, name)
                path.write_bytes(data)
        except OSError as error:
            self.error = self.error or error
            return f"{folder}/{name} (not written: {error.strerror})"
        return f"{folder}/{path.name}"

    def close(self) -> None:
        """Take no more events; closing twice is fine."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._file, self._is_closed = None, True


def read(folder: Path) -> list[Event]:
    """Read the events of a run; a last line that was cut is left out, other damage is trouble."""
    lines = (folder / FILE).read_bytes().split(b"\n")
    read = [(from_line(line), line, place) for place, line in enumerate(lines, 1) if line.strip()]
    if lines[-1].strip() and read[-1][0] is None:
        read.pop()
    return [event or _damaged(line, place) for event, line, place in read]


def _damaged(line: bytes, place: int) -> Trouble:
    return Trouble(
        f"Line {place} of {FILE} cannot be read, so a result may be missing.",
        expected="one JSON object with a kind on every line",
        seen=line[:200].decode("utf-8", "replace"),
        next_step="run the gate again; if it comes back, look for two runs writing one folder",
    )


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[-100:] or "log"


def _free(folder: Path, name: str) -> Path:
    path = folder / name
    number = 2
    while path.exists():
        path = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
        number += 1
    return path
