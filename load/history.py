"""What load runs came to, a line a run in history.jsonl: files of several machines can be joined.

`cat a.jsonl b.jsonl` is a history: runs are told apart by their id and put in order of time.
"""

import json
import os
from pathlib import Path
from typing import IO, Any

from gate.errors import UsageError
from load.judge import quantile
from load.samples import Run, Samples
from load.slo import QUANTILES

FILE = "history.jsonl"
SCHEMA = 1
KEPT = (
    *("profile", "started", "seconds", "version", "revision", "machine"),
    *("offered", "achieved", "aborted", "validity"),
)
Entry = dict[str, Any]


class HistoryError(UsageError):
    """A line that is no entry: file, line, expected, given."""


def append(path: Path, run_id: str, run: Run) -> None:
    """Add a run to a history."""
    line = json.dumps(entry(run_id, run), ensure_ascii=False)
    with path.open("a+b") as file:
        # A line that another run was killed over stays alone.
        start = "" if _ends_with_a_line(file) else "\n"
        file.write(f"{start}{line}\n".encode())


def _ends_with_a_line(file: IO[bytes]) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def entry(run_id: str, run: Run) -> Entry:
    """A run in one line: quantiles in ms, each with its interval."""
    kept = {name: run.summary[name] for name in KEPT}
    operations = {name: _of(run.of(name)) for name in run.operations}
    return {"schema": SCHEMA, "run": run_id, **kept, "operations": operations}


def _of(found: Samples) -> Entry:
    good = found.latency_ms[found.ok].astype(float)
    return {
        "samples": len(found),
        "errors": int((~found.ok).sum()),
        **{name: _rounded(good, q) for name, q in QUANTILES.items()},
    }


def _rounded(values: Any, q: float) -> list[float | None]:
    seen = quantile(values, q)
    every = (seen.value, seen.low, seen.high)
    return [round(one, 3) if abs(one) < float("inf") else None for one in every]


def read(path: Path) -> list[Entry]:
    """Every run of a history once, the oldest first. Raises `HistoryError`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HistoryError(f"expected a history in {path}, got: {error}") from None
    found: dict[str, Entry] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            one = _parsed(path, number, line)
            found[one["run"]] = one
    return sorted(found.values(), key=lambda one: str(one["started"]))


def _parsed(path: Path, number: int, line: str) -> Entry:
    try:
        one = json.loads(line)
    except ValueError as error:
        raise HistoryError(f"{path}:{number}: expected a line of JSON, got: {error}") from None
    if not isinstance(one, dict) or one.get("schema") != SCHEMA or "run" not in one:
        raise HistoryError(f"{path}:{number}: expected a run with schema {SCHEMA}, got {line[:60]}")
    if lacking := [key for key in (*KEPT, "operations") if key not in one]:
        raise HistoryError(f"{path}:{number}: expected {', '.join(lacking)}, got {line[:60]}")
    return one
