"""What each generator process leaves for the one that puts a run together."""

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


def write(folder: Path, index: int, rows: Sequence[Sequence[float]], about: dict[str, Any]) -> None:
    """Write part-INDEX.npz and, when that is whole, part-INDEX.json."""
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), len(TYPES)).T
    arrays = {name: columns[n].astype(TYPES[name]) for n, name in enumerate(TYPES)}
    np.savez(folder / f"part-{index}.npz", allow_pickle=False, **arrays)
    (folder / f"part-{index}.json").write_text(json.dumps(about), encoding="utf-8")


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
