"""Says what takes long, while it takes long, and nothing about what is quick."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

THRESHOLD = 2.0
TICK = 0.5


class Progress:
    """Shows the step at work once it has taken two seconds; in place where that is possible."""

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        threshold: float = THRESHOLD,
        background: bool = True,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._threshold = threshold
        self._background = background
        self._in_place = self._stream.isatty()
        self._lock = threading.Lock()
        self._running: list[tuple[str, float]] = []
        self._announced: tuple[str, float] | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step of the work, such as `bringing the stack up`; steps may hold steps."""
        step = (name, self._clock())
        with self._lock:
            self._running.append(step)
        self._watch()
        try:
            yield
        except BaseException:
            self._leave(step, "failed after ")
            raise
        self._leave(step, "")

    def tick(self) -> None:
        """Show the step at work if it has become a long one."""
        with self._lock:
            if not self._running:
                return
            step = self._running[-1]
            taken = self._clock() - step[1]
            if taken < self._threshold:
                return
            if self._in_place:
                self._write(f"\r\x1b[K{step[0]} … {taken:.0f} s")
            elif self._announced != step:
                self._write(f"{step[0]} …\n")
            self._announced = step

    def close(self) -> None:
        """End the background thread; nothing is shown after it."""
        self._done.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)
        self._thread = None

    def _leave(self, step: tuple[str, float], how: str) -> None:
        with self._lock:
            self._running.remove(step)
            last = not self._running
            taken = self._clock() - step[1]
            if taken >= self._threshold:
                start = "\r\x1b[K" if self._in_place else ""
                self._write(f"{start}{step[0]}: {how}{taken:.1f} s\n")
        if last:
            self.close()

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
            if (self._stream.encoding or "").lower() == "ascii":
                text = text.replace("…", "...")
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._done.set()
