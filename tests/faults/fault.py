"""Fault files: one deployment defect each, as data. Read and refused before anything starts.

What may stand in one is in the tables below, and in README.md beside this file for people.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from compose.release import OWN_SERVICES
from gate import manifest as manifests
from gate.stages import STAGES
from gate.target import SERVICES
from reports.checks import matches
from tests.faults.sources import MODULES
from tests.lifecycle import pages

CATALOGUE = Path(__file__).with_name("catalogue")
BEFORE, WHILE = "before start", "while running"
COMPONENTS = (*SERVICES, "certs", "stack")
DOCKER_VERBS = ("stop", "kill", "pause", "restart", "disconnect", "remove")
CONDITIONS = ("drop", "reject", "loss", "rate", "delay")


class FaultError(ValueError):
    """A fault file that cannot be used, in one sentence: file, key, expected, given."""


@dataclass(frozen=True)
class Rule:
    """What a value has to be, in words and as a test."""

    words: str
    holds: Callable[[Any], object]
    required: bool = False


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _pattern(value: object) -> bool:
    try:
        return _text(value) and re.compile(str(value)) is not None
    except re.error:
        return False


def _texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_text, value))


def _variables(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _one_of(*words: str, required: bool = False) -> Rule:
    return Rule(f"one of {', '.join(words)}", lambda value: value in words, required)


SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")
SERVICE = _one_of(*SERVICES, "certs", required=True)
TEXT = Rule("text", _text)
NEEDED = Rule("text", _text, required=True)
NUMBER = Rule("a number above 0", _number)
PERCENT = Rule("a number above 0, at most 100", lambda value: _number(value) and value <= 100)
PATTERN = Rule("a regular expression", _pattern, required=True)
PORT = Rule("a port", lambda value: isinstance(value, int) and 0 < value < 65536)
REPLACEMENT = Rule("text, perhaps empty", lambda value: isinstance(value, str), required=True)
FLAG = Rule("true or false", lambda value: isinstance(value, bool))

HEAD = {
    "id": Rule("the file's name, small letters, digits and -", _text, required=True),
    "title": NEEDED,
    "component": _one_of(*COMPONENTS, required=True),
    "stages": Rule(
        f"a list of stages ({', '.join(STAGES)})",
        lambda value: _texts(value) and set(value) <= set(STAGES),
        required=True,
    ),
    "findings": Rule("a list of check ids or globs", _texts, required=True),
    "when": _one_of(BEFORE, WHILE),
    "alone": FLAG,
    "baseline": TEXT,
    "previous_contract": TEXT,
    "covers": Rule("a list of text", _texts),
}
PLANTERS: dict[str, dict[str, Rule]] = {
    "patch": {
        "service": SERVICE,
        "file": NEEDED,
        "replace": TEXT,
        "with": Rule("text, perhaps empty", lambda value: isinstance(value, str)),
        "text": Rule("text, perhaps empty", lambda value: isinstance(value, str)),
    },
    "environment": {
        "service": SERVICE,
        "variables": Rule("a table of text", _variables, required=True),
    },
    "override": {"yaml": NEEDED},
    "docker": {
        "service": SERVICE,
        "verb": _one_of(*DOCKER_VERBS, required=True),
        "network": _one_of("front", "back"),
    },
    "network": {
        "service": SERVICE,
        "condition": _one_of(*CONDITIONS, required=True),
        "direction": _one_of("in", "out"),
        "port": PORT,
        "percent": PERCENT,
        "kbit": NUMBER,
        "ms": NUMBER,
    },
    "run": {
        "service": SERVICE,
        "script": NEEDED,
        "undo": TEXT,
        "shows": TEXT,
        "user": TEXT,
        "volumes": FLAG,
    },
    "source": {
        "module": _one_of(*MODULES, required=True),
        "replace": NEEDED,
        "with": REPLACEMENT,
    },
    "page": {
        "page": _one_of(*pages.names(), required=True),
        "replace": NEEDED,
        "with": REPLACEMENT,
    },
    "drills": {"switches": Rule("a table", lambda value: isinstance(value, dict), required=True)},
    "effect": {
        "service": SERVICE,
        "path": NEEDED,
        "matches": PATTERN,
        "seconds": NUMBER,
    },
}
"""What can be planted (README.md says how each is written), and the keys of each."""
IN_COMPOSE = frozenset({"patch", "environment", "override"})
"""Planted by creating a service anew; the others act on a running stack."""
ONE_OF = {
    "loss": ("percent",),
    "rate": ("kbit",),
    "delay": ("ms", "port"),
}
"""Keys that a network condition cannot do without."""


@dataclass(frozen=True)
class Part:
    """One thing that is planted."""

    kind: str
    values: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]


@dataclass(frozen=True)
class Fault:
    """One deployment defect, planted on purpose."""

    path: Path
    id: str
    title: str
    component: str
    stages: tuple[str, ...]
    findings: tuple[str, ...]
    """Globs of the checks that have to fail."""
    when: str
    parts: tuple[Part, ...]
    alone: bool = False
    baseline: str | None = None
    """What the load stage compares the faulty stack with (`--baseline`)."""
    previous_contract: str | None = None
    """What clients not yet updated know (`--previous-contract`)."""
    covers: tuple[str, ...] = ()

    def expects(self, check: str) -> bool:
        """Whether the failure of this check is what the fault is planted for."""
        return any(matches(glob, check) for glob in self.findings)

    @property
    def overrides(self) -> list[Part]:
        """Parts that need a service created anew."""
        return [part for part in self.parts if part.kind in IN_COMPOSE]

    @property
    def actions(self) -> list[Part]:
        """Parts that act on the running stack, in the order of the file."""
        return [part for part in self.parts if part.kind not in IN_COMPOSE]

    @property
    def can_be_undone(self) -> bool:
        """Whether it can share a stack: nothing of before hides it, and all is well afterwards."""
        return not self.alone and all(
            "undo" in part.values for part in self.parts if part.kind == "run"
        )


def load(path: Path) -> Fault:
    """The fault that a file describes. Raises `FaultError`."""
    table = _read(path)
    parts = tuple(_parts(path, table))
    _check(path, "", table, HEAD, allowed=PLANTERS)
    if table["id"] != path.stem or not SLUG.fullmatch(table["id"]):
        raise FaultError(
            f"{path}: id: expected {path.stem!r}, the file's name, got {table['id']!r}"
        )
    if not parts:
        raise FaultError(f"{path}: expected one of {', '.join(PLANTERS)}, got nothing to plant")
    kinds = {part.kind for part in parts}
    default = BEFORE if kinds & IN_COMPOSE else WHILE
    when = table.get("when", default)
    if when == BEFORE and not kinds & IN_COMPOSE:
        got = ", ".join(sorted(kinds))
        raise FaultError(f"{path}: when: expected {WHILE!r} for {got}, got {BEFORE!r}")
    _check_findings(path, table["stages"], table["findings"])
    return Fault(
        path=path,
        id=table["id"],
        title=table["title"],
        component=table["component"],
        stages=tuple(table["stages"]),
        findings=tuple(table["findings"]),
        when=when,
        parts=parts,
        alone=table.get("alone", False),
        baseline=table.get("baseline"),
        previous_contract=table.get("previous_contract"),
        covers=tuple(table.get("covers", ())),
    )


def folder(path: Path) -> list[Fault]:
    """Every fault of a folder, by name. Raises `FaultError`."""
    if not path.is_dir():
        raise FaultError(f"expected a folder of fault files, got {path}")
    found = [load(one) for one in sorted(path.glob("*.toml"))]
    if not found:
        raise FaultError(f"{path}: expected at least one fault file (*.toml), got none")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FaultError(f"expected a readable fault file, got {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FaultError(f"{path}: expected TOML, got: {error}") from None


def _parts(path: Path, table: Mapping[str, Any]) -> Iterator[Part]:
    for kind in (key for key in table if key in PLANTERS):
        rows = table[kind] if isinstance(table[kind], list) else [table[kind]]
        for number, row in enumerate(rows, 1):
            where = kind if len(rows) == 1 else f"{kind} {number}"
            if not isinstance(row, dict):
                raise FaultError(f"{path}: {where}: expected a table, got {row!r}")
            _check(path, f"{where}: ", row, PLANTERS[kind])
            _check_together(path, where, kind, row)
            yield Part(kind, row)


def _check(
    path: Path,
    where: str,
    table: Mapping[str, Any],
    rules: Mapping[str, Rule],
    allowed: Mapping[str, Any] = {},
) -> None:
    for key, rule in rules.items():
        if key in table and not rule.holds(table[key]):
            raise FaultError(f"{path}: {where}{key}: expected {rule.words}, got {table[key]!r}")
        if rule.required and key not in table:
            raise FaultError(f"{path}: {where}{key}: expected {rule.words}, got nothing")
    for key in table:
        if key not in rules and key not in allowed:
            known = ", ".join([*rules, *allowed])
            raise FaultError(f"{path}: {where}expected one of {known}; got the unknown key {key!r}")


def _check_together(path: Path, where: str, kind: str, row: Mapping[str, Any]) -> None:
    """Keys that only make sense together."""
    if kind == "patch" and not {"text"} <= row.keys() and not {"replace", "with"} <= row.keys():
        raise FaultError(
            f"{path}: {where}: expected `replace` and `with`, or `text`, got {', '.join(row)}"
        )
    if kind == "patch" and row["file"][0] != "/" and row["service"] not in OWN_SERVICES:
        raise FaultError(
            f"{path}: {where}: file: expected a path from / for {row['service']}, which is not"
            f" built here, got {row['file']!r}"
        )
    wanted = ONE_OF.get(row.get("condition", ""), ())
    if row.get("verb") == "disconnect":
        wanted = ("network",)
    for key in (key for key in wanted if key not in row):
        name = row.get("condition") or row["verb"]
        raise FaultError(f"{path}: {where}: expected `{key}` for {name}, got {', '.join(row)}")
    for key in (key for key in ("port", "direction") if key in row):
        if row["condition"] == "rate":
            raise FaultError(f"{path}: {where}: expected no `{key}` for rate: it narrows all")


def _check_findings(path: Path, stages: list[str], findings: list[str]) -> None:
    manifest = manifests.load()
    for glob in findings:
        known = manifest.get(glob.partition(".")[0], {})
        if not any(matches(glob, check) for check in known):
            every = [*known] or [check for checks in manifest.values() for check in checks]
            near = get_close_matches(glob, every, 2, 0.4)
            hint = f" (near it: {', '.join(near)})" if near else ""
            raise FaultError(
                f"{path}: findings: expected a check of tests/manifest.toml, got {glob!r}{hint}"
            )
    for stage in stages:
        if not any(glob.startswith(f"{stage}.") for glob in findings):
            raise FaultError(
                f"{path}: findings: expected a check of the stage {stage}, got {findings}"
            )
