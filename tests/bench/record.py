"""Writes measured figures in the one form that the tables of docs/measured.md are made from."""

import json
import os
import platform
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from gate.machine.commands import run
from gate.machine.console import say

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "reports" / "bench"
MEASURED = ROOT / "docs" / "measured.md"


@dataclass
class Figure:
    """One measured figure; its value is the median of its runs."""

    name: str
    unit: str
    runs: list[float]
    target: float | None = None
    better: Literal["lower", "higher"] = "lower"
    value: float = field(init=False)
    meets: bool | None = field(init=False)

    def __post_init__(self) -> None:
        self.runs = [round(one, 4) for one in self.runs]
        self.value = round(statistics.median(self.runs), 4)
        sign = 1 if self.better == "lower" else -1
        self.meets = None if self.target is None else self.value * sign <= self.target * sign


def write(name: str, figures: list[Figure], merge: bool = False) -> Path:
    """Write reports/bench/NAME.json and return its path; `merge` keeps figures of other names."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    rows = {one.name: asdict(one) for one in figures}
    if merge and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))["figures"]
        rows = {one["name"]: one for one in before} | rows
    found = {
        "schema": 1,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": list(rows.values()),
    }
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return path


def report(name: str, figures: Sequence[Figure], merge: bool = False) -> int:
    """Write the figures and say them; 1 when one misses its target."""
    path = write(name, list(figures), merge)
    for figure in figures:
        met = {True: "meets", False: "MISSES", None: "no target"}[figure.meets]
        say(f"{figure.name:36} {figure.value:12.3f} {figure.unit:9} {met}")
    say(f"written: {path.relative_to(ROOT)}")
    return int(any(figure.meets is False for figure in figures))


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Write dataclasses as JSON, one a line. Rows are hours of work: never half a file."""
    write_whole(path, "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows))


def write_whole(path: Path, text: str) -> None:
    """Write a file that is the old or the new one, whenever this process is killed."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def publish(name: str, table: str) -> None:
    """Put a table into docs/measured.md, between `<!-- NAME -->` and `<!-- end -->`."""
    text = with_table(MEASURED.read_text(encoding="utf-8"), name, table)
    MEASURED.write_text(text, encoding="utf-8")


def with_table(text: str, name: str, table: str) -> str:
    """Return the text with another table between the marks of this name."""
    between = re.compile(f"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    return between.sub(lambda old: f"{old[1]}{table}{old[2]}", text)


def machine() -> dict[str, str | int | float]:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    docker = run(["docker", "version", "--format", "{{.Server.Version}}"], 5.0).out.strip()
    return {
        "cores": os.cpu_count() or 0,
        "memory_gib": round(memory, 1),
        "python": platform.python_version(),
        "docker": docker,
    }
