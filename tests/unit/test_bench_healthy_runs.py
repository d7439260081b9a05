"""Runs on healthy stacks: what is told of them."""

import sys
from pathlib import Path

import pytest

from tests.bench import healthy_runs, record
from tests.bench.healthy_runs import Row
from tests.faults.runs import Outcome

HEALTHY = Row("calm", "tree", "2026-11-28T14:00:00+00:00", 300.0, (), ())
ALARM = Row("contended", "tree", "2026-11-28T14:10:00+00:00", 500.0, ("a: …", "b: …"), ())
RIGHT = Row("calm", "tree", "2026-11-28T14:30:00+00:00", 400.0, ("c: …",), (), "cut requests")
UNDECIDED = Row("contended", "tree", "2026-11-28T14:20:00+00:00", 700.0, (), ("no Docker",))


def test_every_finding_is_counted() -> None:
    told = healthy_runs.table([HEALTHY, ALARM, UNDECIDED])
    assert "| nothing else at work | 1 | 0 | 0 | 0 | 300, 300, 300 |" in told
    assert "| a busy loop on every core | 2 | 0 | 2 | 1 | 600, 500, 700 |" in told
    assert "| all | 3 | 0 | 2 | 1 | 500, 300, 700 |" in told
    found = {one.name: one for one in healthy_runs.figures([HEALTHY, ALARM, UNDECIDED])}
    assert found["false alarms"].value == 2
    assert found["false alarms"].meets is False


def test_a_finding_that_was_right_is_no_alarm_and_its_stack_not_healthy() -> None:
    assert "| nothing else at work | 2 | 1 | 0 | 0 | 350, 300, 400 |" in healthy_runs.table(
        [HEALTHY, RIGHT]
    )
    found = {one.name: one.value for one in healthy_runs.figures([HEALTHY, RIGHT])}
    assert found["healthy runs"] == 1
    assert found["false alarms"] == 0
    assert found["runs that found a fault nobody had planted"] == 1


def test_a_run_that_is_held_without_a_finding_is_an_alarm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    late = "40 required checks did not run: out of time"
    verdict = {"verdict": "HOLD", "findings": [], "troubles": [], "reasons": [late]}
    monkeypatch.setattr(healthy_runs, "one", lambda *_: Outcome(1, verdict, [], "", 9.0))
    monkeypatch.setattr(healthy_runs, "REPORTS", tmp_path)
    assert healthy_runs.ran("calm", None).found == (late,)


def test_no_run_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["calm", "--runs", "0"])
    with pytest.raises(SystemExit, match="4"):
        healthy_runs.main()
    assert "expected N to be 1 or more, got 0" in capsys.readouterr().err


def test_the_published_table_is_that_of_the_rows() -> None:
    text = record.MEASURED.read_text(encoding="utf-8")
    rows = healthy_runs.kept()
    assert f"| all | {len(rows)} | " in text
    assert record.with_table(text, "calm", healthy_runs.table(rows)) == text
