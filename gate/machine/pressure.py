"""What the machine was short of while a run went on: cores, memory, disk, stolen time.

Linux says it in /proc. `/proc/pressure` (PSI, kernel 4.20) has the time in which some process had
to wait; Red Hat's kernels have it switched off, and without it the load tells. In a container with
a quota the cgroup's own figures say more than the host's, so the larger one counts. Where /proc is
missing nothing is known, and nothing is said.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gate.wait import CLOCK, Clock
from reports.events import Machine
from reports.words import listed

KINDS = ("cpu", "memory", "io")
SOURCES = ("proc/pressure/{kind}", "sys/fs/cgroup/{kind}.pressure")
WINDOW_SECONDS = 10.0
"""What is shorter is a moment, not a shortage."""
APART_SECONDS = 1.0
"""A check of a live run takes a millisecond: it need not look at the machine again."""

# Chosen, not measured: shares above what healthy runs on two shared cores mostly show.
MOST_WAITED_CPU = 0.8
MOST_WAITED_MEMORY = 0.1
MOST_WAITED_DISK = 0.3
MOST_STOLEN = 0.1
MOST_MEMORY = 0.95
MOST_LOAD = 2.0
"""Of each core, where PSI is missing."""


@dataclass(frozen=True)
class Reading:
    """Counters of one moment."""

    at: float
    waited: dict[str, tuple[float, ...]]
    """Seconds in which some process waited, by kind, of each source; none without PSI."""
    stolen: float
    """Processor seconds that the machine's host gave to others."""
    load: float
    memory: float
    """Share that is available."""


class Pressure:
    """The readings of one run."""

    def __init__(self, root: Path = Path("/"), clock: Clock = CLOCK) -> None:
        self._root = root
        self._clock = clock
        self._cores = os.cpu_count() or 1
        self._readings: list[Reading] = []

    def read(self) -> None:
        """Read the machine's counters, unless that was done a moment ago."""
        now = self._clock.now()
        if self._readings and now - self._readings[-1].at < APART_SECONDS:
            return
        try:
            self._readings.append(self._reading(now))
        except (OSError, ValueError, IndexError, KeyError):
            return  # no Linux, or /proc is hidden

    def shortage(self, seconds: float) -> str | None:
        """Say what was short in the last seconds, ten at least; None for nothing."""
        self.read()
        if len(self._readings) < 2:
            return None
        *earlier, last = self._readings
        since = last.at - max(seconds, WINDOW_SECONDS)
        before = [reading for reading in earlier if reading.at <= since]
        return self._between(before[-1] if before else earlier[0], last).shortage

    def worst(self) -> Machine | None:
        """Give the figures of the run's worst ten seconds; None where none are known."""
        self.read()
        found = [self._between(*pair) for pair in self._windows()]
        return max(found, key=_badness, default=None)

    def _windows(self) -> Iterator[tuple[Reading, Reading]]:
        """Pair each reading with the first one that is ten seconds later, or else with the last."""
        later = iter(self._readings)
        end = next(later, None)
        for start in self._readings[:-1]:
            while end is not None and end.at < start.at + WINDOW_SECONDS:
                end = next(later, None)
            yield start, end or self._readings[-1]
            if end is None:
                return

    def _between(self, first: Reading, last: Reading) -> Machine:
        seconds = last.at - first.at
        waited = {
            kind: max(after - before for before, after in pairs) / seconds
            for kind in last.waited.keys() & first.waited.keys()
            if (pairs := list(zip(first.waited[kind], last.waited[kind], strict=False)))
        }
        figures = Machine(
            seconds=round(seconds, 1),
            cores=self._cores,
            waited_for_a_core=_share(waited.get("cpu")),
            waited_for_memory=_share(waited.get("memory")),
            waited_for_the_disk=_share(waited.get("io")),
            stolen=_share((last.stolen - first.stolen) / seconds / self._cores),
            load=last.load,
            memory_available=_share(last.memory),
            shortage=None,
        )
        return replace(figures, shortage=_shortage(figures))

    def _reading(self, now: float) -> Reading:
        fields = self._text("proc/stat").split("\n", 1)[0].split()
        memory = dict(line.split(":") for line in self._text("proc/meminfo").splitlines())
        available, total = (int(memory[name].split()[0]) for name in ("MemAvailable", "MemTotal"))
        return Reading(
            at=now,
            waited={kind: seconds for kind in KINDS if (seconds := tuple(self._waited(kind)))},
            stolen=int(fields[8]) / os.sysconf("SC_CLK_TCK"),
            load=float(self._text("proc/loadavg").split()[0]),
            memory=available / total,
        )

    def _waited(self, kind: str) -> Iterator[float]:
        for source in SOURCES:
            # Where PSI is switched off the file is missing, or says so when it is read.
            with suppress(OSError):
                first = self._text(source.format(kind=kind)).split("\n", 1)[0]
                yield int(first.rpartition("total=")[2]) / 1e6

    def _text(self, path: str) -> str:
        return (self._root / path).read_text("ascii")


def _share(value: float | None) -> float | None:
    return None if value is None else round(min(max(value, 0.0), 1.0), 3)


def _badness(figures: Machine) -> float:
    return max(share / most for share, most, _ in _limits(figures))


def _limits(figures: Machine) -> Iterator[tuple[float, float, str]]:
    """Give each figure with what it may be at most, and how it is said."""
    cpu = figures.waited_for_a_core
    if cpu is not None:
        yield cpu, MOST_WAITED_CPU, f"processes waited for a core {cpu:.0%} of the time"
    else:
        load = figures.load / figures.cores
        yield load, MOST_LOAD, f"load {figures.load:g} on {figures.cores} cores"
    memory = figures.waited_for_memory or 0.0
    yield memory, MOST_WAITED_MEMORY, f"processes waited for memory {memory:.0%} of the time"
    disk = figures.waited_for_the_disk or 0.0
    yield disk, MOST_WAITED_DISK, f"processes waited for the disk {disk:.0%} of the time"
    stolen = figures.stolen or 0.0
    yield stolen, MOST_STOLEN, f"its host gave {stolen:.0%} of the processor time to others"
    used = 1 - (figures.memory_available or 0.0)
    yield used, MOST_MEMORY, f"{1 - used:.0%} of the memory was available"


def _shortage(figures: Machine) -> str | None:
    return listed([words for share, most, words in _limits(figures) if share > most]) or None
