"""Names, failures and leftovers."""

import re
import time
from pathlib import Path

import pytest

from gate import findings
from gate.checks import CheckFailed, check, described, expect, identifier, stage_of
from gate.sweep import OLD_SECONDS, Leftover, RunLock, state, to_remove


def test_a_test_has_the_name_of_its_promise() -> None:
    nodeid = "tests/smoke/test_tls.py::test_certificate_lasts[a/b.py::c]"
    assert identifier(nodeid) == "smoke.tls.certificate_lasts[a/b.py::c]"
    nodeid = "tests/bot/control/test_pause.py::test_opens_nothing"
    assert identifier(nodeid) == "bot.control.pause.opens_nothing"


@pytest.mark.parametrize("name", ["control.states.a[smoke.b]", "bot.control.pause.b"])
def test_the_stage_of_a_check_is_told_by_its_id(name: str) -> None:
    assert stage_of(name) == "control"


def test_a_stack_s_own_check_has_its_folder_in_front() -> None:
    nodeid = "tests/bot/control/test_emergency.py::test_holds[a.b]"
    assert identifier(nodeid) == "bot.control.emergency.holds[a.b]"
    assert identifier("../shop/checks/smoke/test_cart.py::test_is_kept") == (
        "checks.smoke.cart.is_kept"
    )


def test_the_stage_is_in_the_id() -> None:
    assert stage_of("smoke.tls.certificate_lasts") == "smoke"
    assert stage_of("bot.control.emergency.holds") == "control"
    assert stage_of("nonsense") == ""


SOURCES = re.compile(r"\w\.(py|tsx?)\b|\b[A-Z][a-z]+\._?[a-z]\w+|\bsrc/")
"""Source files, and members of classes: what somebody who runs a build of theirs cannot open."""


def test_a_next_step_is_taken_at_the_deployment() -> None:
    lines = findings.FILE.read_text(encoding="utf-8").splitlines()
    steps = [line for line in lines if line.startswith("- **next step**")]
    assert steps
    assert not [step for step in steps if SOURCES.search(step)]


def test_a_check_fills_in_its_parameters() -> None:
    @check("{service}", cause="c", fix="start {service}", needs=("project", "{service}"))
    def judged() -> None: ...

    found = described(judged, {"service": "redis"})
    assert found is not None
    assert (found.component, found.fix, found.needs) == (
        "redis",
        "start redis",
        ("project", "redis"),
    )


def test_an_expectation_that_fails_says_what_was_expected_and_seen() -> None:
    expect(True, "x", "y")
    with pytest.raises(CheckFailed, match="expected x, seen y"):
        expect(False, "x", "y")


def test_a_living_gate_keeps_its_stack_and_a_dead_one_loses_it(tmp_path: Path) -> None:
    lock = RunLock("a-run", tmp_path)
    left, now = Leftover("a-run", time.time()), time.time()
    assert state("a-run", tmp_path) == "alive"
    assert not to_remove(left, now, everything=True, runs=tmp_path)
    lock._file.close()  # as the kernel does when the process dies
    assert state("a-run", tmp_path) == "dead"
    assert to_remove(left, now, everything=False, runs=tmp_path)


def test_a_kept_stack_goes_only_when_asked(tmp_path: Path) -> None:
    RunLock("kept-run", tmp_path).release(keep=True)
    left, now = Leftover("kept-run", time.time()), time.time()
    assert not to_remove(left, now, everything=False, runs=tmp_path)
    assert to_remove(left, now, everything=True, runs=tmp_path)


def test_an_unknown_stack_goes_when_it_is_old(tmp_path: Path) -> None:
    now = time.time()
    assert not to_remove(Leftover("x", now - 60), now, everything=True, runs=tmp_path)
    assert to_remove(Leftover("x", now - OLD_SECONDS - 1), now, everything=False, runs=tmp_path)
