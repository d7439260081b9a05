"""Why an image build failed: its step and what that step said, out of a long output.

BuildKit's plain progress (0.8 to 0.25), the classic builder (20.10) and Buildah (1.2x) are read. In
each the cause is far from the last line, which repeats the whole command.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from reports.words import uncoloured

STEP_LENGTH, CAUSE_LENGTH = 100, 240
_STARTED = re.compile(r"#(\d+) \[([^\]]+)\] (.*)")
_FAILED = re.compile(r"#(\d+) ERROR:? (.*)")
_SAID = re.compile(r"#(\d+) \d+\.\d+ (.*)")
"""What a step printed has a time; BuildKit's own progress has none."""
_CLASSIC = re.compile(r"STEP (\d+/\d+) ?: (.*)", re.IGNORECASE)
_AROUND = re.compile(r" ?--->|Removing intermediate container|Sending build context|--> ")
_ENDED = re.compile(
    r"""(?:process|executor\ failed\ running)\ .*exit\ code:?\ \d+$
      | The\ command\ '.*returned\ a\ non-zero\ code
      | (?:Error:\ )?(?:error\ )?building\ (?:at\ STEP|"|').*exit\ status\ \d+$
      | (?:subprocess\ )?exit(?:ed\ with)?\ status\ \d+$""",
    re.VERBOSE | re.IGNORECASE,
)
"""A command that ended: what it said before says why."""
_UNSOLVED = re.compile(r"(?:ERROR: )?(?:target (\S+?): )?failed to (?:solve|build)[^:]*: (.*)")
_TROUBLE = re.compile(
    r"error|\bE: |ERR!|fatal|cannot|can't|could not|unable|not found|no such|denied|failed|killed"
    r"|no space",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class BuildFailure:
    """What a build did not get past."""

    service: str
    """Of compose; empty where the output does not name it."""
    step: str
    """The instruction; empty where none was begun."""
    cause: str

    def __str__(self) -> str:
        of = f" of {self.service}" if self.service else ""
        step = f"`{self.step}`{of} to succeed" if self.step else f"a build{of} that can begin"
        return f"expected {step}, got: {self.cause}"


def build_failure(text: str, services: Collection[str] = ()) -> BuildFailure | None:
    """Read the output of a failed build, standard error last; None where it tells no cause."""
    lines = [line.rstrip() for line in uncoloured(text).splitlines()]
    return _buildkit(lines, services) or _classic(lines) or _unsolved(lines, services)


def _buildkit(lines: list[str], services: Collection[str]) -> BuildFailure | None:
    failed = next(filter(None, map(_FAILED.fullmatch, lines)), None)
    if failed is None:
        return None
    number, message = failed.groups()
    place, step, said = "", "", list[str]()
    for line in lines:
        if (started := _STARTED.fullmatch(line)) and started[1] == number:
            place, step = started[2], started[3]
        elif (one := _SAID.fullmatch(line)) and one[1] == number:
            said.append(one[2])
    cause = _cause(said) if _ENDED.match(message) else message
    return BuildFailure(_service(place, services), _short(step), _shown(cause or message))


def _classic(lines: list[str]) -> BuildFailure | None:
    steps = [(at, one) for at, line in enumerate(lines) if (one := _CLASSIC.fullmatch(line))]
    if not steps:
        return None
    at, step = steps[-1]
    said = [line for line in lines[at + 1 :] if line and not _AROUND.match(line)]
    before = [line for line in said if not _ENDED.match(line)]
    return BuildFailure("", _short(step[2]), _shown(_cause(before) or _cause(said) or "no output"))


def _unsolved(lines: list[str], services: Collection[str]) -> BuildFailure | None:
    """Read what fails before any step, such as a Dockerfile that cannot be parsed."""
    said = next(filter(None, map(_UNSOLVED.match, reversed(lines))), None)
    if said is None:
        return None
    return BuildFailure(_service(said[1] or "", services), "", _shown(said[2]))


def _service(place: str, services: Collection[str]) -> str:
    """Compose writes it before the stage: `api stage-1 2/9`; `docker build` does not."""
    first = place.partition(" ")[0]
    return first if first in services else ""


def _cause(said: list[str]) -> str:
    """Give the first line that names trouble, and the last one: which counts differs by program."""
    said = [line.strip() for line in said if line.strip()]
    named = [line for line in said if _TROUBLE.search(line)]
    shown = dict.fromkeys([*named[:1], *said[-1:]])
    return " … ".join(_short(line, CAUSE_LENGTH // 2) for line in shown)


def _short(text: str, length: int = STEP_LENGTH) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 2]} …"


def _shown(cause: str) -> str:
    return _short(cause, CAUSE_LENGTH)
