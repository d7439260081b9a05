"""The options of the load stage: what is sent, by how many workers, what it is compared with."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gate.extensions import Asked, Extension, Option
from gate.target import Target
from gate.toml import FileError

if TYPE_CHECKING:
    from compose.earlier import Version
    from load.profile import Profile
    from load.samples import Run

OPTIONS = (
    Option(
        "--load-profile",
        "NAME or FILE of what the load stage sends, in place of `gate`",
        takes_path=True,
    ),
    Option(
        "--baseline",
        "VERSION (revision, tag, branch, tag of images) or folder of an earlier RUN"
        " that the load stage compares with",
        takes_path=True,
    ),
    Option("--load-workers", "how many workers send the load stage's requests, in place of one"),
)


@dataclass(frozen=True)
class LoadOptions(Extension):
    """What the load stage was asked for."""

    profile: "Profile | None" = None
    """What is sent, in place of the stage's own."""
    workers: int = 1
    baseline: "Version | Run | None" = None
    """What it is compared with: another version, side by side, or an earlier run."""

    @property
    def gives(self) -> frozenset[str]:
        """Say whether there is something to compare with."""
        return frozenset({"baseline"} if self.baseline is not None else ())

    @property
    def more_seconds(self) -> Mapping[str, float]:
        """Give the length of a profile that was asked for."""
        return {"load": self.profile.seconds if self.profile else 0.0}


def read(asked: Asked) -> LoadOptions:
    """Read what is sent and compared with. Raises `pytest.UsageError` for bad ones."""
    profile = load_profile(asked.values("--load-profile"))
    if "load" in asked.stages:
        require_service_levels()
    default = asked.defaults.get("--baseline")
    word = compared_with(asked.values("--baseline"), default, asked.stages)
    return LoadOptions(
        profile=profile,
        workers=workers(asked.values("--load-workers")),
        baseline=baseline(word, asked.target, profile),
    )


def workers(word: str | None) -> int:
    """Read how many generator processes there are. Raises `pytest.UsageError`."""
    if word is not None and not re.fullmatch(r"[1-9]|[1-5]\d|6[0-4]", word):
        raise pytest.UsageError(
            f"expected --load-workers to be a number from 1 to 64, got {word!r}"
        )
    return int(word or 1)


def load_profile(word: str | None) -> "Profile | None":
    """Read a traffic model by name or path. Raises `pytest.UsageError` for what is none."""
    if word is None:
        return None
    from load import measures, profile, slo  # only where one is given

    try:
        chosen, ours = profile.load(word), profile.load("gate")
    except FileError as error:
        raise pytest.UsageError(f"--load-profile: {error}") from None
    if odd := set(chosen.names) ^ set(ours.names):
        raise pytest.UsageError(  # an operation more would be judged by no check of the stage
            f"--load-profile: expected the operations of the profile gate in {word}, but"
            f" {', '.join(sorted(odd))} is in one of the two only;"
            " `python -m load run` takes any"
        )
    if short := measures.too_short_for(chosen, slo.load()):
        raise pytest.UsageError(  # its checks could only say that they do not know
            f"--load-profile: expected {word} to last long enough for every service level, but it"
            f" is too short for {', '.join(short)}; `python -m load run` takes any"
        )
    return chosen


def require_service_levels() -> None:
    """Raise `pytest.UsageError` where load/slo.toml, which the stage is made from, is bad."""
    from load import slo

    try:
        slo.load()
    except FileError as error:
        raise pytest.UsageError(str(error)) from None


def compared_with(word: str | None, default: str | None, stages: Sequence[str]) -> str | None:
    """Name the baseline: that of the command line, or the default. Raises `pytest.UsageError`."""
    if "load" in stages:
        return default if word is None else word
    if word is not None:
        got = " or ".join(stages)
        raise pytest.UsageError(f"expected --baseline with the load stage, got -m {got!r}")
    return None


def baseline(word: str | None, target: Target, chosen: "Profile | None") -> "Version | Run | None":
    """Read what to compare with. Raises `pytest.UsageError` for what can be none."""
    if word is None:
        return None
    from compose import earlier  # only where one is given
    from load import profile, samples, versus

    chosen = chosen or profile.load("gate")
    try:
        folder = samples.folder(Path(word))
        if folder is not None:
            found = samples.read(folder)
            versus.require(found, chosen)
            return found
        if not target.managed:
            raise pytest.UsageError(
                "expected --baseline VERSION with a disposable stack of this run, whose images"
                f" alone differ, got --target {target.name}"
            )
        chosen.comparing()
        return earlier.find(word)
    except (FileError, samples.RunError, earlier.VersionError) as error:
        raise pytest.UsageError(f"--baseline: {error}") from None
