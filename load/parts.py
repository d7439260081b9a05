"""What each generator process leaves for the one that puts a run together."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from load.samples import TYPES, Samples


@dataclass(frozen=True)
class Part:
    """One process's samples, and what it says of itself."""

    samples: Samples
    about: dict[str, Any]


def packed(rows: Sequence[Sequence[float]], about: dict[str, Any]) -> dict[str, Any]:
    """A process's part as one message: exact samples, for quantiles of quantiles are none."""
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), len(TYPES)).T
    arrays = {name: columns[n].astype(TYPES[name]) for n, name in enumerate(TYPES)}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return {"samples": file.getvalue(), "about": about}


def keep(folder: Path, index: int, part: dict[str, Any]) -> None:
    """Write part-INDEX.npz and, when that is whole, part-INDEX.json."""
    (folder / f"part-{index}.npz").write_bytes(part["samples"])
    (folder / f"part-{index}.json").write_text(json.dumps(part["about"]), encoding="utf-8")


def take(folder: Path) -> list[Part]:
    """Every whole part of a folder, which it then no longer has."""
    found = []
    for path in sorted(folder.glob("part-*.json")):
        with np.load(path.with_suffix(".npz")) as file:
            samples = Samples(**{name: file[name] for name in TYPES})
        found.append(Part(samples, json.loads(path.read_text(encoding="utf-8"))))
        path.unlink()
        path.with_suffix(".npz").unlink()
    return found
