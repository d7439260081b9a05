"""A run always ends with its reports, whatever else fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from reports import __main__ as command
from reports import write
from reports.events import Event, Trouble
from reports.redact import Redactor
from reports.stream import FILE, Stream
from reports.verdict import judge
from tests.unit.reports_sample import HOLD, PROMOTE, UNDECIDED

ROOT = Path(__file__).parents[2]
ALL = ("verdict.json", "verdict.schema.json", "index.html", "junit.xml", "summary.md")


def make_run(reports: Path, name: str, events: list[Event], age: float = 0) -> Path:
    folder = reports / "runs" / name
    stream = Stream(folder, Redactor())
    for each in events:
        stream.emit(each)
    stream.close()
    made = (folder / FILE).stat().st_mtime - age
    os.utime(folder / FILE, (made, made))
    return folder


def verdict_of(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "verdict.json").read_text(encoding="utf-8")))


def test_finish_writes_every_format(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "r1", PROMOTE)
    verdict = write.finish(folder)
    assert verdict["verdict"] == "PROMOTE"
    assert all((folder / name).stat().st_size for name in ALL)
    assert verdict_of(folder) == verdict
    schema = json.loads((folder / "verdict.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(verdict_of(folder), schema)


def test_a_writer_that_fails_stops_no_other_and_does_not_promote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setitem(write.WRITERS, "junit.xml", broken)
    folder = make_run(tmp_path, "r1", PROMOTE)
    verdict = write.finish(folder)
    assert (verdict["verdict"], verdict["exit_code"]) == ("UNDECIDED", 6)
    assert "junit.xml could not be written" in verdict["troubles"][0]["message"]
    assert "UNDECIDED" in (folder / "index.html").read_text(encoding="utf-8")
    assert "junit.xml could not be written" in capsys.readouterr().err


def test_latest_leads_to_the_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "r1", PROMOTE)
    write.finish(folder)
    assert (tmp_path / "latest").readlink() == Path("runs/r1")
    assert (tmp_path / "latest" / "index.html").is_file()


def test_latest_moves_on_and_never_back(tmp_path: Path) -> None:
    old = make_run(tmp_path, "old", PROMOTE, age=60)
    write.finish(old)
    write.finish(make_run(tmp_path, "new", HOLD))
    write.finish(old)
    assert (tmp_path / "latest").resolve().name == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "runs"]


def test_a_latest_that_leads_nowhere_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("runs/gone")
    write.finish(make_run(tmp_path, "r1", PROMOTE))
    assert (tmp_path / "latest").resolve().name == "r1"


def test_a_folder_in_the_place_of_latest_is_told_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latest").mkdir()
    verdict = write.finish(make_run(tmp_path, "r1", PROMOTE))
    assert verdict["verdict"] == "PROMOTE"
    assert "could not be pointed at this run" in capsys.readouterr().err
    assert (tmp_path / "latest").is_dir()
    assert not list(tmp_path.glob(".latest*"))


@pytest.mark.parametrize("written", [True, False])
def test_what_the_disk_did_not_take_counts(tmp_path: Path, written: bool) -> None:
    folder = make_run(tmp_path, "r1", PROMOTE[:2])
    if not written:
        (folder / FILE).unlink()
    lost = [*PROMOTE[2 if written else 0 :], Trouble("the results could not be written")]
    verdict = write.finish(folder, lost)
    assert (verdict["verdict"], verdict["exit_code"]) == ("UNDECIDED", 6)
    assert verdict["checks"]["passed"] == judge(PROMOTE)["checks"]["passed"]
    assert verdict["run_id"]


def test_a_latest_that_cannot_be_moved_on_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write.finish(make_run(tmp_path, "old", PROMOTE, age=60))

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "symlink_to", full)
    write.finish(make_run(tmp_path, "new", HOLD))
    assert not (tmp_path / "latest").is_symlink()


def test_no_link_is_made_for_a_folder_elsewhere(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "r1", PROMOTE).rename(tmp_path / "moved")
    write.finish(folder)
    assert not (tmp_path / "latest").exists()


def python_m_reports(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reports", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_the_reports_of_a_killed_run_can_be_written(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "r1", UNDECIDED)
    with (folder / FILE).open("ab") as file:
        file.write(b'{"kind":"che')
    done = python_m_reports("r1", "--report-dir", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 6, done.stderr
    assert "the run did not finish" in done.stdout
    assert " UNDECIDED " in done.stdout
    assert (tmp_path / "latest" / "index.html").is_file()


@pytest.mark.parametrize("run", ["r1", "latest", "runs/r1"])
def test_a_run_is_named_by_its_id_its_path_or_latest(
    tmp_path: Path, run: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write.finish(make_run(tmp_path, "r1", HOLD))
    assert command.main([run, "--report-dir", str(tmp_path)]) == 1
    assert " HOLD " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "One run is needed and 0 arguments were given"),
        (["a", "b"], "One run is needed and 2 arguments were given"),
        (["nothing-like-that"], "There is no run 'nothing-like-that'"),
        (["--help"], "usage: python -m reports RUN"),
    ],
)
def test_a_bad_argument_is_one_sentence_and_exit_code_4(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, "r1", PROMOTE)
    assert command.main([*arguments, "--report-dir", str(tmp_path)]) == 4
    told = capsys.readouterr().err
    assert says in told
    assert told.count("\n") == 1


def test_starting_a_run_imports_neither_jinja2_nor_the_rest_of_the_suite() -> None:
    code = (
        "import sys, reports.write, reports.terminal, reports.stream, reports.progress; "
        "bad = {'jinja2', 'pytest', 'jsonschema', 'tests', 'compose', 'argparse'}; "
        "sys.exit(', '.join(bad & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr.strip() == ""
