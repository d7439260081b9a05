"""The traffic model, its arrivals, what makes a run worthless, and what ends it early."""

from pathlib import Path

import numpy as np
import pytest

from gate.toml import FileError
from load import arrivals, measures, parts, profile, slo, validity
from load.abort import MARGIN, Watch
from load.judge import judge_level
from load.samples import MEASURED, RECOVERY, WARM_UP, Run, Samples, samples
from load.slo import Level

GOOD = """\
schema = 1
seed = 7
spacing = "poisson"
in_flight = 50

[[phase]]
kind = "measured"
seconds = 100
rate = 20

[[operation]]
request = "GET /a"
weight = 3

[[operation]]
request = "GET /b"
weight = 1

[[control]]
request = "POST /stop"
every = 10
offset = 5
"""
OFFERED = {
    "workers_expected": 2,
    "workers_present": 2,
    "ended": True,
    "aborted": None,
    "dropped": 0,
    "in_flight": 100,
    "peak": 60.0,
    "offered": 100.0,
    "achieved": 100.0,
    "lag_p99_ms": 1.0,
    "generator_cpu": 0.2,
}


def made(tmp_path: Path, *changes: tuple[str, str]) -> profile.Profile:
    text = GOOD
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return profile.load(str(path))


@pytest.mark.parametrize("name", ["smoke", "gate", "nightly", "soak"])
def test_our_own_profiles_are_good(name: str) -> None:
    found = profile.load(name)
    assert len(arrivals.schedule(found)) > 500
    assert any(one.request.endswith("emergency-stop") for one in found.controls)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("weight = 3", "weight = inf"), "weight: expected a number from 0.001, got inf"),
        (("seed = 7", 'seed = "7"'), ":2: seed: expected a whole number from 0, got '7'"),
        (('"poisson"', '"random"'), ":3: spacing: expected one of even, poisson, got 'random'"),
        (('kind = "measured"', 'kind = "steady"'), ":7: phase[0].kind: expected one of warm-up"),
        (("rate = 20", "rate = -1"), ":9: phase[0].rate: expected a number from 0"),
        (("GET /a", "FETCH /a"), ":12: operation[0].request: expected a method and a path"),
        (("weight = 3", "share = 3"), "weight: expected a number from 0.001, got nothing"),
        (("every = 10", "every = 0"), ":21: control[0].every: expected a number from 1, got 0"),
    ],
)
def test_bad_profiles_are_refused_with_the_line(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    with pytest.raises(FileError) as caught:
        made(tmp_path, change)
    assert said in str(caught.value)


def test_every_level_is_held_and_the_short_profile_is_too_short_for_some() -> None:
    levels, gate = slo.load(), profile.load("gate")
    held = [level for _, level in measures.held(gate.names, levels)]
    assert [level for level in levels if level not in held] == []
    for name in ("gate", "nightly", "soak"):
        assert measures.too_short_for(profile.load(name), levels) == []
    short = measures.too_short_for(profile.load("smoke"), levels)
    assert {"run recovery", "breakout-bot-api memory_growth"} < set(short)
    assert "GET /api/health p50" not in short


def test_a_profile_that_is_not_there_is_named() -> None:
    with pytest.raises(FileError, match=r"no-such\.toml"):
        profile.load("no-such")


def test_only_reads_go_to_a_live_target(tmp_path: Path) -> None:
    reading = made(tmp_path, ("GET /b", "DELETE /b")).reading()
    assert reading.names == ["GET /a"]
    with pytest.raises(FileError, match="expected a read among its operations"):
        made(tmp_path, ("GET /a", "PUT /a"), ("GET /b", "DELETE /b")).reading()


def test_arrivals_keep_rate_weights_and_order(tmp_path: Path) -> None:
    plan = arrivals.schedule(made(tmp_path))
    visits = plan.op < 2
    assert abs(np.count_nonzero(visits) - 2000) < 5 * 2000**0.5
    assert abs(np.mean(plan.op[visits] == 0) - 0.75) < 0.05
    assert np.all(np.diff(plan.intended) >= 0)
    assert plan.intended[plan.op == 2].tolist() == list(range(5, 100, 10))


def test_poisson_gaps_are_exponential_and_even_ones_equal(tmp_path: Path) -> None:
    gaps = np.diff(arrivals.schedule(made(tmp_path)).intended)
    even = arrivals.schedule(made(tmp_path, ("poisson", "even"), ("every = 10", "every = 1000")))
    assert abs(gaps.std() / gaps.mean() - 1) < 0.1
    assert np.allclose(np.diff(even.intended[even.op < 2]), 0.05)


def test_a_ramp_has_the_arrivals_of_its_middle_rate(tmp_path: Path) -> None:
    ramp = made(tmp_path, ("poisson", "even"), ("rate = 20", "rate = 0\nto = 40"))
    plan = arrivals.schedule(ramp)
    visits = plan.intended[plan.op < 2]
    assert len(visits) == 2000
    assert np.count_nonzero(visits < 50) == pytest.approx(500, abs=2)


def test_the_same_seed_gives_the_same_arrivals_and_parts_are_all_of_them(tmp_path: Path) -> None:
    one, other = (arrivals.schedule(made(tmp_path)) for _ in range(2))
    assert np.array_equal(one.intended, other.intended)
    split = [one.part(index, 3).intended for index in range(3)]
    assert np.array_equal(np.sort(np.concatenate(split)), one.intended)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"workers_present": 1}, "expected 2 generator processes to report, but 1 did"),
        ({"ended": False}, "did not come to its end"),
        ({"dropped": 3}, "3 arrivals were never sent: 100 may be under way, too few for 60"),
        ({"achieved": 90.0}, "100 arrivals a second were due, 90 were sent"),
        ({"lag_p99_ms": 80.0}, "more than 80 ms late"),
        ({"lag_p99_ms": 80.0, "aborted": "why", "achieved": 50.0}, "more than 80 ms late"),
        ({"generator_cpu": 0.97}, "97% of a core"),
    ],
)
def test_a_generator_that_was_the_ceiling_makes_a_run_invalid(
    change: dict[str, float], said: str
) -> None:
    (reason,) = validity.reasons({**OFFERED, **change})
    assert said in reason
    assert validity.reasons(OFFERED) == []
    hanging = {"dropped": 3, "in_flight": 120}
    assert validity.reasons({**OFFERED, **hanging}) == []  # enough: the target kept them waiting


