"""docs/findings.md: what each finding means and what to do, written from the checks themselves.

`make findings` writes it; a unit test says when it is out of date.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from gate import manifest
from gate.checks import Check, stage_of
from gate.stages import STAGES
from gate.target import ENTRY

FILE = Path(__file__).parent.parent / "docs" / "findings.md"
HEAD = """\
# What a finding means

Every check by its id, with the likely cause and the next step of its finding. Written by
`make findings` from the checks themselves; a report shows the same lines beside what was seen.
"""


def text(checks: Iterable[tuple[str, Check]]) -> str:
    """The whole page."""
    parts = [HEAD]
    grouped = _grouped(checks)
    for stage in STAGES.values():
        mine = [name for name in grouped if stage_of(name) == stage.name]
        if mine:
            question = stage.question
            parts.append(f"\n## {stage.name}\n\n{question[0].upper()}{question[1:]}\n")
            parts += ["".join(_entry(name, grouped[name])) for name in mine]
    return "".join(parts)


def _grouped(checks: Iterable[tuple[str, Check]]) -> dict[str, list[tuple[str, Check]]]:
    """Checks by their function: (parameter, check) for each."""
    found: dict[str, list[tuple[str, Check]]] = {}
    for name, check in checks:
        head, _, parameter = name.partition("[")
        found.setdefault(head, []).append((parameter.removesuffix("]"), check))
    return found


def _entry(name: str, same: list[tuple[str, Check]]) -> Iterator[str]:
    first = same[0][1]
    yield f'\n### <a id="{name}"></a>`{name}`\n\n'
    parameters = [parameter for parameter, _ in same if parameter]
    if parameters:
        yield f"For {', '.join(parameters)}.\n\n"
    components = list(dict.fromkeys(check.component for _, check in same))
    yield f"- **component** {', '.join(components)}\n"
    yield f"- **likely cause** {_once(same, 'cause')}\n"
    yield f"- **next step** {_once(same, 'fix')}\n"
    if first.needs != (ENTRY,):
        yield f"- **needs** {', '.join(first.needs)}\n"


def _once(same: list[tuple[str, Check]], what: str) -> str:
    """One text for all parameters; where they differ, that of the first as an example."""
    texts = list(dict.fromkeys(str(getattr(check, what)) for _, check in same))
    return texts[0] if len(texts) == 1 else f"{texts[0]} (for {same[0][0]})"


def main() -> int:
    """Write the page."""
    FILE.write_text(text(manifest.items()), encoding="utf-8")
    sys.stdout.write(f"{FILE.name} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
