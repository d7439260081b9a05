"""What documents tell people to type and to open is there."""

import re
from pathlib import Path

import pytest

from gate import options

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("compose/*/README.md")}
    - {ROOT / "CHANGELOG.md"}
)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
TYPED = re.compile(r"`[^`\n]+`|^ {4}.*$|^```sh$.*?^```$", re.MULTILINE | re.DOTALL)
"""Code: what stands between back quotes, and blocks."""
TARGETS = set(
    " ".join(
        re.findall(r"^([a-z -]+):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    ).split()
)


def typed(path: Path) -> str:
    """All code of a document."""
    return "\n".join(TYPED.findall(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(path: Path) -> None:
    text, code = path.read_text(encoding="utf-8"), typed(path)
    assert not [link for link in LINK.findall(text) if not (path.parent / link).exists()]
    assert not set(re.findall(r"(?:^ *|`)make ([a-z][a-z-]*)", code, re.MULTILINE)) - TARGETS
    files = re.findall(r"\b(?:compose|tests|load|contracts|docs|gate)/[\w./-]+\.(?:sh|py|md)", code)
    assert not [name for name in files if not (ROOT / name).exists()]


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


class Declared:
    """A parser that only keeps the names of options."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def getgroup(self, *_: str) -> "Declared":
        """Take all options in one group."""
        return self

    def addoption(self, name: str, **_: object) -> None:
        """Keep a name."""
        self.names.add(name)


def test_every_option_is_explained() -> None:
    declared = Declared()
    options.add(declared)  # type: ignore[arg-type]
    rows = re.findall(r"^\| (`--[^|]*)\|", (ROOT / "docs/gate.md").read_text("utf-8"), re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"--[a-z-]+", row)} == declared.names
