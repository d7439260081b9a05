"""Which checks get their turn, in what order, and why others do not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gate import sidecar
from gate.budgets import WHOLE, Budgets
from gate.manifest import Manifest
from gate.options import Options
from gate.recorder import Recorder
from gate.schedule import Schedule
from gate.stages import STAGES
from tests.unit import fakes
from tests.unit.fakes import DISPOSABLE, LIVE, Planted, call, events, item, options, recorder

SMOKE = "tests/smoke/test_tls.py::test_lasts[a]"
HEALTH = "tests/smoke/test_health.py::test_is_healthy"
CONTROL = "tests/control/test_states.py::test_a"
PAUSE = "tests/bot/control/test_pause.py::test_b"
UI = "tests/ui/test_page.py::test_c"
UPDATE = "tests/lifecycle/test_update.py::test_b"
BACKUP = "tests/lifecycle/test_backup.py::test_c"
LOAD = "tests/load/test_levels.py::test_e"
NO_PROBLEMS: dict[str, Any] = {}
PROBLEMS: dict[str, Any] = {"redis": SimpleNamespace(service="redis", seen="exited with code 1")}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def manifest(**checks: dict[str, tuple[str, ...]]) -> Manifest:
    return {stage: checks.get(stage, {}) for stage in STAGES}


class Run:
    """A schedule with what it works with."""

    def __init__(self, folder: Path, asked: Options | None = None, **checks: Any) -> None:
        self.recorder: Recorder = recorder(folder)
        self.clock = Clock()
        self.sidecars: list[fakes.Sidecar] = []
        self.schedule = Schedule(
            asked or options(folder, stages=tuple(STAGES)),
            self.recorder,
            manifest(**checks),
            Budgets({WHOLE: 100.0, **dict.fromkeys(STAGES, 10.0)}, self.clock),
            self.start,
        )

    def start(self, *words: Any) -> Any:
        self.sidecars.append(fakes.Sidecar(*words))
        return self.sidecars[-1]

    def collect(self, *nodes: str) -> list[Any]:
        items = [item(node) for node in nodes]
        self.schedule.collect(items)
        return items

    def begin(self, one: Any, problems: dict[str, Any] = NO_PROBLEMS) -> str | None:
        return self.schedule.begin(one, problems)

    def fail(self, one: Any) -> None:
        self.recorder.take_result(self.schedule.planned(one), call(error=AssertionError()))

    @property
    def phases(self) -> list[str]:
        return [event["name"] for event in events(self.recorder, "phase")]


def turns(items: list[Any]) -> list[str]:
    return [one.nodeid for one in items]


def told_of(of: Recorder, name: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What a method of the recorder is called with from now on."""
    told: list[tuple[str, ...]] = []
    method = getattr(of, name)

    def note(*words: str) -> Any:
        told.append(words)
        return method(*words)

    monkeypatch.setattr(of, name, note)
    return told


# Collecting


def test_checks_run_in_the_order_of_the_stages(tmp_path: Path) -> None:
    run = Run(tmp_path)
    items = [item("tests/unit/test_x.py::test_y", is_check=False)]
    items += [item(node) for node in (LOAD, PAUSE, UI, CONTROL, SMOKE)]
    run.schedule.collect(items)
    assert turns(items) == [SMOKE, PAUSE, CONTROL, UI, LOAD]


def test_what_is_no_test_function_is_no_check(tmp_path: Path) -> None:
    items = [item(SMOKE), SimpleNamespace(nodeid="README.md::README.md", name="README.md")]
    Run(tmp_path).schedule.collect(items)
    assert turns(items) == [SMOKE]


def test_a_test_among_checks_that_is_none_is_refused(tmp_path: Path) -> None:
    items = [item(SMOKE), item("tests/bot/smoke/test_x.py::test_y", is_check=False)]
    with pytest.raises(pytest.UsageError, match=r"got tests/bot/smoke/test_x.py::test_y without"):
        Run(tmp_path).schedule.collect(items)


