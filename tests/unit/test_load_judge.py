"""The judge: exact intervals, no pass without samples, and a tail that is looked at."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from load import judge
from load.blocks import plan
from load.judge import Comparison, Difference, Interval, Side, compare, judge_level
from load.slo import Level


def level(metric: str = "p99", limit: float = 100, samples: int = 100) -> Level:
    return Level("GET /x", metric, limit, upper=True, samples=samples, confidence=0.99)


def test_the_interval_of_a_quantile_is_that_of_order_statistics() -> None:
    values = np.arange(1.0, 1001.0)
    found = judge.quantile(values, 0.5)
    # From the binomial distribution: at most 0.5 % below rank 459 and above rank 542.
    assert (found.value, found.low, found.high) == (500, 459, 542)
    covered = stats.binom.cdf(541, 1000, 0.5) - stats.binom.cdf(458, 1000, 0.5)
    assert covered >= 0.99


def test_a_quantile_that_few_samples_cannot_bound_is_open_above() -> None:
    assert judge.quantile(np.arange(50.0), 0.99).high == float("inf")


@pytest.mark.parametrize("values", [np.array([]), np.full(99, 1.0)])
def test_too_few_samples_are_never_a_pass(values: NDArray[Any]) -> None:
    assert judge_level(level(), values).outcome == "not enough data"


def test_a_level_is_met_missed_or_in_doubt() -> None:
    rng = np.random.default_rng(1)
    quick = rng.exponential(10, 2000)
    assert judge_level(level(), quick).outcome == "met"
    slow = np.where(rng.random(2000) < 0.05, 500.0, quick)
    assert judge_level(level(), slow).outcome == "missed"
    doubtful = np.sort(rng.exponential(10, 100))
    limit = float(doubtful[-3])
    assert judge_level(level(limit=limit), doubtful).outcome == "not enough data"


def test_the_interval_is_in_the_words() -> None:
    answer = judge_level(level("error_rate", 0.002), np.repeat([0.0, 1.0], [980, 20]))
    assert answer.outcome == "missed"
    assert answer.words.startswith("0.02 of requests (0.01")


def sides(seed: int = 3) -> tuple[Side, Side]:
    rng = np.random.default_rng(seed)
    blocks = rng.lognormal(1, 0.4, (160, 25)) * np.exp(np.sin(np.arange(160) / 20))[:, None]
    turns = np.array(list(plan(80, seed)))
    return tuple(  # type: ignore[return-value]
        Side(own.ravel(), np.zeros(own.size, dtype=bool), np.arange(80).repeat(25))
        for own in (blocks[turns == "candidate"], blocks[turns == "baseline"])
    )


def changed(side: Side, factor: Any) -> Side:
    return Side(side.latency * factor, side.failed, side.block)


def test_equal_sides_are_the_same() -> None:
    verdicts = [compare(*sides(seed), turns=500).verdict for seed in range(40)]
    assert verdicts.count("same") >= 38


def test_a_slower_tail_is_worse_though_the_median_is_not() -> None:
    candidate, baseline = sides()
    slow = np.where(np.random.default_rng(1).random(2000) < 0.05, 10, 1)
    found = compare(changed(candidate, slow), baseline)
    assert found.verdict == "worse"
    size = {one.name: one.effect for one in found.differences}
    assert size["p99"].low > 1.5
    assert size["p50"].low < 1.1


def test_a_stretched_tail_is_told_by_how_far_it_reaches() -> None:
    candidate, baseline = sides()
    rank = stats.rankdata(candidate.latency) / len(candidate.latency)
    found = compare(changed(candidate, 1 + 0.5 * np.clip((rank - 0.9) / 0.09, 0, 1)), baseline)
    assert found.verdict == "worse"
    assert {one.name: one.p for one in found.differences}["p99"] < judge.ALPHA


def test_a_quicker_candidate_is_better() -> None:
    candidate, baseline = sides()
    assert compare(changed(candidate, 0.8), baseline).verdict == "better"


def test_errors_are_apart_from_latencies() -> None:
    candidate, baseline = sides()
    failed = np.random.default_rng(2).random(2000) < 0.02
    found = compare(Side(candidate.latency, failed, candidate.block), baseline)
    assert [one.name for one in found.differences if one.p < judge.ALPHA] == ["errors"]
    assert found.verdict == "worse"


@pytest.mark.parametrize("share", [0.8, 1.0])
def test_a_candidate_that_mostly_fails_is_worse(share: float) -> None:
    candidate, baseline = sides()
    failed = np.random.default_rng(2).random(2000) < share
    mostly = Side(candidate.latency, failed, candidate.block)
    found = compare(mostly, baseline)
    assert found.verdict == "worse"
    assert [one.name for one in found.telling] == ["errors"]
    assert judge.together({"a": found, "b": found})["a"].verdict == "worse"
    both = judge.together({"a": compare(mostly, mostly)})["a"]
    assert both.verdict == "not enough data"


def test_a_handful_of_requests_is_not_enough_data() -> None:
    short = [Side(s.latency[:400], s.failed[:400], s.block[:400]) for s in sides()]
    assert compare(*short).verdict == "not enough data"


def chance(p: float) -> Comparison:
    return Comparison("worse", (Difference("p50", 1.3, 1.0, Interval(1.3, 1.2, 1.4), p),))


def test_comparisons_are_corrected_for_their_number() -> None:
    found = judge.together({"a": chance(0.004), "b": chance(0.001), "c": chance(0.2)})
    assert [one.verdict for one in found.values()] == ["worse", "worse", "same"]
    assert [one.differences[0].p for one in found.values()] == pytest.approx([0.008, 0.003, 0.2])
    found = judge.together({"a": chance(0.004), "b": chance(0.004), "c": Comparison("same")})
    assert [one.verdict for one in found.values()] == ["worse", "worse", "same"]
    found = judge.together({"a": chance(0.004), "b": chance(0.004), "c": chance(0.2)})
    assert {one.verdict for one in found.values()} == {"same"}
    nothing = {"a": Comparison("not enough data")}
    assert judge.together(nothing) == nothing


def test_a_plan_gives_both_sides_of_every_pair() -> None:
    turns = list(plan(50, seed=4))
    assert all(set(turns[n : n + 2]) == {"baseline", "candidate"} for n in range(0, 100, 2))
    assert turns == list(plan(50, seed=4))
    assert turns != list(plan(50, seed=5))
