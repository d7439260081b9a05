"""The judge: measured latencies against service levels, and a candidate against its baseline.

Quantiles carry exact intervals from order statistics, shares from the binomial distribution: no
shape is assumed. A candidate and its baseline take turns in short blocks, two and two in random
order, so a disturbance of the machine falls on both. What then differs between the two blocks of a
pair could as well have had the other sign if the sides were equal; turning signs at random shows
how large a difference chance makes. That is exact for requests that disturb each other, too.
For the same reason the interval of a difference comes from drawing whole pairs anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from load.slo import QUANTILES, Level

# How each constant was chosen, and what changing it does: docs/judge.md.

Floats = NDArray[np.floating[Any]]
Outcome = Literal["met", "missed", "not enough data"]
Verdict = Literal["better", "same", "worse", "not enough data"]

CONFIDENCE = 0.99
ALPHA = 0.01
"""Chance of a false alarm that one comparison may take, over all its tests: half of it for `worse`
and half for `better`."""
RELEVANT = 1.05
"""A ratio nearer to 1 than this is no difference worth a verdict."""
RELEVANT_ERRORS = 0.001
LEAST_REQUESTS = 500
"""On each side; below that the tail has next to no samples."""
LEAST_PAIRS = 20
SHARP = 1.25
"""Nothing is `same` unless such a ratio of all would have been told nine times in ten."""
QUICKER = (0.3, 0.5)
"""The shares of latencies, the quicker ones, that p25 and p50 are judged by: what had to wait for
a busy machine is among the others. That finds a fifth with a quarter of the requests."""
TURNS = 4_000
RESAMPLES = 400
"""For the interval of a difference: whole pairs are drawn anew so many times."""


@dataclass(frozen=True)
class Interval:
    """A value and where the true one lies, at some confidence."""

    value: float
    low: float
    high: float


def quantile(values: Floats, q: float, confidence: float = CONFIDENCE) -> Interval:
    """The `q`-quantile with its exact interval from order statistics; inf where none bounds it."""
    ordered, n = np.sort(values), len(values)
    if n == 0:
        return Interval(float("nan"), 0.0, float("inf"))
    below, above = stats.binom.ppf([(1 - confidence) / 2, (1 + confidence) / 2], n, q)
    low = float(ordered[int(below) - 1]) if below >= 1 else 0.0
    high = float(ordered[int(above)]) if above < n else float("inf")
    value = float(ordered[min(n - 1, int(np.ceil(q * n)) - 1 if q > 0 else 0)])
    return Interval(value, low, high)


def share(count: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """A share of `n` with its Clopper-Pearson interval."""
    if n == 0:
        return Interval(float("nan"), 0.0, 1.0)
    found = stats.binomtest(count, n).proportion_ci(confidence, method="exact")
    return Interval(count / n, float(found.low), float(found.high))


# Against service levels


@dataclass(frozen=True)
class Answer:
    """What a run says about one service level."""

    outcome: Outcome
    seen: Interval
    samples: int
    level: Level

    @property
    def words(self) -> str:
        """What was seen, in words."""
        if self.samples < self.level.samples:
            return f"{self.samples} samples of the {self.level.samples} that it needs"
        seen = f"{self.seen.value:.4g} {self.level.unit}"
        if self.seen.low == self.seen.high:
            return f"{seen} in {self.samples} samples"
        return f"{seen} ({self.seen.low:.4g} to {self.seen.high:.4g}) in {self.samples} samples"


def judge_level(level: Level, values: Floats) -> Answer:
    """Hold samples to a level: latencies in ms, errors as 0 and 1, or the one value of a run.

    Missed only beyond doubt; a bad value within the doubt is not enough data, which is no pass.
    """
    n = len(values)
    seen = _seen(level, values)
    if n < level.samples or n == 0:
        return Answer("not enough data", seen, n, level)
    if level.holds(seen.value):
        return Answer("met", seen, n, level)
    best = seen.low if level.upper else seen.high
    return Answer("not enough data" if level.holds(best) else "missed", seen, n, level)


def _seen(level: Level, values: Floats) -> Interval:
    if level.metric in QUANTILES:
        return quantile(values, QUANTILES[level.metric], level.confidence)
    if level.metric == "error_rate":
        return share(int(np.count_nonzero(values)), len(values), level.confidence)
    value = float(np.max(values)) if len(values) else float("nan")
    return Interval(value, value, value)


# Against a baseline


@dataclass(frozen=True)
class Side:
    """One side of a comparison: latencies in ms, whether each failed, and its block."""

    latency: Floats
    failed: NDArray[np.bool_]
    block: NDArray[np.integer[Any]]
    """Blocks are numbered in order of time; the k-th of each side make a pair."""


@dataclass(frozen=True)
class Difference:
    """One thing that was compared: p25, p50, p95, p99, tail or errors."""

    name: str
    candidate: float
    baseline: float
    effect: Interval
    """Candidate over baseline; for errors, candidate minus baseline."""
    p: float
    """Chance of as large a difference between equal sides, all tests of the comparison in view."""
    least: float = RELEVANT
    """The ratio from which a difference of latencies matters."""

    @property
    def relevant(self) -> bool:
        """Whether it is large enough to matter."""
        if self.name == "errors":
            return abs(self.effect.value) >= RELEVANT_ERRORS
        return max(self.effect.value, 1 / self.effect.value) >= self.least

    @property
    def worse(self) -> bool:
        """Whether the candidate is the slower or the more faulty one."""
        return self.effect.value > (0 if self.name == "errors" else 1)


@dataclass(frozen=True)
class Comparison:
    """What a comparison came to, and why."""

    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    telling: tuple[Difference, ...] = ()
    """Those that make it better or worse: beyond chance, and large enough to matter."""
    noise: float = 0.0
    """Standard error of the mean logarithm of the ratio of latencies."""
    sees: float = 1.0
    """The ratio of all latencies that would be told nine times in ten."""


EFFECTS = {"p25": 0.25, "p50": 0.5, "p95": 0.95, "p99": 0.99, "tail": 0.995}
"""The quantile at which the size of each difference of latencies is told."""
TAILS = ("p99", "tail")


def compare(
    candidate: Side,
    baseline: Side,
    *,
    least: float = RELEVANT,
    requests: int = LEAST_REQUESTS,
    alpha: float = ALPHA,
    seed: int = 0,
    turns: int = TURNS,
) -> Comparison:
    """Whether the candidate is better, the same or worse, in its tail as well as in all the rest.

    `least` is the ratio of latencies from which a difference matters, `requests` how many each side
    must have; of tails nothing is told from fewer than `LEAST_REQUESTS`.
    """
    pairs = min(len(np.unique(candidate.block)), len(np.unique(baseline.block)))
    good = min(np.count_nonzero(~side.failed) for side in (candidate, baseline))
    every = min(len(side.failed) for side in (candidate, baseline))
    if every < requests or pairs < LEAST_PAIRS:
        return Comparison("not enough data")
    enough = good >= requests
    scores = (_scores if enough else _failures)(candidate, baseline)
    means = [
        _means(side, score, pairs)
        for side, score in zip((candidate, baseline), scores, strict=True)
    ]
    p = _chances(means[0], means[1], seed, turns)
    if not enough:  # for latencies: worse by its errors, or unknown
        return _told([_errors(candidate, baseline, float(p[ERRORS]))], 0.0, alpha)
    spread = _spread(candidate, baseline, pairs, seed)
    found = [
        one
        for one in _differences(candidate, baseline, spread, p, least)
        if good >= LEAST_REQUESTS or one.name not in TAILS
    ]
    noise = float((means[0] - means[1])[:, 0].std(ddof=1) / pairs**0.5)
    return _told(found, noise, alpha)


def _told(
    found: Sequence[Difference], noise: float, alpha: float, comparisons: int = 1
) -> Comparison:
    telling = tuple(one for one in found if one.p < alpha and one.relevant)
    chance = alpha / (2 * comparisons * len(found))
    sees = float(np.exp(noise * (stats.norm.isf(chance) + stats.norm.ppf(0.9))))
    verdict: Verdict = "better" if telling else "same"
    if any(one.worse for one in telling):
        verdict = "worse"
    elif found[0].name == "errors" or (not telling and sees > max(SHARP, found[0].least)):
        verdict = "not enough data"  # what is not looked at, or bluntly, may be there all the same
    return Comparison(verdict, tuple(found), telling, noise, sees)


TAIL = 0.9
"""The share of latencies, the quicker ones, that the others are the tail of."""
OUTLIERS = 0.98
"""Where the few begin that `tail` is about and p99's score stops to grow: beyond it single requests
count so much that they would hide what happened to the rest."""
CALM = 0.7
"""The share of pairs that count for p25 and p50 as they are; the others, further apart, no more."""
SCORES = (*EFFECTS, "errors")
P99, ERRORS = SCORES.index("p99"), SCORES.index("errors")
P99_WEIGHT = 1.15
"""How much more p99 counts than the other scores do, which leaves it more of ALPHA: few requests
speak of it, and what the others look for shows in so many that it is found with less."""


def _scores(candidate: Side, baseline: Side) -> list[Floats]:
    """What each request says of p25, p50, p95, p99, the tail and errors, one column each.

    Limits come from both sides together, so that they favour neither. A last column says whether
    the request is of the tail: p99 is told from how far those of the tail are beyond its limit,
    however many they are; that finds a stretched tail with half of the requests.
    """
    both = np.concatenate([side.latency[~side.failed] for side in (candidate, baseline)])
    least, *quicker = np.maximum(np.quantile(both, [0.005, *QUICKER]), 1e-6)
    limit, few = np.maximum(np.quantile(both, [TAIL, OUTLIERS]), 1e-6)
    return [
        np.column_stack(
            [
                *(
                    np.log(np.clip(side.latency, least, most) / most) / share
                    for most, share in zip(quicker, QUICKER, strict=True)
                ),
                np.log(np.maximum(side.latency, limit) / limit),
                np.log(np.clip(side.latency, limit, few) / limit),
                np.log(np.maximum(side.latency, few) / few),
                side.failed,
                side.latency > limit,
            ]
        )
        * np.column_stack([*[~side.failed] * len(EFFECTS), np.ones(len(side.failed)), ~side.failed])
        for side in (candidate, baseline)
    ]


def _failures(*sides: Side) -> list[Floats]:
    """The same columns where only errors say something."""
    columns = np.arange(len(SCORES) + 1) == ERRORS
    return [np.outer(side.failed, columns).astype(float) for side in sides]


def _means(side: Side, scores: Floats, pairs: int) -> Floats:
    """The mean of each score in each block, in order of time."""
    _, index = np.unique(side.block, return_inverse=True)
    size = np.bincount(index)
    columns = [np.bincount(index, weights=column) / size for column in scores.T]
    return np.column_stack(columns)[:pairs]


def _chances(candidate: Floats, baseline: Floats, seed: int, turns: int) -> Floats:
    """For each score, how often sides turned at random make any score's difference as large.

    The largest of all weighted scores in each turn is compared with (Westfall and Young): that
    corrects for their number and knows how much they have in common.
    """
    turned = np.random.default_rng(seed).choice([-1.0, 1.0], size=(turns, len(candidate)))
    signs = np.vstack([np.ones(len(candidate)), turned])  # the first: as it was
    apart, whole = (
        signs @ _clip_disturbed_pairs(candidate - baseline),
        (candidate + baseline).sum(axis=0),
    )
    found = apart[:, : len(SCORES)]
    found[:, P99] = _log_mean_excess(whole + apart) - _log_mean_excess(whole - apart)
    scale = np.sqrt((found[1:] ** 2).mean(axis=0))
    scale[scale == 0] = np.inf
    found = np.abs(found / scale)
    found[:, P99] *= P99_WEIGHT
    largest = found[1:].max(axis=1)
    chances: Floats = (1 + (largest[:, None] >= found[0] - 1e-12).sum(axis=0)) / (1 + turns)
    return chances


def _clip_disturbed_pairs(pairs: Floats) -> Floats:
    """Differences of which no pair counts much more than others for what the quicker ones say.

    A disturbance that fell on one block of a pair is not what p25 and p50 are asked for.
    """
    most = np.quantile(np.abs(pairs), CALM, axis=0)
    most[most == 0] = np.inf
    most[len(QUICKER) :] = np.inf
    return np.clip(pairs, -most, most)


def _log_mean_excess(sums: Floats) -> Floats:
    """The logarithm of how far the requests of the tail are beyond its limit, for each turn."""
    found: Floats = np.log(np.maximum(sums[:, P99], 1e-9) / np.maximum(sums[:, -1], 1e-9))
    return found


def _spread(candidate: Side, baseline: Side, pairs: int, seed: int) -> Floats:
    """Ratios of both sides' quantiles, a row for each time that the pairs are drawn anew.

    Whole pairs, because requests that came at the same time were slow for the same reasons.
    """
    even = np.full(pairs, 1 / pairs)
    times = np.random.default_rng(seed).multinomial(pairs, even, size=RESAMPLES)
    ratios: Floats = _quantiles(candidate, times) / _quantiles(baseline, times)
    return ratios


def _quantiles(side: Side, times: NDArray[np.integer[Any]]) -> Floats:
    """The quantiles of `EFFECTS` with each block as often as a row of `times` says."""
    _, index = np.unique(side.block, return_inverse=True)
    kept = ~side.failed & (index < times.shape[1])
    order = np.argsort(side.latency[kept])
    latency, block = side.latency[kept][order], index[kept][order]
    rows = []
    for row in times:
        ranks = np.cumsum(row[block])
        places = np.searchsorted(ranks, np.array(list(EFFECTS.values())) * ranks[-1])
        rows.append(latency[places])
    found: Floats = np.maximum(np.array(rows), 1e-6)
    return found


def _differences(
    candidate: Side, baseline: Side, spread: Floats, p: Floats, least: float
) -> Iterator[Difference]:
    edges = np.quantile(spread, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0).T
    for index, (name, q) in enumerate(EFFECTS.items()):
        now, was = (quantile(s.latency[~s.failed], q).value for s in (candidate, baseline))
        low, high = (float(edge) for edge in edges[index])
        effect = Interval(now / was if was > 0 else float("inf"), low, high)
        yield Difference(name, now, was, effect, float(p[index]), least)
    yield _errors(candidate, baseline, float(p[ERRORS]))


def _errors(candidate: Side, baseline: Side, p: float) -> Difference:
    now, was = (share(int(s.failed.sum()), len(s.failed)) for s in (candidate, baseline))
    effect = Interval(now.value - was.value, now.low - was.high, now.high - was.low)
    return Difference("errors", now.value, was.value, effect, p)


def together(found: Mapping[str, Comparison], alpha: float = ALPHA) -> dict[str, Comparison]:
    """The same comparisons, told again with the number of all of them in view (Holm)."""
    chances = {
        name: min(d.p for d in one.differences) for name, one in found.items() if one.differences
    }
    told, floor = dict(found), 0.0
    for rank, name in enumerate(sorted(chances, key=chances.__getitem__)):
        times = len(chances) - rank
        floor = max(floor, times * chances[name])
        corrected = [
            replace(one, p=min(1.0, max(floor, times * one.p))) for one in found[name].differences
        ]
        told[name] = _told(corrected, found[name].noise, alpha, len(chances))
    return told
