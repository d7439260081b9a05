"""What a service level is held to, from a run: latencies, errors, lag, recovery, growth."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from load import arrivals, resources, slo
from load.client import NO_ANSWER, UNDONE
from load.judge import Answer, judge_level
from load.profile import Profile
from load.samples import MEASURED, RECOVERY, WARM_UP, Run, Samples
from load.slo import Level

Floats = NDArray[Any]
WHOLE = "run"
"""In place of an operation: all of them together."""
# How each constant was chosen: docs/judge.md.
WINDOW_SECONDS = 1.0
SLOWER = 2.0
FLOOR_MS = 50.0
"""Latencies are those from before a spike within twice their 95th percentile, at least this."""
CALM_WINDOWS = 3
"""In a row: then it has recovered, whatever one slow second later may have been."""
PROXYS = (NO_ANSWER, 502, 503, 504)
MOSTLY, SEVERAL = 0.5, 0.01
ON_TIME_MS = 5_000.0
STEP_SECONDS, STEP_WINDOWS = 5.0, 3
KNEE = 3.0
OTHERS = {NO_ANSWER: "no answer", UNDONE: "without success"}
"""Errors that are no HTTP status."""


def answers(run: Run, levels: list[Level]) -> list[tuple[str, Answer]]:
    """What a run says about every level that it is held to."""
    return [
        (name, judge_level(level, values(run, name, level)))
        for name, level in held(run.operations, levels)
    ]


def held(operations: list[str], levels: list[Level]) -> list[tuple[str, Level]]:
    """Which levels a run of these operations is held to, and what each is about."""
    single = [(name, level) for name in operations for level in slo.of(levels, name)]
    whole = [one for one in levels if one.operation == WHOLE or one.metric in slo.OF_THE_RUN]
    return [
        *((name, level) for name, level in single if level.metric not in slo.OF_THE_RUN),
        *((level.operation, level) for level in whole),
    ]


def title(name: str, level: Level) -> str:
    """What a level is called: the operation and the metric."""
    return f"{name} {level.metric}"


def too_short_for(profile: Profile, levels: list[Level]) -> list[str]:
    """Titles of the levels of which a run of this profile can never tell enough."""
    planned = arrivals.schedule(profile).planned(profile.names)
    return [
        title(name, level)
        for name, level in held(profile.names, levels)
        if _planned(profile, planned, name, level) < level.samples
    ]


def _planned(profile: Profile, arrivals_of: dict[str, int], name: str, level: Level) -> float:
    """How many samples of a level a whole run of a profile has."""
    if level.metric == "recovery":
        return sum(one.counts_as == RECOVERY for one in profile.phases)
    if level.metric == "lost":
        return profile.websockets
    if level.metric in slo.GROWTH:
        return float(profile.seconds > resources.LEAST_SECONDS)
    if level.metric == "tick_lag":
        return profile.seconds
    return sum(arrivals_of.values()) if name == WHOLE else arrivals_of[name]


def values(run: Run, name: str, level: Level) -> Floats:
    """Samples for one level: many of an operation, or the few of a run."""
    if level.metric == "tick_lag":
        return np.asarray(run.summary["tick_lag_ms"], float)
    if level.metric == "recovery":
        return recovery(run.samples)
    if level.metric == "throughput":
        return throughput(run.samples)
    if level.metric in slo.GROWTH:
        return np.asarray(run.summary.get("growth", {}).get(name, {}).get(level.metric, []), float)
    if level.metric == "lost":
        seen = run.summary["websocket"]
        return np.asarray([seen["failures"]] if any(seen.values()) else [], float)
    found = _measured(run, name)
    if level.metric == "error_rate":
        return (~found.ok).astype(float)
    return found.latency_ms[found.ok].astype(float)


def _measured(run: Run, name: str) -> Samples:
    every = run.samples
    return every.where(every.phase == MEASURED) if name == WHOLE else run.of(name)


def from_the_proxy(run: Run, name: str, level: Level, others: Iterable[str]) -> bool:
    """Whether most errors are the proxy's own: no answer at all, or one that no service gave.

    Requests that another service answers, the `others`, fail as well then; where they do not, the
    proxy waited for a service in vain.
    """
    if level.metric not in ("error_rate", "throughput"):
        return False
    return _proxys(_measured(run, name)) > MOSTLY and any(
        _proxys(found) > MOSTLY and (~found.ok).mean() > SEVERAL
        for found in (_measured(run, one) for one in others)
    )


def _proxys(found: Samples) -> float:
    """The share of errors, of what was sent, that no service gave."""
    status = found.status[~found.ok & (found.service_ms > 0)]
    return float(np.isin(status, PROXYS).mean()) if len(status) else 0.0


def throughput(found: Samples) -> Floats:
    """The share of the measured arrivals that were answered at all, and not much too late."""
    measured = found.where(found.phase == MEASURED)
    good = measured.ok & (measured.latency_ms < ON_TIME_MS)
    return np.array([good.mean()]) if len(measured) else np.empty(0)


@dataclass(frozen=True)
class Step:
    """What answers took at one rate, in medians of its windows."""

    offered: float
    """Arrivals a second."""
    answered: float
    """Good answers a second."""
    p50: float
    """Milliseconds."""
    p99: float


def steps(found: Samples) -> list[Step]:
    """What answers took at each rate that was sent for a while, the lowest first.

    Rates less than a quarter apart are one; a window's answers are those of its arrivals.
    """
    windows = (found.intended / STEP_SECONDS).astype(int)
    told: dict[int, list[tuple[float, ...]]] = {}
    for one in np.unique(windows):
        inside = found.where(windows == one)
        good = inside.latency_ms[inside.ok]
        if len(good):
            rates = np.array([len(inside), len(good)]) / STEP_SECONDS
            row = (*rates, *np.quantile(good, (0.5, 0.99)))
            told.setdefault(round(np.log(rates[0]) / np.log(1.25)), []).append(row)
    often = [rows for _, rows in sorted(told.items()) if len(rows) >= STEP_WINDOWS]
    return [Step(*(float(one) for one in np.median(rows, axis=0))) for rows in often]


def knee(found: list[Step]) -> Step | None:
    """The last step before p99 is for good so many times that of the lowest; None without one."""
    limit = KNEE * found[0].p99 if found else 0.0
    quick = [index for index, one in enumerate(found) if one.p99 <= limit]
    return found[quick[-1]] if quick and quick[-1] + 1 < len(found) else None


def errors(found: Samples) -> dict[str, int]:
    """How many arrivals ended in an error, by kind: the HTTP status, or no answer at all."""
    status, counts = np.unique(found.status[~found.ok], return_counts=True)
    kinds = [OTHERS.get(int(one), f"status {one}") for one in status]
    return dict(zip(kinds, map(int, counts), strict=True))


def recovery(found: Samples) -> Floats:
    """Seconds from the end of each spike until answers are good and quick for a while again.

    Nothing without a phase of recovery, or without good answers before it.
    """
    after = found.where(found.phase == RECOVERY)
    before = found.where((found.phase == MEASURED) & found.ok)
    if not len(after) or not len(before):
        return np.empty(0)
    limit = max(FLOOR_MS, SLOWER * float(np.quantile(before.latency_ms, 0.95)))
    spikes = np.sort(found.intended[found.phase == WARM_UP])
    which = np.searchsorted(spikes, after.intended)  # equal: no spike lies between them
    return np.array([_recovered(after.where(which == one), limit) for one in np.unique(which)])


def _recovered(after: Samples, limit: float) -> float:
    """Seconds to the first calm windows in a row; to the end of the phase where there are none."""
    windows = ((after.intended - after.intended.min()) / WINDOW_SECONDS).astype(int)
    late = ~after.ok | (after.latency_ms > limit)
    bad = [w for w in np.unique(windows) if late[windows == w].mean() > 0.2]
    ends = [*bad, int(windows.max()) + 1]
    gaps = zip([-1, *bad], ends, strict=True)
    calm = (int(last) + 1 for last, bad_again in gaps if bad_again - last > CALM_WINDOWS)
    return next(calm, ends[-1]) * WINDOW_SECONDS
