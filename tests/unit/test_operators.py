"""The runner of `make operators` tells how a row ended and what it left behind."""

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from gate import sweep
from gate.checks import expect
from gate.sweep import Leftover
from tests.operators import __main__ as operators
from tests.operators import leftovers
from tests.operators.forwarder import listening
from tests.operators.place import NotToBeHad, Place
from tests.operators.rows import ROWS, Row


@pytest.fixture(autouse=True)
def _no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "leftovers", list)


def outcome(function, is_cheap: bool = True) -> operators.Outcome:  # type: ignore[no-untyped-def]
    return operators.judge(Row("a-row", "be seen", function), is_cheap)


def passes(_: Place) -> None:
    pass


def fails(_: Place) -> None:
    expect(False, "the right revision", "another")


def is_missing(_: Place) -> None:
    raise NotToBeHad("no Python 9.9 on this machine")


def crashes(_: Place) -> None:
    raise FileNotFoundError("docker")


def test_a_row_that_fails_says_what_was_expected_and_seen() -> None:
    row = outcome(fails)
    assert row.end == "failed"
    assert "be seen" in row.reason
    assert "the right revision" in row.reason


def test_a_row_whose_program_is_missing_fails_and_the_next_one_runs() -> None:
    rows = [Row("one", "run", crashes), Row("two", "run", passes)]
    lines = list[str]()
    ends = [one.end for one in operators.run_rows(rows, True, lines.append)]
    assert ends == ["failed", "passed"]
    assert lines[-1] == "1 passed, 1 failed"


@pytest.mark.parametrize(
    ("functions", "code"),
    [
        ([passes, passes], 0),
        ([passes, is_missing], 6),
        ([is_missing, fails], 1),
    ],
)
def test_what_is_not_to_be_had_is_listed_and_never_green(functions, code: int) -> None:  # type: ignore[no-untyped-def]
    lines = list[str]()
    rows = [Row(f"row-{number}", "run", one) for number, one in enumerate(functions)]
    assert operators.exit_code(operators.run_rows(rows, True, lines.append)) == code
    missing = [line for line in lines if "not to be had: no Python 9.9" in line]
    assert len(missing) == functions.count(is_missing)


def test_a_process_that_a_row_leaves_is_told_and_ended(tmp_path: Path) -> None:
    told = tmp_path / "pid"

    def leaves(_: Place) -> None:
        script = f"setsid sleep 300 >/dev/null 2>&1 & echo $! >{told}"
        subprocess.run(["sh", "-c", script], check=True)

    row = outcome(leaves)
    assert row.end == "failed"
    assert "left behind: the process" in row.reason
    assert not Path(f"/proc/{told.read_text().strip()}").exists()


def test_processes_that_were_there_before_are_left_alone() -> None:
    with subprocess.Popen(["sleep", "300"]) as mine:
        try:
            assert outcome(passes).end == "passed"
            assert mine.poll() is None
        finally:
            mine.kill()


def test_containers_that_a_row_leaves_are_told_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    removed = list[str]()
    monkeypatch.setattr(sweep, "remove", removed.append)
    found = [Leftover("of-the-row", 0.0), Leftover("of-another-gate", 0.0)]
    monkeypatch.setattr(sweep, "leftovers", lambda: found)

    def leaves(where: Place) -> None:
        (where.folder / "checkout" / "reports" / "runs" / "of-the-row").mkdir(parents=True)

    row = outcome(leaves)
    assert row.end == "failed"
    assert "containers of run of-the-row" in row.reason
    assert removed == ["of-the-row"]


def test_what_is_written_to_the_home_is_told_but_for_caches() -> None:
    def writes(where: Place) -> None:
        (where.home / ".cache").mkdir()
        (where.home / ".cache" / "kept.json").touch()
        (where.home / "astray.txt").touch()

    assert outcome(writes).reason == "left behind: in the home astray.txt"


def test_the_place_of_a_row_goes_with_it() -> None:
    places = list[Path]()
    outcome(lambda where: places.append(where.folder))
    assert not places[0].exists()


def test_every_row_has_a_name_of_its_own_and_a_promise() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.promise[0].islower() and row.promise[-1] != "." for row in ROWS)


def test_a_row_that_nobody_knows_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["operators", "nonsense"])
    with pytest.raises(SystemExit) as ended:
        operators.main()
    assert ended.value.code == 4
    assert "got nonsense" in capsys.readouterr().err


def test_the_silent_proxy_counts_who_comes() -> None:
    with listening(None) as silent:
        proxy = urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{silent.port}"})
        with pytest.raises(OSError, match="timed out"):
            urllib.request.build_opener(proxy).open("http://example.test", timeout=0.2)
        deadline = time.monotonic() + 5
        while not silent.count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert silent.count == 1


def test_a_row_gets_little_of_the_callers_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GIT_DIR", "HTTPS_PROXY", "PYTHONPATH", "GATE_TARGET"):
        monkeypatch.setenv(name, "astray")
    given = Place(tmp_path, True).environment()
    assert "astray" not in given.values()
    assert given["HOME"] == str(tmp_path / "home")


def test_children_are_found_by_their_parents() -> None:
    with subprocess.Popen(["sleep", "300"]) as mine:
        try:
            assert leftovers.children()[mine.pid] == "sleep 300"
        finally:
            mine.kill()
