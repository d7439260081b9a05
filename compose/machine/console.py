"""What the user sees: calm lines on stderr, and the one error that ends the program."""

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

QUIET_SECONDS = 2.0
BAD_INPUT = 4
"""Exit code of a command that was given something it cannot use."""
MACHINE = 6
"""Exit code of a command that the machine kept from coming to an answer."""
INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells have it."""


class MachineError(Exception):
    """The machine cannot do what the stack needs: expected, seen, and what to do next."""


class Parser(argparse.ArgumentParser):
    """One sentence and `BAD_INPUT` for a wrong command line, where argparse ends with 2."""

    def error(self, message: str) -> NoReturn:
        """End the program."""
        say(f"{self.prog}: {message}")
        sys.exit(BAD_INPUT)


def say(line: str) -> None:
    """Write one line."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@contextmanager
def step(label: str, quiet: float = QUIET_SECONDS) -> Iterator[None]:
    """Announce what takes longer than `quiet` seconds, and say how long it took."""
    shown = threading.Event()

    def announce() -> None:
        shown.set()
        say(f"{label} ...")

    started = time.monotonic()
    timer = threading.Timer(quiet, announce)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if shown.is_set():
            say(f"{label}: {time.monotonic() - started:.0f} s")
