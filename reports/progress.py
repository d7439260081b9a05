"""Says what takes long, while it takes long, and nothing about what is quick.

On a terminal one line is written over. In a log there is a line where something long begins, one
every 30 s and one where it ends.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from reports.words import encodable

THRESHOLD = 2.0
WAIT_THRESHOLD = 5.0
"""Seconds after which a wait is named."""
TICK = 0.5
LOG_SECONDS = 30.0
NARROW = 80
"""Columns of a terminal that does not tell them."""

Status = Callable[[], str]
Waits = Callable[[], tuple[str, float] | None]
"""Gives what is waited for, such as `for redis`, and the seconds so far."""


@dataclass(eq=False)
class _Step:
    name: str
    since: float
    status: Status | None
    shown_at: float | None = None


def obeys_codes(stream: TextIO) -> bool:
    """Tell whether a stream goes back in its line and shows colours: no dumb terminal does."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Progress:
    """Shows the step at work once it has taken two seconds, and lines that stay."""

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        threshold: float = THRESHOLD,
        background: bool = True,
        waits: Waits = lambda: None,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._threshold = threshold
        self._background = background
        self._waits = waits
        self._began = clock()
        self._in_place = obeys_codes(self._stream)
        self._lock = threading.Lock()
        self._running: list[_Step] = []
        self._kept: list[str] = []
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def in_colour(self) -> bool:
        """Whether lines that are kept may have colours."""
        return self._in_place and not os.environ.get("NO_COLOR")

    @contextmanager
    def step(self, name: str, status: Status | None = None) -> Iterator[None]:
        """Show one step of the work, such as `bringing the stack up`; steps may hold steps.

        `status` says how far it is. A step that has one is shown, however quick, in a run that
        has taken long already.
        """
        step = _Step(name, self._clock(), status)
        with self._lock:
            self._running.append(step)
        self._watch()
        try:
            yield
        except BaseException:
            self._leave(step, "failed after ")
            raise
        self._leave(step, "")

    def keep(self, line: str) -> None:
        """Show a line that stays, at the next look: what is quick ends with a report of its own."""
        with self._lock:
            self._kept.append(line)

    def tick(self) -> None:
        """Show lines that stay, and the step at work if it has become a long one."""
        with self._lock:
            if not self._running:
                return
            step, now = self._running[-1], self._clock()
            head = step.status() if step.status else step.name
            self._write_kept()
            if not self._is_long(step, now):
                return
            text = f"{head} … {now - step.since:.0f} s{self._wait()}"
            if self._in_place:
                self._write(f"\r\x1b[K{self._cut(text)}")
            elif step.shown_at is None:
                self._write(f"{step.name} …\n")
            elif now - step.shown_at >= LOG_SECONDS:
                self._write(f"{text}\n")
            else:
                return
            step.shown_at = now

    def close(self) -> None:
        """End the background thread; nothing is shown after it."""
        self._done.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)
        self._thread = None

    def _is_long(self, step: _Step, now: float) -> bool:
        since = step.since if step.status is None else self._began
        return now - since >= self._threshold

    def _leave(self, step: _Step, how: str) -> None:
        with self._lock:
            self._running.remove(step)
            last = not self._running
            now = self._clock()
            if self._is_long(step, now):
                self._write_kept()
                head = step.status() if step.status else step.name
                start = "\r\x1b[K" if self._in_place else ""
                self._write(f"{start}{head}: {how}{now - step.since:.1f} s\n")
        if last:
            self.close()

    def _wait(self) -> str:
        wait = self._waits()
        if wait is None or wait[1] < WAIT_THRESHOLD:
            return ""
        return f", {wait[1]:.0f} s {wait[0]}"

    def _cut(self, text: str) -> str:
        """Cut what a terminal would wrap: it could not be written over."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns or NARROW
        except (OSError, ValueError):
            columns = NARROW
        return text if len(text) < columns else text[: columns - 2] + "…"

    def _write_kept(self) -> None:
        start = "\r\x1b[K" if self._in_place else ""
        lines, self._kept = self._kept, []
        for line in lines:
            self._write(f"{start}{line}\n")

    def _watch(self) -> None:
        if self._background and self._thread is None:
            self._done = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._done,), name="progress", daemon=True
            )
            self._thread.start()

    def _run(self, done: threading.Event) -> None:
        while not done.wait(TICK):
            self.tick()

    def _write(self, text: str) -> None:
        try:
            self._stream.write(encodable(text, self._stream.encoding or "utf-8"))
            self._stream.flush()
        except (OSError, ValueError):
            self._done.set()
