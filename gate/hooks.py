"""What only the owner of a stack knows, called by name: the module that the stack file names.

    hooks().release()                  what this work tree is
    hooks().unavailable()              services and helpers that this machine cannot have, and why

Imported only where it is needed, so never by a look at a live target.
"""

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, cast

from gate.errors import UsageError
from gate.model import ModelError, model


@dataclass(frozen=True)
class Release:
    """What is being deployed: the version, the commit and the tag of its images."""

    version: str
    revision: str
    tag: str


@dataclass(frozen=True)
class Version:
    """A version that can be had: a commit, or the release that images are of."""

    word: str
    commit: str | None = None
    release: Release | None = None


class VersionError(UsageError):
    """A version that cannot be had, in one sentence: what was expected, what was given."""


class Hooks(Protocol):
    """The functions of that module."""

    def release(self) -> Release:
        """What this work tree is. Raises `MachineError`."""

    def environment(self, what: Release) -> dict[str, str]:
        """Compose variables that build and choose the images of a release."""

    def images(self, what: Release) -> list[str]:
        """Names of the images that a release is built into."""

    def find_version(self, word: str) -> Version:
        """The version that a word names. Raises `VersionError`."""

    def sources(self, version: Version, folder: Path) -> Release:
        """The release of a version, its compose folder within `folder`. Raises `MachineError`."""

    def unavailable(self) -> dict[str, str]:
        """Services, and helpers of checks, that this machine cannot have, each with the reason."""

    def require_browser(self) -> object:
        """Raises `MachineError` where there is no browser for checks of pages."""


@cache
def hooks() -> Hooks:
    """The hooks of the stack. Raises `ModelError` where it has none."""
    name = model().hooks
    if name is None:
        raise ModelError(
            f"{model().file}: hooks: expected the module that knows what is deployed, got no such"
            " key; give the address of a running stack with --target"
        )
    return cast(Hooks, importlib.import_module(name))
