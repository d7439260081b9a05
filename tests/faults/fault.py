"""Fault files: one deployment defect each, as data. Read and refused before anything starts.

What may stand in one is in the tables below, and in README.md beside this file for people.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from compose.release import OWN_SERVICES
from gate import manifest as manifests
from gate import toml
from gate.checks import stage_of
from gate.errors import UsageError
from gate.model import model
from gate.stages import STAGES
from gate.toml import (
    ANY_TEXT,
    FLAG,
    PATTERN,
    POSITIVE,
    TABLE,
    TABLE_OF_TEXT,
    TEXT,
    TEXTS,
    Kind,
    one_of,
    optional,
)
from reports.checks import matches
from tests.bot.lifecycle import pages
from tests.faults.sources import MODULES

CATALOGUE = Path(__file__).with_name("catalogue")
BEFORE, WHILE = "before start", "while running"
COMPONENTS = (*model().services, "stack")
DOCKER_VERBS = ("stop", "kill", "pause", "restart", "disconnect", "remove")
CONDITIONS = ("drop", "reject", "loss", "rate", "delay")


class FaultError(UsageError):
    """A fault file that cannot be used, in one sentence: file, key, expected, given."""


SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")
SERVICE = one_of(*model().services)
PERCENT = Kind[float](
    "a number above 0, at most 100", lambda value: POSITIVE.holds(value) and value <= 100
)
PORT = toml.whole(1, 65535)
HEAD: dict[str, Kind[Any]] = {
    "id": Kind[str]("the file's name, small letters, digits and -", TEXT.holds),
    "title": TEXT,
    "component": one_of(*COMPONENTS),
    "stages": Kind[list[str]](
        f"a list of stages ({', '.join(STAGES)})",
        lambda value: TEXTS.holds(value) and set(value) <= set(STAGES),
    ),
    "findings": TEXTS,
    "when": optional(one_of(BEFORE, WHILE)),
    "alone": optional(FLAG),
    "baseline": optional(TEXT),
    "previous_contract": optional(TEXT),
    "covers": optional(TEXTS),
}
PLANTERS: dict[str, dict[str, Kind[Any]]] = {
    "patch": {
        "service": SERVICE,
        "file": TEXT,
        "replace": optional(TEXT),
        "with": optional(ANY_TEXT),
        "text": optional(ANY_TEXT),
    },
    "environment": {"service": SERVICE, "variables": TABLE_OF_TEXT},
    "override": {"yaml": TEXT},
    "docker": {
        "service": SERVICE,
        "verb": one_of(*DOCKER_VERBS),
        "network": optional(one_of("front", "back")),
    },
    "network": {
        "service": SERVICE,
        "condition": one_of(*CONDITIONS),
        "direction": optional(one_of("in", "out")),
        "port": optional(PORT),
        "percent": optional(PERCENT),
        "kbit": optional(POSITIVE),
        "ms": optional(POSITIVE),
    },
    "run": {
        "service": SERVICE,
        "script": TEXT,
        "undo": optional(TEXT),
        "shows": optional(TEXT),
        "user": optional(TEXT),
        "volumes": optional(FLAG),
    },
    "source": {"module": one_of(*MODULES), "replace": TEXT, "with": ANY_TEXT},
    "page": {"page": one_of(*pages.names()), "replace": TEXT, "with": ANY_TEXT},
    "drills": {"switches": TABLE},
    "effect": {"service": SERVICE, "path": TEXT, "matches": PATTERN, "seconds": optional(POSITIVE)},
}
"""What can be planted (README.md says how each is written), and the keys of each."""
IN_COMPOSE = frozenset({"patch", "environment", "override"})
"""Planted by creating a service anew; the others act on a running stack."""
ONE_OF = {"loss": ("percent",), "rate": ("kbit",), "delay": ("ms", "port")}
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
    """Read the fault that a file describes. Raises `FaultError`."""
    table = toml.read(path, FaultError)
    parts = tuple(_parts(table))
    head = table.take(HEAD)
    if head["id"] != path.stem or not SLUG.fullmatch(head["id"]):
        raise table.error(f"expected {path.stem!r}, the file's name, got {head['id']!r}", "id")
    if not parts:
        raise table.error(f"expected one of {', '.join(PLANTERS)}, got nothing to plant")
    kinds = {part.kind for part in parts}
    default = BEFORE if kinds & IN_COMPOSE else WHILE
    if head.setdefault("when", default) == BEFORE and not kinds & IN_COMPOSE:
        got = ", ".join(sorted(kinds))
        raise table.error(f"expected {WHILE!r} for {got}, got {BEFORE!r}", "when")
    _check_findings(table, head["stages"], head["findings"])
    lists = {key: tuple(value) for key, value in head.items() if isinstance(value, list)}
    return Fault(path=path, parts=parts, **head | lists)


def folder(path: Path) -> list[Fault]:
    """Every fault of a folder, by name. Raises `FaultError`."""
    if not path.is_dir():
        raise FaultError(f"expected a folder of fault files, got {path}")
    found = [load(one) for one in sorted(path.glob("*.toml"))]
    if not found:
        raise FaultError(f"{path}: expected at least one fault file (*.toml), got none")
    return found


def _parts(table: toml.Table) -> Iterator[Part]:
    for kind, kinds in PLANTERS.items():
        for row in table.rows(kind):
            values = row.take(kinds)
            _check_together(row, kind, values)
            yield Part(kind, values)


def _check_together(table: toml.Table, kind: str, row: Mapping[str, Any]) -> None:
    """Keys that only make sense together."""
    if kind == "patch" and not {"text"} <= row.keys() and not {"replace", "with"} <= row.keys():
        raise table.error(f"expected `replace` and `with`, or `text`, got {', '.join(row)}")
    if kind == "patch" and row["file"][0] != "/" and row["service"] not in OWN_SERVICES:
        raise table.error(
            f"expected a path from / for {row['service']}, which is not built here, got"
            f" {row['file']!r}",
            "file",
        )
    wanted = ONE_OF.get(row.get("condition", ""), ())
    if row.get("verb") == "disconnect":
        wanted = ("network",)
    for key in (key for key in wanted if key not in row):
        name = row.get("condition") or row["verb"]
        raise table.error(f"expected `{key}` for {name}, got {', '.join(row)}")
    for key in (key for key in ("port", "direction") if key in row):
        if row["condition"] == "rate":
            raise table.error(f"expected no `{key}` for rate: it narrows all")


_manifest = cache(manifests.load)  # parsing it for each of a few hundred files takes seconds


def _check_findings(table: toml.Table, stages: list[str], findings: list[str]) -> None:
    manifest = _manifest()
    every = [check for checks in manifest.values() for check in checks]
    for glob in findings:
        if not any(matches(glob, check) for check in every):
            near = toml.nearest(glob, [*manifest.get(stage_of(glob), every)])
            raise table.error(
                f"expected a check of tests/manifest.toml, got {glob!r}{near}", "findings"
            )
    for stage in stages:
        if not any(matches(glob, check) for glob in findings for check in manifest[stage]):
            raise table.error(f"expected a check of the stage {stage}, got {findings}", "findings")
