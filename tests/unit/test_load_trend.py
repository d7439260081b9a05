"""The history of load runs, and the changes that the trend page shows."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from load import history, trend
from load.samples import MEASURED, Run, samples

SUMMARY = {
    "profile": "gate",
    "started": "2026-01-01T00:00:00+00:00",
    "seconds": 10,
    "version": "1.0",
    "revision": "abc",
    "machine": {"host": "here"},
    "offered": 20.0,
    "achieved": 20.0,
    "aborted": None,
    "validity": {"valid": True, "reasons": []},
    "operations": ["GET /a"],
}


def run(middle: float, seed: int, started: str = "2026-01-01") -> Run:
    latency = np.random.default_rng(seed).lognormal(np.log(middle), 0.3, 500)
    columns = samples(
        op=[0] * 500,
        intended=np.arange(500) / 50,
        latency_ms=latency,
        service_ms=latency,
        status=[200] * 499 + [500],
        phase=[MEASURED] * 500,
    )
    return Run({**SUMMARY, "started": started}, columns)


def test_a_change_is_found_where_it_was_made_and_none_in_noise() -> None:
    random = np.random.default_rng(1)
    noise = [random.lognormal(3, 0.1, 30) for _ in range(40)]
    assert sum(bool(trend.change_points(one.tolist())) for one in noise) <= 1
    steps = [np.concatenate([one[:15], one[15:] * 1.5]) for one in noise]
    found = [trend.change_points(one.tolist()) for one in steps]
    assert sum(len(one) == 1 and abs(one[0] - 15) <= 1 for one in found) >= 38


def test_histories_of_two_machines_are_joined(tmp_path: Path) -> None:
    one, other, both = (tmp_path / f"{name}.jsonl" for name in ("one", "other", "both"))
    history.append(one, "b", run(10, 1, "2026-01-02"))
    history.append(other, "a", run(10, 2, "2026-01-01"))
    history.append(other, "b", run(10, 1, "2026-01-02"))
    both.write_text(one.read_text() + other.read_text())
    found = history.read(both)
    assert [line["run"] for line in found] == ["a", "b"]
    measured = found[0]["operations"]["GET /a"]
    assert (measured["samples"], measured["errors"]) == (500, 1)
    value, low, high = measured["p95"]
    assert low < value < high


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "of JSON"),
        ("[]", "a run with schema 1"),
        ('{"schema": 1, "run": "b", "profile": "gate"}', "started, "),
    ],
)
def test_a_line_that_is_no_run_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "history.jsonl"
    history.append(path, "a", run(10, 1))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(history.HistoryError, match=rf"history\.jsonl:2: expected .*{said}"):
        history.read(path)


def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history.append(path, "a", run(10, 1))
    path.write_bytes(path.read_bytes()[:-40])
    history.append(path, "b", run(10, 2))
    assert json.loads(path.read_text().splitlines()[-1])["run"] == "b"


def test_the_page_says_what_changed_and_needs_no_network(tmp_path: Path) -> None:
    entries = [
        json.loads(
            json.dumps(history.entry(str(n), run(10 if n < 11 else 30, n, f"2026-01-{n:02}")))
        )
        for n in range(1, 21)
    ]
    page = trend.write(entries, tmp_path).read_text("utf-8")
    assert "2026-01-11" in page
    assert "http://" not in page
    assert (tmp_path / "trend-GET--a---gate-on-here.png").stat().st_size > 10_000


def test_only_runs_of_one_profile_on_one_machine_are_held_against_each_other(
    tmp_path: Path,
) -> None:
    middles = [10] * 10 + [30] * 10
    every = [history.entry(f"{n}", run(middle, n, f"{n:02}")) for n, middle in enumerate(middles)]
    every[:10] = [{**one, "profile": "nightly"} for one in every[:10]]
    page = trend.write(every, tmp_path).read_text("utf-8")
    assert page.count("No change for good.") == 2
    assert "GET /a · nightly on here" in page


def test_a_change_is_told_from_what_lies_beside_it_and_runs_without_answers_say_nothing(
    tmp_path: Path,
) -> None:
    middles = [10] * 10 + [40] * 10 + [90] * 10
    every = [history.entry(f"{n}", run(middle, n, f"{n:02}")) for n, middle in enumerate(middles)]
    silent = history.entry("none", run(10, 1, "05"))
    silent["operations"]["GET /a"]["p99"] = [None, None, None]
    page = trend.write([*every[:6], silent, *every[6:]], tmp_path).read_text("utf-8")
    rows = [row.split(" → ") for row in re.findall(r"[\d.]+ → [\d.]+", page)]
    (first, second), (again, third) = ([float(word) for word in row] for row in rows)
    assert second > 3 * first
    assert again == second < third / 2
