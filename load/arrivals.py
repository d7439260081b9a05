"""When each request is due: drawn before the run, so that nothing a server does can change it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from load.profile import Control, Phase, Profile
from load.samples import MEASURED, TYPES

Array = NDArray[Any]


@dataclass(frozen=True)
class Schedule:
    """Arrivals in order of time; fields as those of `Samples`."""

    op: Array
    intended: Array
    phase: Array
    side: Array
    block: Array

    def __len__(self) -> int:
        return len(self.op)

    def part(self, index: int, of: int) -> "Schedule":
        """What one of several generators sends: every `of`-th arrival."""
        return Schedule(**{name: array[index::of] for name, array in vars(self).items()})

    def planned(self, names: list[str]) -> dict[str, int]:
        """How many arrivals of each operation are judged."""
        judged = self.op[self.phase == MEASURED]
        return {name: int(np.count_nonzero(judged == index)) for index, name in enumerate(names)}


def schedule(profile: Profile) -> Schedule:
    """Every arrival of a profile; the same for the same seed."""
    random = np.random.default_rng(profile.seed)
    parts, start = [], 0.0
    for phase in profile.phases:
        times = start + _times(phase, profile.spacing, random)
        parts.append((_operations(profile, len(times), random), times, phase.counts_as))
        start += phase.seconds
    parts += [_commands(profile, control) for control in profile.controls]
    return _in_order(parts)


def _in_order(parts: list[tuple[Array, Array, int]]) -> Schedule:
    op = np.concatenate([op for op, _, _ in parts])
    times = np.concatenate([times for _, times, _ in parts])
    phase = np.concatenate([np.full(len(op), judged) for op, _, judged in parts])
    order = np.argsort(times, kind="stable")
    columns = {"op": op[order], "intended": times[order], "phase": phase[order]}
    alone = {name: np.zeros(len(order)) for name in ("side", "block")}
    return Schedule(**{n: array.astype(TYPES[n]) for n, array in {**columns, **alone}.items()})


def _times(phase: Phase, spacing: str, random: np.random.Generator) -> Array:
    """Seconds since the phase began: the expected number of arrivals so far, turned around."""
    expected = (phase.rate + phase.to) / 2 * phase.seconds
    if spacing == "poisson":
        counts: Array = np.cumsum(random.exponential(size=int(expected + 10 * expected**0.5 + 10)))
        counts = counts[counts < expected]
    else:
        counts = np.arange(round(expected))
    growth = (phase.to - phase.rate) / phase.seconds
    if growth == 0:
        times: Array = counts / phase.rate if phase.rate else np.empty(0)
        return times
    return (np.sqrt(phase.rate**2 + 2 * growth * counts) - phase.rate) / growth


def _operations(profile: Profile, count: int, random: np.random.Generator) -> Array:
    names = profile.names
    weights = np.array([one.weight for one in profile.operations])
    indices = np.array([names.index(one.request) for one in profile.operations])
    chosen: Array = random.choice(indices, size=count, p=weights / weights.sum())
    return chosen


def _commands(profile: Profile, control: Control) -> tuple[Array, Array, int]:
    times = np.arange(control.offset, profile.seconds, control.every)
    return np.full(len(times), profile.names.index(control.request)), times, MEASURED
