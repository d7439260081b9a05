"""The kill matrix: what counts as caught, and what is proved of the checks."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from reports.checks import matches
from reports.events import FaultPlanted
from tests.bench import record
from tests.faults import matrix
from tests.faults.fault import CATALOGUE, load
from tests.faults.runs import Outcome, Result, read
from tests.unit.reports_sample import event

FAULT = load(CATALOGUE / "redis-stopped.toml")
RUNNING = "smoke.containers.is_running[redis]"
PLANTED = FaultPlanted("redis-stopped", "Redis is stopped", t=1.0)


def ran(*failed: str, first: str = "redis", trouble: str = "", planted: bool = True) -> Outcome:
    rows = [event("check", stage="smoke", check=one, outcome="failed", t=3.5) for one in failed]
    findings = [{"component": first, "check": one} for one in failed]
    verdict = {
        "verdict": "HOLD" if failed else "PROMOTE",
        "reasons": [],
        "findings": findings,
        "troubles": [{"message": trouble}] if trouble else [],
    }
    return Outcome(1, verdict, [*([PLANTED] if planted else []), *rows], "", 9.0)


def test_a_fault_is_caught_by_the_check_it_is_planted_for() -> None:
    result = read(FAULT, "smoke", ran(RUNNING))
    assert (result.outcome, result.seconds, result.right_first) == ("caught", 2.5, True)


@pytest.mark.parametrize("text", ['{"results": [{', '{"results": [{"fault": "x"}]}', "[]"])
def test_a_matrix_that_cannot_be_read_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    monkeypatch.setattr(matrix, "REPORTS", tmp_path)
    (tmp_path / "matrix.json").write_text(text, encoding="utf-8")
    assert matrix.load_external_matrix() == []
    assert "every fault is planted again" in capsys.readouterr().err


def test_another_finding_does_not_catch_it() -> None:
    assert read(FAULT, "smoke", ran("smoke.tls.certificate_lasts")).outcome == "missed"
    assert read(FAULT, "smoke", ran()).outcome == "missed"


def test_a_finding_that_blames_another_is_caught_and_not_right() -> None:
    result = read(FAULT, "smoke", ran(RUNNING, first="proxy"))
    assert result.outcome == "caught"
    assert not result.right_first


def test_a_fault_that_did_not_take_is_an_error_of_the_run() -> None:
    assert read(FAULT, "smoke", ran(trouble="no such text", planted=False)).outcome == "error"
    assert read(FAULT, "smoke", ran(RUNNING, planted=False)).outcome == "error"
    assert read(FAULT, "smoke", Outcome(3, {}, [], "crash", 1.0)).outcome == "error"


def test_figures_count_errors_as_not_caught() -> None:
    results = [read(FAULT, "smoke", ran(RUNNING)), read(FAULT, "smoke", ran(planted=False))]
    found = matrix.summary(results)
    assert (found["caught_percent"], found["errors"], found["smoke_seconds"]) == (50.0, 1, 2.5)


def test_the_published_table_is_that_of_the_rows() -> None:
    text = record.MEASURED.read_text(encoding="utf-8")
    results = matrix.rows(matrix.RESULTS)
    assert f"| all | {len(results)} | " in text
    assert record.with_table(text, "kill matrix", matrix.by_stage(results)) == text


def test_reports_show_every_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "REPORTS", tmp_path)
    missed = Result("odd<fault>", "x", "redis", [], "smoke", "missed", first="proxy")
    results = [read(FAULT, "smoke", ran(RUNNING)), missed]
    matrix.report(results)
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "redis-stopped" in page
    assert "odd&lt;fault&gt;" in page
    assert "| redis-stopped | smoke | caught |" in (tmp_path / "summary.md").read_text("utf-8")
    assert matrix.rows(tmp_path / "matrix.json") == results


def test_only_what_was_caught_with_the_right_blame_needs_no_other_try() -> None:
    assert matrix.good(read(FAULT, "smoke", ran(RUNNING)))
    assert not matrix.good(read(FAULT, "smoke", ran(RUNNING, first="proxy")))
    assert not matrix.good(None)


def test_what_is_known_of_a_fault_holds_until_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "RESULTS", tmp_path / "matrix.jsonl")
    monkeypatch.setattr(record, "MEASURED", tmp_path / "measured.md")
    record.MEASURED.write_text("<!-- kill matrix -->\n<!-- end -->\n", encoding="utf-8")
    result = read(FAULT, "smoke", ran(RUNNING))
    matrix.keep([result])
    known = matrix.rows(matrix.RESULTS)
    assert "| `smoke` | 1 | 1 (100.0 %) |" in record.MEASURED.read_text(encoding="utf-8")
    assert known == [result]
    whole = [("smoke", FAULT)]
    assert matrix.results_for_unchanged_faults(known, whole) == {("smoke", FAULT.id): result}
    assert matrix.results_for_unchanged_faults([replace(result, file="another")], whole) == {}


def test_faults_are_planned_stage_by_stage() -> None:
    faults = [load(CATALOGUE / f"{name}.toml") for name in ("watchdog-silent", "redis-stopped")]
    plan = matrix.planned(faults, None)
    assert [stage for stage, _ in plan] == ["smoke", "observability"]
    assert matrix.planned(faults, "smoke") == [("smoke", faults[1])]


def test_every_check_is_proved_or_excused_by_name() -> None:
    assert matrix.unproved() == [], "plant a fault that turns it red, then `make faults`"


def test_every_excuse_is_for_a_check() -> None:
    excused = tomllib.loads(matrix.UNPROVED.read_text(encoding="utf-8"))
    known = [*matrix.faults_by_check(()), "lifecycle.x.y", "load.x.y"]
    assert [glob for glob in excused if not any(matches(glob, one) for one in known)] == []


def test_what_was_proved_is_kept_for_faults_that_still_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "PROVED", tmp_path / "proved.toml")
    matrix.write_proved({RUNNING: ["gone", "kept"]}, ["gone", "kept"])
    matrix.write_proved({RUNNING: ["new"]}, ["kept", "new"])
    assert matrix.proved() == {RUNNING: ["new", "kept"]}
