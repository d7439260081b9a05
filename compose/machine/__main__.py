"""`python -m compose.machine`: engine, plugins, images, browser, ACME server, or why not."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compose.machine import acme, browser, engine, images, overview, registry
from gate.errors import MachineError
from gate.machine.console import INTERRUPTED, Parser, say, show, step

UNDECIDED = 6
INSTALLED = 0o022
"""The umask for what is installed: it is everybody's, whatever this user keeps to himself."""


def main(arguments: list[str] | None = None) -> int:
    """Make the machine ready, silently when it is; 6 when that cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        if options.recheck:
            registry.memory().forget()
        if options.check:
            show(overview.text().rstrip("\n"))
        else:
            make_ready()
    except (MachineError, OSError) as error:
        say(f"This machine is not ready. {error}")
        return UNDECIDED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def make_ready() -> None:
    """Do what is left to do, one process at a time."""
    if engine.ready() and images.ready() and browser.find() and acme.ready():
        return
    with _alone():
        os.umask(INSTALLED)
        engine.ensure()
        images.ensure()
        for ensure in (browser.ensure, acme.ensure):
            try:
                ensure()
            except MachineError as missing:  # only some checks need it
                say(str(missing))


@contextmanager
def _alone() -> Iterator[None]:
    folder = Path("/run") if os.geteuid() == 0 else registry.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "breakout-bot-machine.lock").open("w") as lock:
        with step("waiting for another set-up of this machine"):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _parser() -> Parser:
    parser = Parser(prog="python -m compose.machine", description=__doc__)
    parser.add_argument("--check", action="store_true", help="show what is there, change nothing")
    parser.add_argument("--recheck", action="store_true", help="ask again for an image registry")
    return parser


if __name__ == "__main__":
    sys.exit(main())
