"""What the user sees: calm lines on stderr, and the one error that ends the program.

Whether anybody reads them decides nothing. A pipe whose reader has gone, a terminal that was closed
or stopped, a full disk: the line is dropped, the work goes on, the exit code is that of the work.
"""

import argparse
import atexit
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

from gate.errors import BAD_INPUT
from reports.progress import Progress

STUCK_SECONDS = 2.0
"""How long a reader is waited for who takes nothing more, as a terminal stopped with Ctrl-S."""
PIECE = 1000
"""Characters at a time: a pipe that can be written to has room for 4096 bytes."""
LOGS_KEPT = 30
INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells have it."""


class Parser(argparse.ArgumentParser):
    """One sentence and `BAD_INPUT` for a wrong command line, where argparse ends with 2."""

    def error(self, message: str) -> NoReturn:
        """End the program."""
        say(f"{self.prog}: {message}")
        sys.exit(BAD_INPUT)


def _open_missing_streams() -> None:
    """Open what the caller has closed of 0, 1 and 2: the next file would take its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


if None in (sys.stdout, sys.stderr):
    _open_missing_streams()


class _Record:
    """Where every line of this process goes as well, and what must not be in any."""

    file: TextIO | None = None
    redact: Callable[[str], str] = str
    once: frozenset[str] = frozenset()
    stuck: frozenset[int] = frozenset()


def say(line: str) -> None:
    """Write one line for people."""
    _tell(sys.stderr, line)


def say_once(line: str) -> None:
    """Write a line that this process has not written yet."""
    if line not in _Record.once:
        _Record.once |= {line}
        say(line)


def show(line: str) -> None:
    """Write one line of what a command was asked for."""
    _tell(sys.stdout, line)


def _tell(stream: TextIO, line: str) -> None:
    text = _Record.redact(line) + "\n"
    if _Record.file is not None:
        with suppress(OSError, ValueError):
            _Record.file.write(f"{datetime.now(UTC):%H:%M:%S} {text}")
            _Record.file.flush()
    write(stream, text)


def write(stream: TextIO, text: str, *, patient: bool = False) -> None:
    """Write a text to a stream whose reader may be gone.

    With `patient` a reader that takes its time is waited for: nothing else is left to be done.
    """
    with suppress(LookupError):
        encoding = stream.encoding or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        for start in range(0, max(len(text), 1), PIECE):
            if not (patient or _takes_more(stream)):
                return
            stream.write(text[start : start + PIECE])
            stream.flush()
    except BlockingIOError:
        return
    except (OSError, ValueError):
        _give_up(stream)


class Unfailing:
    """A stream as others expect one, whose reader may be gone."""

    def __init__(self, stream: TextIO, *, patient: bool = True) -> None:
        self._stream = stream
        self._patient = patient

    def write(self, text: str) -> int:
        """Write as `write` does."""
        write(self._stream, text, patient=self._patient)
        return len(text)

    def flush(self) -> None:
        """Write what is left."""
        write(self._stream, "", patient=self._patient)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _takes_more(stream: TextIO) -> bool:
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # none of the system's, such as a test's
        return True
    seconds = 0.0 if number in _Record.stuck else STUCK_SECONDS
    ready = bool(select.select([], [number], [], seconds)[1])
    _Record.stuck = _Record.stuck - {number} if ready else _Record.stuck | {number}
    return ready


def _give_up(stream: TextIO) -> None:
    """Lead the stream nowhere: Python ends with 120 where it cannot flush what one holds."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@atexit.register
def _drop_what_nobody_reads() -> None:
    for stream in (sys.stdout, sys.stderr):
        write(stream, "")


@contextmanager
def recorded(folder: Path | None, name: str, redact: Callable[[str], str]) -> Iterator[Path | None]:
    """Redact every line that is written meanwhile, and keep it in a file of its own, if asked.

    Of the files of a folder the last 30 stay. Where there is no room the lines are only shown.
    """
    before, path = _Record.redact, folder and folder / f"{name}.log"
    if path is not None:
        with suppress(OSError):
            _open_record(path)
    _Record.redact = redact
    try:
        yield path if _Record.file is not None else None
    finally:
        file, _Record.file, _Record.redact = _Record.file, None, before
        if file is not None:
            with suppress(OSError):
                file.close()


def _open_record(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    _Record.file = os.fdopen(handle, "a", encoding="utf-8", errors="replace")
    for old in sorted(path.parent.glob("*.log"))[:-LOGS_KEPT]:
        old.unlink(missing_ok=True)


def duplicated(stream: TextIO) -> TextIO:
    """Open a stream's terminal, pipe or file once more: what is captured later is not this.

    Give it back with `close`. A stream that is none of the system's is returned itself.
    """
    try:
        number = os.dup(stream.fileno())
    except (OSError, ValueError):
        return stream
    return os.fdopen(number, "w", encoding=stream.encoding, errors="backslashreplace")


class _Lines(Unfailing):
    """Where progress is written line by line, and kept as all lines are."""

    def write(self, text: str) -> int:
        say(text.removesuffix("\n"))
        return len(text)

    def isatty(self) -> bool:
        """Whether a line could be written over: not one that is kept."""
        return False


@contextmanager
def step(label: str) -> Iterator[None]:
    """Announce what takes longer than two seconds, and say how long it took."""
    with Progress(cast(TextIO, _Lines(sys.stderr))).step(label):
        yield
