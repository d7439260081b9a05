"""What is being deployed: version, commit, and a tag that names exactly these sources."""

import hashlib
import tomllib
from pathlib import Path

from gate.errors import MachineError
from gate.hooks import Release as Release
from gate.machine.commands import run
from gate.model import model

HERE = Path(__file__).parent
GIT_LIMIT = 30.0
CHANGED = ("status", "--porcelain", "--untracked-files=normal")
"""A new file counts, whatever the settings of who asks say (status.showUntrackedFiles)."""

OWN_SERVICES = model().built
"""Services built from this repository, and their folders."""


def release() -> Release:
    """What this work tree is: version from pyproject.toml, revision from git.

    Raises `MachineError` when git cannot say whether it was changed.
    """
    # With a file of ours: a folder that somebody unpacked inside another repository is not of it.
    head = run(["git", "-C", HERE, "rev-parse", "HEAD", "HEAD:./compose.yaml"], GIT_LIMIT)
    changed = run(["git", "-C", HERE, *CHANGED, "--", "."], GIT_LIMIT)
    if head.ok and not changed.ok:  # changed or not would be a guess
        raise MachineError(f"expected `git status` to answer in {HERE}, but: {changed.text}")
    revision = head.out.split()[0] if head.ok else "unknown"
    if head.ok and changed.out.strip():
        revision += "-dirty"
    return of(HERE, revision)


def of(here: Path, revision: str) -> Release:
    """What a work tree is whose compose folder and revision are these."""
    project = tomllib.loads((here.parent / "pyproject.toml").read_text(encoding="utf-8"))
    version = project["project"]["version"]
    digest = hashlib.sha256(f"{version} {revision}".encode())
    for path in sources(here):
        digest.update(str(path.relative_to(here)).encode() + b"\0" + path.read_bytes())
    return Release(version, revision, digest.hexdigest()[:12])


def sources(here: Path = HERE) -> list[Path]:
    """Every file that an image of ours is built from."""
    left_out = {"node_modules", "dist", "__pycache__", ".mypy_cache", ".pytest_cache"}
    found = (path for name in OWN_SERVICES.values() for path in (here / name).rglob("*"))
    return sorted(
        path
        for path in found
        if path.is_file() and not left_out.intersection(path.relative_to(here).parts)
    )


def release_environment(what: Release) -> dict[str, str]:
    """Compose variables that build and choose the images of a release."""
    return {"BOT_VERSION": what.version, "BOT_REVISION": what.revision, "BOT_TAG": what.tag}


def images(what: Release) -> list[str]:
    """Names of the images that a release is built into, one a service of ours."""
    return [image(service, what) for service in OWN_SERVICES]


def image(service: str, what: Release) -> str:
    """The name of a service's image in a release."""
    return f"breakout-bot/{OWN_SERVICES[service]}:{what.tag}"