def test_a_check_is_known_by_its_id_and_title(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (one,) = run.collect(SMOKE)
    planned = run.schedule.planned(one)
    assert (planned.identifier, planned.title) == ("smoke.tls.lasts[a]", "lasts (a)")
    (other,) = run.collect(PAUSE)
    planned = run.schedule.planned(other)
    assert (planned.identifier, planned.stage) == ("bot.control.pause.b", "control")
    assert planned.title == "b"


def test_a_check_knows_its_parameters(tmp_path: Path) -> None:
    run = Run(tmp_path)
    items = [item(SMOKE, component="{service}", service="redis")]
    run.schedule.collect(items)
    assert run.schedule.planned(items[0]).check.component == "redis"


def wanted(folder: Path, expects: Callable[[str], bool] | None) -> Options:
    return options(folder, stages=tuple(STAGES), extensions=(Planted(wanted=expects),))


def test_a_stage_begins_with_the_files_of_the_checks_that_the_run_is_for(tmp_path: Path) -> None:
    run = Run(tmp_path, wanted(tmp_path, lambda check: check == "smoke.health.is_healthy"))
    other = HEALTH.replace("is_healthy", "reaches")
    assert turns(run.collect(CONTROL, SMOKE, other, HEALTH)) == [other, HEALTH, SMOKE, CONTROL]


def test_without_such_a_wish_files_keep_their_order(tmp_path: Path) -> None:
    run = Run(tmp_path, wanted(tmp_path, None))
    assert turns(run.collect(SMOKE, HEALTH)) == [SMOKE, HEALTH]


def test_every_stage_is_told_of_but_for_an_asked_one_without_checks(tmp_path: Path) -> None:
    asked = options(tmp_path, stages=("smoke", "ui"))
    run = Run(tmp_path, asked, smoke={"smoke.tls.lasts[a]": ()}, load={"load.levels.e": ()})
    assert run.schedule.stages == {
        "smoke": True,
        **dict.fromkeys(("control", "observability", "contract", "lifecycle", "load"), False),
    }


def test_the_checks_on_disk_and_the_budgets_of_the_table_are_the_rule(tmp_path: Path) -> None:
    schedule = Schedule(options(tmp_path), recorder(tmp_path))
    assert schedule.stages["smoke"]
    items = [item(SMOKE)]
    schedule.collect(items)
    assert schedule.begin(items[0], {}) is None


# What is required


def test_what_the_target_has_and_options_give_decides_what_is_required(tmp_path: Path) -> None:
    asked = options(tmp_path, extensions=(Planted(),), waivers={"a": "because"})
    needs = {"a": ("proxy",), "b": ("baseline",), "c": ("direct:redis",)}
    run = Run(tmp_path, asked, smoke=needs, ui={"d": ()})
    run.schedule.require(DISPOSABLE)
    required, waiver = events(run.recorder)
    assert (required["stage"], required["checks"]) == ("smoke", ["a", "b"])
    assert (waiver["check"], waiver["reason"]) == ("a", "because")


def test_what_this_machine_cannot_have_is_required_and_waived_by_name(tmp_path: Path) -> None:
    target = replace(DISPOSABLE, unavailable={"grafana": "no image"})
    needs = {"a": ("grafana",), "b": ("direct:grafana",), "c": ("proxy",)}
    run = Run(tmp_path, options(tmp_path, waivers={"b": "mine"}), smoke=needs)
    run.schedule.require(target)
    required, *waivers = events(run.recorder)
    assert required["checks"] == ["a", "b", "c"]
    assert [(one["check"], one["reason"]) for one in waivers] == [("a", "no image"), ("b", "mine")]


def test_what_cannot_run_is_dropped_and_says_why(tmp_path: Path) -> None:
    target = replace(LIVE, unavailable={"grafana": "no image"})
    asked = options(tmp_path, LIVE, waivers={"smoke.a.waived": "because"})
    run = Run(tmp_path, asked)
    items = [
        item("tests/smoke/test_a.py::test_runs"),
        item("tests/smoke/test_a.py::test_waived"),
        item("tests/smoke/test_a.py::test_disposable", needs=("disposable",)),
        item("tests/smoke/test_a.py::test_grafana", needs=("direct:grafana",)),
        item("tests/smoke/test_a.py::test_panel", needs=("grafana", "disposable")),
    ]
    run.schedule.collect(items)
    run.schedule.drop_what_cannot_run(items, target)
    assert [one.name for one in items] == ["test_runs"]
    assert {one["check"]: one["reason"] for one in events(run.recorder, "check")} == {
        "smoke.a.waived": "waived: because",
        "smoke.a.disposable": "it changes the stack, so it runs on a disposable one only",
        "smoke.a.grafana": "no image",
        "smoke.a.panel": "no image",
    }


def test_a_need_that_an_option_meets_is_met(tmp_path: Path) -> None:
    run = Run(tmp_path, options(tmp_path, extensions=(Planted(),)))
    items = [item(SMOKE, needs=("baseline",))]
    run.schedule.collect(items)
    run.schedule.drop_what_cannot_run(items, DISPOSABLE)
    assert turns(items) == [SMOKE]


def test_a_browser_is_needed_for_checks_of_a_page_that_are_not_waived(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.schedule.needs_browser(run.collect(SMOKE, UI))
    assert not run.schedule.needs_browser(run.collect(SMOKE))
    run = Run(tmp_path, options(tmp_path, waivers={"ui.page.c": "because"}))
    assert not run.schedule.needs_browser(run.collect(SMOKE, UI))


def test_a_stack_is_needed_by_checks_that_look_at_it(tmp_path: Path) -> None:
    schedule = Run(tmp_path).schedule
    assert schedule.needs_the_stack([item(UPDATE), item(SMOKE, "seen")])
    assert not schedule.needs_the_stack([item(UPDATE, "deployment")])


def test_what_the_command_line_left_out_did_not_run(tmp_path: Path) -> None:
    run = Run(tmp_path, options(tmp_path, stages=("smoke",)))
    run.schedule.deselect([item(SMOKE), item(CONTROL)])
    run.schedule.end()
    (event,) = events(run.recorder)
    assert (event["check"], event["outcome"]) == ("smoke.tls.lasts[a]", "not_run")
    assert event["reason"] == "left out by -k or --deselect"


# Turns


def test_stages_are_timed_one_after_the_other(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for one in run.collect(SMOKE, HEALTH, CONTROL, PAUSE):
        assert run.begin(one) is None
    assert run.phases == ["smoke"]
    run.schedule.end()
    run.schedule.end()
    assert run.phases == ["smoke", "control"]


def test_a_long_stage_is_shown_with_its_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    shown = told_of(run.recorder, "phase", monkeypatch)
    run.begin(run.collect(CONTROL)[0])
    assert shown == [("control", "control: do the engine's commands do what they say")]
    run.schedule.end()


def test_a_stack_that_failed_smoke_gets_no_more_work_and_smoke_goes_on(tmp_path: Path) -> None:
    run = Run(tmp_path)
    first, second, control = run.collect(SMOKE, HEALTH, CONTROL)
    assert run.begin(first) is None
    run.fail(first)
    assert run.begin(second) is None
    assert run.begin(control) == "smoke failed: a broken stack is given no more work"
    run.schedule.end()
    assert run.phases == ["smoke", "control"]


def test_a_stack_that_did_not_come_up_is_looked_at_and_gets_no_work(tmp_path: Path) -> None:
    run = Run(tmp_path)
    smoke, control = run.collect(SMOKE, CONTROL)
    assert run.begin(smoke, PROBLEMS) is None
    reason = "the stack did not come up (redis: exited with code 1)"
    assert run.begin(control, PROBLEMS) == reason
    run.schedule.end()


def test_failures_of_a_later_stage_hold_nothing_back(tmp_path: Path) -> None:
    run = Run(tmp_path)
    control, page = run.collect(CONTROL, UI)
    assert run.begin(control) is None
    run.fail(control)
    assert run.begin(page) is None
    run.schedule.end()


def test_a_stage_without_time_gets_no_more_turns(tmp_path: Path) -> None:
    run = Run(tmp_path)
    first, second, control = run.collect(SMOKE, HEALTH, CONTROL)
    assert run.begin(first) is None
    run.clock.now = 11.0
    assert str(run.begin(second)).startswith("out of time: the stage smoke has 10 s")
    assert run.begin(control) is None
    run.schedule.end()


def test_a_stage_that_has_found_what_the_run_is_for_ends(tmp_path: Path) -> None:
    run = Run(tmp_path, wanted(tmp_path, lambda check: check.startswith("smoke.tls")))
    found, same_file, other = run.collect(SMOKE, SMOKE.replace("[a]", "[b]"), HEALTH)
    assert run.begin(found) is None
    assert run.begin(other) is None
    run.fail(found)
    assert run.begin(same_file) is None
    assert run.begin(other) == "the planted fault is found: --until-caught asks for no more"
    run.schedule.end()


def test_another_failure_ends_no_stage(tmp_path: Path) -> None:
    run = Run(tmp_path, wanted(tmp_path, lambda check: check.startswith("smoke.tls")))
    tls, health, more = run.collect(SMOKE, HEALTH, HEALTH.replace("is_healthy", "reaches"))
    run.fail(health)
    assert run.begin(more) is None
    run.fail(tls)
    assert run.begin(more) is not None
    run.schedule.end()


# A gate beside this one


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecar, "is_possible", lambda: True)


def shared(run: Run, *nodes: str) -> list[Any]:
    items = run.collect(*nodes)
    run.schedule.share(items)
    return items


@pytest.mark.usefixtures("room")
def test_what_waits_runs_beside_the_others_once_smoke_has_passed(tmp_path: Path) -> None:
    asked = options(tmp_path, stages=tuple(STAGES), compose_files=(Path("more.yaml"),))
    run = Run(tmp_path, asked)
    smoke, control, backup, update, load = shared(run, SMOKE, CONTROL, BACKUP, UPDATE, LOAD)
    assert run.begin(smoke) is None
    assert not run.sidecars
    assert run.begin(control) is None
    (other,) = run.sidecars
    assert (other.stage, other.nodes) == ("lifecycle", (BACKUP, UPDATE))
    assert other.folder == run.recorder.folder
    assert 0 <= other.now < 5
    assert other.options == ["--target=disposable", "--compose-file=more.yaml"]
    assert not other.calls
    assert not run.schedule.is_of_sidecar(smoke)
    assert run.schedule.is_of_sidecar(update)
    for one in (backup, update):
        assert run.begin(one) == "it ran in the gate of lifecycle"
    assert other.calls == ["join"]
    assert run.phases == ["smoke", "control"]
    assert run.recorder.failed == ["lifecycle.update.b"]
    assert [one["check"] for one in events(run.recorder, "check")] == ["lifecycle.update.b"]
    assert (run.recorder.folder / "logs" / "lifecycle-api.log").exists()
    assert run.begin(load) is None
    run.schedule.end()
    assert other.calls == ["join", "stop"]
    assert len(run.sidecars) == 1


@pytest.mark.usefixtures("room")
def test_a_stage_that_goes_on_after_the_other_gate_is_timed_again(tmp_path: Path) -> None:
    run = Run(tmp_path)
    smoke, control, backup = shared(run, SMOKE, CONTROL, BACKUP)
    for one in (smoke, control, backup, control):
        run.begin(one)
    run.schedule.end()
    assert run.phases == ["smoke", "control", "control"]


@pytest.mark.usefixtures("room")
def test_waiting_for_the_other_gate_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    _, control, backup = shared(run, SMOKE, CONTROL, BACKUP)
    run.begin(control)
    shown = told_of(run.recorder, "step", monkeypatch)
    run.begin(backup)
    assert shown == [("lifecycle, which runs beside the others", "lifecycle")]
    run.schedule.end()


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("problems", [NO_PROBLEMS, PROBLEMS])
def test_a_broken_stack_gets_no_second_gate_beside_it(
    tmp_path: Path, problems: dict[str, Any]
) -> None:
    run = Run(tmp_path)
    smoke, control, backup = shared(run, SMOKE, CONTROL, BACKUP)
    if not problems:
        run.fail(smoke)
    assert run.begin(control, problems) is not None
    assert "broken stack" in str(run.begin(backup, problems)) or problems
    assert not run.sidecars
    assert not run.schedule.is_of_sidecar(backup)
    run.schedule.end()


def test_one_core_runs_everything_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecar, "is_possible", lambda: False)
    run = Run(tmp_path)
    for one in shared(run, SMOKE, CONTROL, BACKUP, LOAD):
        assert run.begin(one) is None
    assert not run.sidecars
    run.schedule.end()


@pytest.mark.usefixtures("room")
def test_checks_of_the_second_gate_come_after_all_but_load(tmp_path: Path) -> None:
    run = Run(tmp_path)
    own = item("tests/lifecycle/test_certificates.py::test_f", "operator")
    items = [item(SMOKE), item(UPDATE), own, item(LOAD)]
    run.schedule.collect(items)
    run.schedule.share(items)
    assert turns(items) == [SMOKE, own.nodeid, UPDATE, LOAD]