def test_a_run_ends_early_only_when_a_level_is_beyond_saving() -> None:
    level = Level("GET /a", "p99", 100, upper=True, samples=10, confidence=0.99)
    watch = Watch([level], {"GET /a": 1000}, ["GET /a"])
    told = [watch.add(0, 500.0, good=True) for _ in range(10 + MARGIN + 1)]
    assert told[-2] is None
    assert "beyond saving" in (told[-1] or "")
    assert watch.add(0, 50.0, good=False) is not None


def test_a_run_does_not_end_before_the_judge_has_the_samples_that_he_needs() -> None:
    level = Level("GET /a", "p99", 100, upper=True, samples=100, confidence=0.99)
    watch = Watch([level], {"GET /a": 300}, ["GET /a"])
    told = [watch.add(0, 500.0, good=True) for _ in range(100)]
    assert told[98] is None
    assert judge_level(level, np.full(99, 500.0)).outcome == "not enough data"
    assert "beyond saving" in (told[99] or "")
    assert judge_level(level, np.full(100, 500.0)).outcome == "missed"


def phases(*rows: tuple[int, int, float]) -> Samples:
    """Phases of so many seconds at 20 arrivals a second, each with its latency in ms."""
    every = [(phase, latency) for phase, seconds, latency in rows for _ in range(20 * seconds)]
    phase, latency = zip(*every, strict=True)
    return samples(
        op=[0] * len(every),
        intended=np.arange(len(every)) / 20,
        latency_ms=latency,
        service_ms=latency,
        status=[200] * len(every),
        phase=phase,
    )


MEASURING, SPIKE = (MEASURED, 10, 10.0), (WARM_UP, 5, 900.0)


def test_recovery_counts_from_each_spike_until_it_is_calm_for_a_while() -> None:
    slow, calm = (RECOVERY, 4, 900.0), (RECOVERY, 8, 12.0)
    hiccup, moment = (RECOVERY, 1, 900.0), (RECOVERY, 2, 12.0)
    once = phases(MEASURING, SPIKE, slow, calm)
    assert measures.recovery(once).tolist() == [4.0]
    again = phases(MEASURING, SPIKE, slow, moment, hiccup, calm, hiccup)
    assert measures.recovery(again).tolist() == [7.0]
    twice = phases(MEASURING, SPIKE, calm, hiccup, SPIKE, slow, calm, SPIKE, slow)
    assert measures.recovery(twice).tolist() == [0.0, 4.0, 4.0]
    assert measures.throughput(once).tolist() == [1.0]
    assert len(measures.recovery(phases(MEASURING, SPIKE))) == 0


def test_parts_are_taken_as_they_were_written(tmp_path: Path) -> None:
    rows = [(1, 0.5, 12.0, 11.0, 200, MEASURED, 0, 6), (0, 0.7, 30.0, 29.0, 0, WARM_UP, 1, 7)]
    parts.keep(tmp_path, 0, parts.packed(rows, {"dropped": 1}))
    (part,) = parts.take(tmp_path)
    assert part.about == {"dropped": 1}
    assert part.samples.status.tolist() == [200, 0]
    assert part.samples.side.tolist() == [0, 1]
    assert part.samples.block.tolist() == [6, 7]
    assert isinstance(
        Run({"operations": ["a", "b"]}, part.samples).of("b").latency_ms[0], np.float32
    )
    assert parts.take(tmp_path) == []
