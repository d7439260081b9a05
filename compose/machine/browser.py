"""A browser for the ui stage: the system's Chromium or Chrome, or Playwright's own Chromium."""

import os
import shutil
from pathlib import Path

from compose.machine import apt
from gate.errors import MachineError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGE = "chromium"
PLAYWRIGHTS_OWN = "chromium-*/chrome-linux*/chrome"
NONE = (
    f"Expected a browser for the ui stage, but found none of {', '.join(PROGRAMS)} on the PATH"
    " and none of Playwright's own."
)


def find(path: str | None = None, cache: Path | None = None) -> str | None:
    """The browser's program: on `path` (PATH by default), else in Playwright's `cache`."""
    found = (shutil.which(name, path=path) for name in PROGRAMS)
    if program := next(filter(None, found), None):
        return program
    named = os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "")
    cache = cache or (Path(named) if len(named) > 1 else Path.home() / ".cache" / "ms-playwright")
    own = sorted(cache.glob(PLAYWRIGHTS_OWN), key=lambda program: program.stat().st_mtime)
    return str(own[-1]) if own else None


def require() -> str:
    """The browser's program. Raises `MachineError` when there is none."""
    program = find()
    if program is None:
        raise MachineError(f"{NONE} Run `make machine`, which installs it or says how.")
    return program


def ensure() -> None:
    """Install a browser where packages can be installed. Raises `MachineError` elsewhere."""
    if find():
        return
    if not apt.may_install():
        raise MachineError(
            f"{NONE} Install Chromium, or run `.venv/bin/playwright install chromium`; without it"
            " every stage but ui can run."
        )
    apt.install([PACKAGE])
    if not find():
        raise MachineError(f"{NONE} The package {PACKAGE} was installed and brought none.")
