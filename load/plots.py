"""Plots of a run as PNG: latency over time, by percentile and by throughput, errors by kind."""

import io
from collections.abc import Callable, Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from load import measures
from load.samples import MEASURED, Run, Samples

SIZE = (9.0, 4.2)
DPI = 110
MARKERS = "osv^DPX*"
Drawer = Callable[[Axes, Run], None]
STEPS = 3
"""Rates without which latency by throughput is no curve."""
TICKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)


def of(run: Run) -> Iterator[tuple[str, bytes]]:
    """Every plot: its title and its PNG."""
    yield "Latency over time", _drawn(run, _over_time)
    yield "Latency by percentile", _drawn(run, _by_percentile)
    if len(measures.steps(run.samples)) >= STEPS:
        yield "Latency by throughput", _drawn(run, _by_throughput)
    if measures.errors(run.samples):
        yield "Errors by kind", _drawn(run, _errors)


def _drawn(run: Run, draw: Drawer) -> bytes:
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.add_subplot(), run)
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def _over_time(axes: Axes, run: Run) -> None:
    """The median and the 99th percentile of each second, errors as crosses."""
    found = run.samples
    seconds = found.intended.astype(int)
    every = np.unique(seconds)
    good = [found.latency_ms[(seconds == one) & found.ok] for one in every]
    for q, style in ((0.5, "-"), (0.99, "--")):
        values = [np.quantile(one, q) if len(one) else np.nan for one in good]
        axes.plot(every, values, style, label=f"p{q * 100:g}", color="#1f4e79")
    errors = found.where(~found.ok)
    axes.plot(errors.intended, errors.latency_ms, "x", label="errors", color="#b00020")
    _phases(axes, found)
    axes.set(yscale="log", xlabel="seconds since the start", ylabel="latency, ms")
    axes.legend()
    axes.grid(alpha=0.3)


def _phases(axes: Axes, found: Samples) -> None:
    other = found.intended[found.phase != MEASURED]
    if len(other):
        seconds = np.unique(other.astype(int))
        for stretch in np.split(seconds, np.flatnonzero(np.diff(seconds) > 1) + 1):
            ends = stretch[0], stretch[-1] + 1
            axes.axvspan(*ends, alpha=0.08, color="black", hatch="//", linewidth=0)


def _by_percentile(axes: Axes, run: Run) -> None:
    """The whole distribution of each operation, the tail drawn as wide as the middle."""
    for index, name in enumerate(run.operations):
        latency = np.sort(run.of(name).where(run.of(name).ok).latency_ms)
        if len(latency) < 20:
            continue
        share = np.arange(1, len(latency) + 1) / (len(latency) + 1)
        marker = MARKERS[index % len(MARKERS)]
        axes.plot(1 / (1 - share), latency, marker=marker, markevery=0.1, label=name, markersize=4)
    axes.set(xscale="log", yscale="log", xlabel="percentile", ylabel="latency, ms")
    axes.set_xticks([1 / (1 - one) for one in TICKS], [f"{one * 100:g}" for one in TICKS])
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)


def _by_throughput(axes: Axes, run: Run) -> None:
    """What answers took at each rate, and the rate up to which they stay quick."""
    found = measures.steps(run.samples)
    rates = [one.answered for one in found]
    axes.plot(rates, [one.p50 for one in found], "-o", label="p50", color="#1f4e79")
    axes.plot(rates, [one.p99 for one in found], "--s", label="p99", color="#1f4e79")
    knee = measures.knee(found)
    if knee is None:
        axes.set_title(f"no knee up to {max(rates):.0f} answers a second", fontsize="medium")
    else:
        axes.axvline(knee.answered, color="black", linestyle="-.")
        words = f"knee: {knee.answered:.0f} a second "
        place = (knee.answered, 0.8)
        axes.annotate(words, place, xycoords=("data", "axes fraction"), ha="right")
    axes.set(yscale="log", xlabel="good answers a second", ylabel="latency, ms")
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)


def _errors(axes: Axes, run: Run) -> None:
    """Errors of each second, a line a kind."""
    found = run.samples.where(~run.samples.ok)
    seconds = found.intended.astype(int)
    for index, status in enumerate(np.unique(found.status)):
        every, counts = np.unique(seconds[found.status == status], return_counts=True)
        (kind,) = measures.errors(found.where(found.status == status))
        axes.plot(every, counts, MARKERS[index % len(MARKERS)], label=f"{kind} ({counts.sum()})")
    axes.set(xlabel="seconds since the start", ylabel="errors a second", ylim=(0, None))
    axes.legend()
    axes.grid(alpha=0.3)
