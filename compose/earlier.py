"""Another version of what is deployed: a commit of this repository, or images that are there.

Only the images differ: the compose files, and with them every setting, are those of this tree.
"""

import json
import tarfile
from pathlib import Path

from compose.machine.tar import extract
from compose.release import GIT_LIMIT, HERE, OWN_SERVICES, images, of
from gate.containers import REVISION_LABEL, VERSION_LABEL
from gate.hooks import Release
from gate.hooks import Version as Version
from gate.hooks import VersionError as VersionError
from gate.machine.commands import run, run_checked

ARCHIVE_LIMIT = 60.0
DOCKER_LIMIT = 5.0
AS_CHECKED_OUT = ("tar.umask=0022", "core.autocrlf=false", "core.eol=lf")
"""Modes and line ends as in a checkout: they are part of what an image is built from."""


def find(word: str) -> Version:
    """The version that a revision, tag or branch, a version, or a tag of images names.

    Raises `VersionError`.
    """
    for name in (word, f"v{word}"):
        commit = None if word.startswith("-") else _commit(name)
        if commit is not None:
            _require_sources(word, commit)
            return Version(word, commit=commit)
    release = _of_images(word)
    if release is None:
        raise VersionError(
            "expected a revision, tag or branch of this repository, or the tag of images that are"
            f" here (breakout-bot/api:TAG and the others), got {word!r}"
        )
    return Version(word, release=release)


def _commit(name: str) -> str | None:
    words = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    found = run(["git", "-C", HERE, *words], GIT_LIMIT)
    return found.out.strip() if found.ok else None


def _require_sources(word: str, commit: str) -> None:
    wanted = ["pyproject.toml", *(f"compose/{one}/Dockerfile" for one in OWN_SERVICES.values())]
    for path in wanted:
        if not run(["git", "-C", HERE.parent, "cat-file", "-e", f"{commit}:{path}"], GIT_LIMIT).ok:
            raise VersionError(f"expected {word!r} to have {path}, but {commit[:12]} has none")


def _of_images(tag: str) -> Release | None:
    form, names = "{{json .Config.Labels}}", images(Release("", "", tag))
    found = run(["docker", "image", "inspect", "--format", form, *names], DOCKER_LIMIT)
    if not found.ok:
        return None
    labels = json.loads(found.out.splitlines()[0]) or {}
    return Release(labels.get(VERSION_LABEL, tag), labels.get(REVISION_LABEL, "unknown"), tag)


def sources(version: Version, folder: Path) -> Release:
    """The release of a version; the sources of a commit are then in `folder`/compose.

    Raises `MachineError`.
    """
    if version.release is not None:
        return version.release
    commit = str(version.commit)
    folder.mkdir()
    archive = folder / "sources.tar"
    settings = [word for setting in AS_CHECKED_OUT for word in ("-c", setting)]
    git: list[str | Path] = ["git", "-C", HERE.parent, *settings]
    words = ["archive", f"--output={archive}", commit, HERE.name, "pyproject.toml"]
    run_checked("archive a commit", [*git, *words], ARCHIVE_LIMIT)
    with tarfile.open(archive) as file:
        for member in file:
            extract(file, member, folder)
    archive.unlink()
    return of(folder / HERE.name, commit)
