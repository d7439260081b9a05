"""What documents tell people to type and to open is there."""

import argparse
import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from gate import options
from gate import target as targets
from gate.errors import TargetError

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


EXPLAINED = {
    "load": ("judge", "versus", "measures", "validity", "abort", "blocks"),
    "compose/lifecycle": ("judge",),
}
"""Modules whose numbers docs/judge.md explains, by folder."""
DRAIN = {
    "update": "DRAIN_SECONDS STOP_SECONDS LEASE_SECONDS READY_SECONDS SCRAPED_SECONDS",
    "proxy": "LIMIT",
    "deployment": "POLL_SECONDS",
}
"""The limits of docs/drain.md, by module of compose/lifecycle."""


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
    options.declare(declared)  # type: ignore[arg-type]
    rows = re.findall(r"^\| (`--[^|]*)\|", (ROOT / "docs/gate.md").read_text("utf-8"), re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"--[a-z-]+", row)} == declared.names


def test_every_key_of_a_target_file_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "target.toml"
    services = "".join(
        f'{name} = "internal"\n' for name in targets.SERVICES if name != targets.ENTRY
    )
    path.write_text(f'unknown = 1\n[services]\n{targets.ENTRY} = "https://bot.test"\n{services}')
    with pytest.raises(TargetError) as told:
        targets.from_file(path)
    named = re.search(r"expected one of (.*), got the unknown key", str(told.value))
    assert named
    text = (ROOT / "docs/gate.md").read_text("utf-8").partition("## A target file")[2]
    rows = re.findall(r"^\| `\[?(\w+)\]?` \|", text.partition("\n## ")[0], re.MULTILINE)
    assert sorted(rows) == sorted(named[1].split(", "))


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Names of the options of a parser and of its commands."""
    found = set()
    for action in parser._actions:
        found |= {name for name in action.option_strings if name.startswith("--")}
        if isinstance(action, argparse._SubParsersAction):
            found |= {name for one in action.choices.values() for name in options_of(one)}
    return found - {"--help"}


@pytest.mark.parametrize(
    ("document", "module"), [("lifecycle", "compose.lifecycle"), ("load", "load")]
)
def test_every_option_of_a_program_is_explained(document: str, module: str) -> None:
    parser = import_module(f"{module}.__main__")._parser()
    text = (ROOT / f"docs/{document}.md").read_text("utf-8")
    rows = "\n".join(line for line in text.splitlines() if line.startswith(("| `", "`judge`")))
    assert set(re.findall(r"(?<=`)--[a-z-]+", rows)) == options_of(parser)


def constants(path: Path) -> dict[str, tuple[float, ...]]:
    """The numbers that a module names, one or several a name."""
    found: dict[str, tuple[float, ...]] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            for name, value in pairs(node.targets[0], node.value):
                numbers = value.elts if isinstance(value, ast.Tuple) else [value]
                given = [getattr(one, "value", None) for one in numbers]
                if all(isinstance(one, int | float) for one in given) and given:
                    found[name] = tuple(float(str(one)) for one in given)
    return found


def pairs(target: ast.expr, value: ast.expr) -> list[tuple[str, ast.expr]]:
    """Names and what they are set to; `A, B = 1, 2` has two."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return [(ast.unparse(one), of) for one, of in zip(target.elts, value.elts, strict=True)]
    return [(ast.unparse(target), value)]


def unexplained(text: str, numbers: dict[str, tuple[float, ...]]) -> list[str]:
    """The names that no line of a document has with their numbers."""
    lines = text.replace(",000", "000").splitlines()

    def has(line: str, value: float) -> bool:
        return re.search(rf"(?<![\d.]){re.escape(f'{value:g}')}(?!\d|\.\d)", line) is not None

    return [
        name
        for name, values in numbers.items()
        if not any(f"`{name}`" in line and all(has(line, of) for of in values) for line in lines)
    ]


@pytest.mark.parametrize("folder", EXPLAINED)
def test_every_number_of_the_judges_is_explained(folder: str) -> None:
    text = (ROOT / "docs/judge.md").read_text(encoding="utf-8")
    for name in EXPLAINED[folder]:
        assert unexplained(text, constants(ROOT / folder / f"{name}.py")) == []


def test_the_limits_of_the_drain_are_those_of_the_code() -> None:
    text = (ROOT / "docs/drain.md").read_text(encoding="utf-8")
    for module, names in DRAIN.items():
        found = constants(ROOT / "compose/lifecycle" / f"{module}.py")
        assert unexplained(text, {name: found[name] for name in names.split()}) == []
    assert unexplained("`LIMIT` is 300 s", {"LIMIT": (30.0,)}) == ["LIMIT"]
