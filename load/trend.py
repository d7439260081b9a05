"""The trend page: percentiles of every run over time, where they changed, and what changed then."""

import base64
import html
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from load.history import Entry

SHOWN = {"p50": "-o", "p95": "--s", "p99": ":^"}
LEAST = 5
"""Runs on each side of a change: fewer say nothing."""
SURE = 0.001
RELEVANT = 1.1
SIZE = (9.0, 3.6)
DPI = 110
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Load over time</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
img{max-width:100%;background:#fff}table{border-collapse:collapse}td,th{padding:.2rem .8rem;
text-align:left;border-bottom:1px solid #8884}
@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}</style><h1>Load over time</h1>
"""


def change_points(values: Sequence[float]) -> list[int]:
    """Where a series changes for good: indices of the first values after each change.

    Splits in two where a Mann-Whitney test is surest, and each part again, as long as the chance of
    so sure a split among as many places is below one in a thousand and the medians differ by 10 %.
    """
    return sorted(_split(np.asarray(values, float), 0))


def _split(values: "np.ndarray[tuple[int], np.dtype[np.float64]]", start: int) -> Iterator[int]:
    places = range(LEAST, len(values) - LEAST + 1)
    if not places:
        return
    chances = [stats.mannwhitneyu(values[:n], values[n:], method="exact").pvalue for n in places]
    best = int(np.argmin(chances))
    at = places[best]
    before, after = np.median(values[:at]), np.median(values[at:])
    ratio = max(before, after) / max(min(before, after), 1e-9)
    if chances[best] * len(places) > SURE or ratio < RELEVANT:
        return
    yield start + at
    yield from _split(values[:at], start)
    yield from _split(values[at:], start + at)


def write(entries: Sequence[Entry], folder: Path) -> Path:
    """Write trend.html, without any need of a network, and its plots as PNG beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [HEAD, f"<p>{len(entries)} valid runs.</p>"]
    for title, name, mine in _series(entries):
        changes = change_points([_p99(one, name) for one in mine])
        data = _drawn(name, mine, changes)
        (folder / f"trend-{_file(title)}.png").write_bytes(data)
        parts.append(_section(title, name, mine, changes, data))
    page = folder / "trend.html"
    page.write_text("".join(parts), encoding="utf-8")
    return page


def _series(entries: Sequence[Entry]) -> Iterator[tuple[str, str, list[Entry]]]:
    """Title, operation and runs of what can be held against each other: one profile, one machine.

    A run without one good answer of an operation says nothing of its latency.
    """
    found: dict[tuple[str, str, str], list[Entry]] = {}
    for one in entries:
        for name, of in one["operations"].items():
            if of["p99"][0] is not None:
                found.setdefault((name, one["profile"], one["machine"]["host"]), []).append(one)
    for (name, profile, host), mine in sorted(found.items(), key=lambda item: item[0]):
        yield f"{name} · {profile} on {host}", name, mine


def _p99(one: Entry, name: str) -> float:
    return float(one["operations"][name]["p99"][0])


def _file(name: str) -> str:
    return "".join(one if one.isalnum() else "-" for one in name).strip("-")


def _section(
    title: str, name: str, mine: Sequence[Entry], changes: Sequence[int], data: bytes
) -> str:
    image = base64.b64encode(data).decode()
    edges = (0, *changes, len(mine))
    rows = "".join(_row(mine, name, *edges[n : n + 3]) for n in range(len(changes)))
    table = f"<table><tr><th>since<th>version<th>p99 before → after{rows}</table>"
    return (
        f"<h2>{html.escape(title)}</h2>"
        f'<img alt="percentiles of {html.escape(title)} by run"'
        f' src="data:image/png;base64,{image}">'
        f"{table if changes else '<p>No change for good.</p>'}"
    )


def _row(mine: Sequence[Entry], name: str, start: int, at: int, end: int) -> str:
    """One change, from the runs since the change before it to those until the next."""
    before, after = (
        float(np.median([_p99(one, name) for one in part]))
        for part in (mine[start:at], mine[at:end])
    )
    version = f"{mine[at]['version']} {str(mine[at]['revision'])[:12]}"
    told = "".join(f"<td>{html.escape(str(cell))}" for cell in (mine[at]["started"], version))
    return f"<tr>{told}<td>{before:.1f} → {after:.1f} ms"


def _drawn(name: str, mine: Sequence[Entry], changes: Sequence[int]) -> bytes:
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _percentiles(axes, name, mine)
    for at in changes:
        axes.axvline(at - 0.5, color="black", linestyle="-.")
        place: Any = {"xy": (at - 0.4, 0.97), "xycoords": ("data", "axes fraction"), "va": "top"}
        axes.annotate(str(mine[at]["version"]), **place)
    axes.set(yscale="log", xlabel="run", ylabel="latency, ms")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axes.grid(alpha=0.3)
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def _percentiles(axes: Axes, name: str, mine: Sequence[Entry]) -> None:
    runs = np.arange(len(mine))
    for quantile, style in SHOWN.items():
        rows = [one["operations"][name][quantile] for one in mine]
        value, low, high = (
            np.array([np.nan if row[n] is None else row[n] for row in rows], float)
            for n in range(3)
        )
        (drawn,) = axes.plot(runs, value, style, label=quantile, markersize=4)
        axes.fill_between(runs, low, high, alpha=0.15, color=drawn.get_color())
