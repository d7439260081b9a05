"""What runs beside the rest of a run, and what becomes of its results."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gate.sidecar import Sidecar, chosen, ordered
from reports.events import CheckResult, Phase, RunFinished, Trouble
from reports.redact import Redactor
from reports.stream import Stream
from tests.unit.reports_sample import event


def items(*nodes: str) -> list[Any]:
    return [SimpleNamespace(nodeid=node, fixturenames=FIXTURES.get(node, [])) for node in nodes]


CONTROL = "tests/control/test_pause.py::test_a"
UPDATE = "tests/lifecycle/test_update.py::test_b"
BACKUP = "tests/lifecycle/test_backup.py::test_c"
SMOKE = "tests/smoke/test_tls.py::test_d"
LOAD = "tests/load/test_levels.py::test_e"
CERTIFICATES = "tests/lifecycle/test_certificates.py::test_f"
FIXTURES = {UPDATE: ["deployment"], BACKUP: ["deployment"], CERTIFICATES: ["operator"]}


def test_what_waits_runs_beside_the_others() -> None:
    assert chosen(items(SMOKE, CONTROL, BACKUP, UPDATE, LOAD)) == (BACKUP, UPDATE)


def test_what_has_nothing_beside_it_runs_as_always() -> None:
    assert chosen(items(SMOKE, BACKUP, UPDATE)) == ()
    assert chosen(items(SMOKE, CONTROL)) == ()


def test_results_are_taken_over_before_load() -> None:
    every = items(SMOKE, BACKUP, UPDATE, CONTROL, LOAD)
    turns = [item.nodeid for item in ordered(every, chosen(every))]
    assert turns == [SMOKE, CONTROL, BACKUP, UPDATE, LOAD]


def test_what_is_of_the_run_s_own_stack_stays_with_it() -> None:
    every = items(SMOKE, CONTROL, CERTIFICATES, UPDATE, LOAD)
    assert chosen(every) == (UPDATE,)
    turns = [item.nodeid for item in ordered(every, chosen(every))]
    assert turns == [SMOKE, CONTROL, CERTIFICATES, UPDATE, LOAD]


def sidecar(folder: Path) -> Sidecar:
    one = Sidecar("control", ["tests/control/test_none.py::test_none"], folder, [], 7.0)
    one.join()
    return one


def test_one_that_judges_nothing_is_trouble(tmp_path: Path) -> None:
    (trouble,) = sidecar(tmp_path).events()
    assert isinstance(trouble, Trouble)
    assert trouble.message == "the gate of control ended with 4"
    assert "test_none" in str(trouble.seen)
    assert trouble.next_step == "run `pytest -m control` by itself"


def test_checks_times_and_logs_are_taken_over(tmp_path: Path) -> None:
    one = sidecar(tmp_path)
    runs = tmp_path / "sidecar" / "control" / "runs"
    shutil.rmtree(runs)
    stream = Stream(runs / "a", Redactor())
    stream.emit(Phase("set-up", started=0.0, seconds=2.0))
    stream.emit(Phase("control", started=2.0, seconds=3.0))
    stream.emit(event("check", check="control.pause.a", outcome="passed"))
    stream.emit(RunFinished(pytest_exit=0, seconds=5.0))
    stream.attach("api.log", "words")
    phase, check = one.events()
    assert isinstance(phase, Phase)
    assert (phase.name, phase.started, phase.seconds) == ("control", 9.0, 3.0)
    assert isinstance(check, CheckResult)
    assert check.check == "control.pause.a"
    assert list(one.logs()) == [("control-api.log", "words")]


def test_its_news_are_read_once_and_in_whole_lines(tmp_path: Path) -> None:
    one = sidecar(tmp_path)
    shutil.rmtree(tmp_path / "sidecar")
    assert one.new_events() == []
    stream = Stream(tmp_path / "sidecar" / "control" / "runs" / "r1", Redactor())
    stream.emit(event("check", check="control.a.b", outcome="passed"))
    half = b'{"kind":"check","t":1.0,"check":"control.a.'
    path = stream.folder / "events.jsonl"
    with path.open("ab") as file:
        file.write(half)
    assert [seen.check for seen in one.new_events() if isinstance(seen, CheckResult)] == [
        "control.a.b"
    ]
    assert one.new_events() == []
    with path.open("ab") as file:
        file.write(b'c","outcome":"failed"}\n')
    assert [seen.check for seen in one.new_events() if isinstance(seen, CheckResult)] == [
        "control.a.c"
    ]
    stream.close()
