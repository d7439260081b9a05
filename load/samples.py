"""What a load run leaves in its folder: run.json, samples.npz and a HdrHistogram log an operation.

Samples are kept one by one, so that whoever judges them can ask any question: histograms lose the
order, and quantiles of quantiles are no quantiles.
"""

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from gate.errors import UsageError

SCHEMA = 1
SUMMARY, SAMPLES = "run.json", "samples.npz"
WARM_UP, MEASURED, RECOVERY = 0, 1, 2
"""Phases of a run: what the first says is not judged, the last follows a spike."""
LOWEST, HIGHEST, DIGITS = 1, 3_600_000_000, 3
"""Of the histograms, in microseconds."""

NEEDED = (
    *("profile", "seed", "operations", "machine", "version", "revision", "validity", "aborted"),
    *("tick_lag_ms", "websocket"),
)
"""What is asked of a run later."""
Array = NDArray[Any]


class RunError(UsageError):
    """A folder that holds no load run, said in one sentence: what was expected, what was found."""


@dataclass(frozen=True)
class Samples:
    """One entry an arrival, in the order of the answers; every field has the same length."""

    op: Array
    """uint8: index into the operations of run.json."""
    intended: Array
    """float64: when it should have been sent, in seconds since the start."""
    latency_ms: Array
    """float32: from the intended time to the answer's end."""
    service_ms: Array
    """float32: from the send to the answer's end; 0 for what was never sent."""
    status: Array
    """int16: the HTTP status, `NO_ANSWER` or `UNDONE` of load/client.py."""
    phase: Array
    """uint8: WARM_UP, MEASURED or RECOVERY."""
    side: Array
    """uint8: index into `SIDES` of load/blocks.py; 0, the candidate, where nothing is compared."""
    block: Array
    """uint32: the block of a comparison, in order of time; two and two make a pair."""

    def __len__(self) -> int:
        return len(self.op)

    def where(self, mask: Array) -> "Samples":
        """Those entries that a boolean array chooses."""
        return Samples(**{name: array[mask] for name, array in self.arrays().items()})

    def arrays(self) -> dict[str, Array]:
        """Every field by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def ok(self) -> Array:
        """Which arrivals were answered with a status below 400."""
        answered: Array = (self.status > 0) & (self.status < 400)
        return answered


TYPES = {
    "op": np.uint8,
    "intended": np.float64,
    "latency_ms": np.float32,
    "service_ms": np.float32,
    "status": np.int16,
    "phase": np.uint8,
    "side": np.uint8,
    "block": np.uint32,
}


@dataclass(frozen=True)
class Run:
    """A load run as it is on disk."""

    summary: dict[str, Any]
    samples: Samples

    @property
    def operations(self) -> list[str]:
        """Names, in the order of `Samples.op`."""
        return list(self.summary["operations"])

    def of(self, operation: str, phase: int | None = MEASURED) -> Samples:
        """The samples of one operation, in one phase or in all (None)."""
        mask = self.samples.op == self.operations.index(operation)
        if phase is not None:
            mask = mask & (self.samples.phase == phase)
        return self.samples.where(mask)


def samples(**columns: Any) -> Samples:
    """Samples from plain columns; all of the candidate where no side is given."""
    alone = {name: np.zeros(len(columns["op"])) for name in ("side", "block")}
    every = {**alone, **columns}
    return Samples(**{name: np.asarray(every[name], kind) for name, kind in TYPES.items()})


def merged(parts: Iterable[Samples]) -> Samples:
    """The samples of several generators as one."""
    found = [part.arrays() for part in parts] or [samples(**{name: [] for name in TYPES}).arrays()]
    return Samples(**{name: np.concatenate([one[name] for one in found]) for name in TYPES})


def write(folder: Path, run: Run) -> None:
    """Write everything about a run into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / SAMPLES, allow_pickle=False, **run.samples.arrays())
    for name in run.operations:
        write_histograms(folder / f"{file_name(name)}.hdr", run.of(name, phase=None))
    text = json.dumps({"schema": SCHEMA, **run.summary}, indent=2)
    (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")


def folder(path: Path) -> Path | None:
    """Where a load run is: there, or below as a run of the gate has it; None where none is."""
    return next((one for one in (path, path / "load") if (one / SUMMARY).is_file()), None)


def read(folder: Path) -> Run:
    """The run in a folder. Raises `RunError`."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        whole = io.BytesIO((folder / SAMPLES).read_bytes())
        with np.load(whole) as file:
            found = samples(**file)
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise RunError(
            f"expected the {SUMMARY} and {SAMPLES} of a load run in {folder}, got: {error}"
        ) from None
    schema = summary.get("schema") if isinstance(summary, dict) else None
    if schema != SCHEMA:
        raise RunError(f"expected schema {SCHEMA} in {folder / SUMMARY}, got {schema}")
    if lacking := [key for key in NEEDED if key not in summary]:
        raise RunError(f"expected {', '.join(lacking)} in {folder / SUMMARY}, got nothing")
    return Run(summary, found)


def file_name(operation: str) -> str:
    """The name of an operation's files."""
    return "".join(letter if letter.isalnum() else "-" for letter in operation).strip("-")


def write_histograms(path: Path, found: Samples) -> None:
    """A HdrHistogram log: a histogram a second of the latencies of good answers, in microseconds.

    Errors are left out, for a quick error would make an operation look fast.
    """
    from hdrh.histogram import HdrHistogram
    from hdrh.log import HistogramLogWriter

    good = found.where(found.ok)
    seconds = good.intended.astype(np.int64)
    with path.open("w", encoding="ascii") as file:
        writer = HistogramLogWriter(file)
        writer.output_log_format_version()
        writer.output_legend()
        for second in np.unique(seconds):
            histogram = HdrHistogram(LOWEST, HIGHEST, DIGITS)
            for value in good.latency_ms[seconds == second]:
                histogram.record_value(max(LOWEST, int(value * 1000)))
            histogram.set_start_time_stamp(int(second) * 1000)
            histogram.set_end_time_stamp(int(second + 1) * 1000)
            writer.output_interval_histogram(histogram, max_value_unit_ratio=1000.0)
