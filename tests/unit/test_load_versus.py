"""A candidate against its baseline: dealt out fairly, judged by operation, honest when apart."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compose import earlier
from compose.earlier import VersionError
from compose.release import release
from gate.toml import FileError
from load import arrivals, profile, runner, versus
from load.blocks import BLOCK, SIDES, deal
from load.judge import LEAST_REQUESTS
from load.samples import MEASURED, WARM_UP, Run, RunError, samples
from tests.load.options import compared_with
from tests.load.test_baseline import blamed

GATE = profile.load("gate").comparing()
COUNT = len(GATE.names)
WHO = {"version": "0.1.0", "revision": "a" * 40}
SUMMARY = {
    **WHO,
    "profile": "gate",
    "seed": GATE.seed,
    "operations": profile.load("gate").names,
    "validity": {"valid": True, "reasons": []},
    "aborted": None,
    "machine": runner.machine(),
}


def drawn(
    seed: int, slower: dict[int, float] | None = None, failing: int = COUNT, spread: float = 0.4
) -> Run:
    """A run in turns: log-normal latencies on a machine whose speed wavers."""
    rng = np.random.default_rng(seed)
    plan = deal(arrivals.schedule(GATE), seed)
    wave = 1 + 0.5 * np.sin(plan.intended / 7)
    latency = rng.lognormal(1, spread, len(plan)) * wave
    candidate = plan.side == SIDES.index("candidate")
    for op, factor in (slower or {}).items():
        latency[candidate & (plan.op == op)] *= factor
    bad = candidate & (plan.op == failing) & (rng.random(len(plan)) < 0.1)
    status = np.where(bad, 500, 200)
    found = samples(**vars(plan), latency_ms=latency, service_ms=latency, status=status)
    return Run({**SUMMARY, "operations": GATE.names, "baseline": WHO}, found)


def alone(seed: int, factor: float = 1.0, lag: float = 1.0, **changes: Any) -> Run:
    """A run of one stack, of the whole profile."""
    plan = arrivals.schedule(profile.load("gate"))
    latency = np.random.default_rng(seed).lognormal(1, 0.4, len(plan)) * factor
    status = np.full(len(plan), 200)
    late = latency + lag
    found = samples(**vars(plan), latency_ms=late, service_ms=latency, status=status)
    return Run({**SUMMARY, **changes}, found)


# Dealing out


def test_a_comparison_sends_reads_only_each_as_often_and_enough_of_each() -> None:
    plan = deal(arrivals.schedule(GATE), GATE.seed)
    assert all(name.startswith("GET ") for name in GATE.names)
    assert GATE.controls == ()
    for op in range(COUNT):
        for side in range(len(SIDES)):
            mine = (plan.op == op) & (plan.side == side) & (plan.phase == MEASURED)
            assert np.count_nonzero(mine) > 1.1 * LEAST_REQUESTS


def test_blocks_are_short_whole_and_in_pairs_of_both_sides() -> None:
    plan = deal(arrivals.schedule(GATE), GATE.seed)
    assert np.all(np.diff(plan.block.astype(int)) >= 0)
    sides = [set(plan.side[plan.block == one].tolist()) for one in range(40)]
    assert all(len(one) == 1 for one in sides)
    assert all(sides[n] | sides[n + 1] == {0, 1} for n in range(0, 40, 2))
    assert np.bincount(plan.block)[:-1].tolist() == [BLOCK] * int(plan.block.max())
    assert WARM_UP in plan.phase


def test_a_profile_without_reads_cannot_be_compared_by(tmp_path: Path) -> None:
    text = profile.load("smoke").path.read_text(encoding="utf-8").replace("GET /", "DELETE /")
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match="expected a read among its operations"):
        profile.load(str(path)).comparing()


# Side by side


def test_equal_sides_are_the_same() -> None:
    verdicts = [versus.side_by_side(drawn(seed)).verdict for seed in range(6)]
    assert verdicts.count("same") >= 5


def test_all_a_fifth_slower_is_worse_in_every_operation() -> None:
    found = versus.side_by_side(drawn(1, slower=dict.fromkeys(range(COUNT), 1.2)))
    assert {one.verdict for one in found.found.values()} == {"worse"}
    words = versus.words(found.found["GET /api/health"])
    assert words.startswith("worse: p25 ")
    assert " times (1." in words
    assert blamed(found, "GET /api/health") == "proxy"


def test_one_slow_operation_is_named_and_the_others_are_the_same() -> None:
    found = versus.side_by_side(drawn(2, slower={3: 1.4}))
    worse = [name for name in GATE.names if found.found[name].verdict != "same"]
    assert worse == [GATE.names[3]]
    assert blamed(found, worse[0]) == "breakout-bot-api"
    assert found.verdict == "worse"


def test_a_slow_page_is_the_page_s_own() -> None:
    found = versus.side_by_side(drawn(3, slower={GATE.names.index("GET /"): 1.4}))
    assert blamed(found, "GET /") == "breakout-bot-frontend"


def test_errors_are_told_as_shares() -> None:
    found = versus.side_by_side(drawn(3, failing=0)).found[GATE.names[0]]
    assert "errors " in versus.words(found)
    assert "against 0.00%, +" in versus.words(found)


def test_few_requests_are_never_the_same() -> None:
    run = drawn(4)
    few = Run(run.summary, run.samples.where(run.samples.intended < 60))
    found = versus.side_by_side(few)
    assert found.found["GET /api/health"].verdict == "not enough data"
    assert found.verdict == "not enough data"


def test_a_restless_machine_is_never_the_same() -> None:
    found = versus.side_by_side(drawn(4, spread=1.5)).found["GET /api/health"]
    assert found.verdict == "not enough data"
    assert "nothing below 1." in versus.words(found)


def test_a_comparison_is_json_without_infinities() -> None:
    entry = versus.side_by_side(drawn(5)).entry()
    json.dumps(entry, allow_nan=False)
    assert entry["side_by_side"] is True
    assert set(entry["operations"]) == {*GATE.names, "run"}


def test_every_row_has_every_column() -> None:
    run = drawn(5)
    few = Run(run.summary, run.samples.where(run.samples.intended < 12))
    for found in (versus.side_by_side(run), versus.side_by_side(few)):
        assert {len(row) for row in found.rows()} == {len(versus.COLUMNS)}


# Apart


def test_an_earlier_run_is_judged_for_large_differences_only_and_says_why() -> None:
    slightly, far = (versus.apart(alone(1, factor), alone(2)) for factor in (1.3, 2.0))
    assert slightly.verdict == "same"
    assert far.verdict == "worse"
    assert "not side by side: the machine's noise did not cancel" in far.title
    told = {one.name for one in far.found["GET /api/trading/orders"].differences}
    assert told == {"p25", "p50", "p95", "errors"}


def test_an_earlier_run_on_a_calmer_machine_says_nothing() -> None:
    found = versus.apart(alone(1, 3.0, lag=4.0), alone(2))
    assert found.verdict == "not enough data"
    assert "the machine was not equally busy" in found.words("GET /api/health")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"profile": "smoke"}, "expected an earlier run of the profile gate, got one of smoke"),
        ({"baseline": WHO}, "of one stack alone, got one that compares two"),
        ({"aborted": "why"}, "that came to its end, got one that ended early: why"),
        (
            {"validity": {"valid": False, "reasons": ["slow"]}},
            "got one that was not: slow",
        ),
        ({"machine": {"host": "elsewhere", "cores": 2}}, "got one on the host elsewhere"),
    ],
)
def test_runs_that_cannot_be_compared_with_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(RunError) as raised:
        versus.require(alone(1, **change), profile.load("gate"))
    assert said in str(raised.value)
    versus.require(alone(1), profile.load("gate"))


# Versions


def test_a_commit_is_the_release_that_its_checkout_is(tmp_path: Path) -> None:
    version = earlier.find("HEAD")
    found = earlier.sources(version, tmp_path / "sources")
    assert found.revision == version.commit
    mine = release()
    assert mine.revision.endswith("-dirty") or mine == found


@pytest.mark.parametrize("word", ["no-such-branch", "", "--all", "HEAD~100000"])
def test_what_is_no_version_is_said(word: str) -> None:
    with pytest.raises(VersionError, match="expected a revision, tag or branch"):
        earlier.find(word)


def test_a_baseline_without_the_load_stage_is_refused() -> None:
    with pytest.raises(pytest.UsageError, match="expected --baseline with the load stage"):
        compared_with("HEAD", None, ("smoke",))
    assert compared_with("HEAD", None, ("smoke", "load")) == "HEAD"
