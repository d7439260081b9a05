"""The rules of the verdict, one promise a test."""

from __future__ import annotations

from typing import Any

import pytest

from reports.checks import matches
from reports.events import CheckResult, Event, Required, events_of_kind
from reports.verdict import judge
from tests.unit.reports_sample import event

REQUIRED = ["smoke.redis.ping", "smoke.health.ok"]


def check(name: str, outcome: str = "passed", **fields: Any) -> Event:
    return event(
        "check",
        check=name,
        title=f"{name} holds",
        stage=name.split(".")[0],
        component=name.split(".")[1],
        outcome=outcome,
        seconds=0.01,
        **fields,
    )


def waiver(check: str, reason: str = "no registry here") -> Event:
    return event("waiver", check=check, reason=reason)


def run(
    *events: Event,
    required: list[str] | None = None,
    pytest_exit: int | None = 0,
    kind: str = "disposable",
    not_asked: tuple[str, ...] = (),
) -> list[Event]:
    """The events of a whole run; `pytest_exit=None` is one that was killed."""
    start = event(
        "run_started",
        run_id="r1",
        at="2026-02-03T03:04:05Z",
        target={"name": "here", "kind": kind, "url": "https://here"},
        expected={"version": "1.4.2", "revision": None},
        asked=["smoke"],
        not_asked=list(not_asked),
        stages=["smoke", "control", "ui", "load"],
        command="pytest",
    )
    manifest = event("required", stage="smoke", checks=REQUIRED if required is None else required)
    end = [event("run_finished", pytest_exit=pytest_exit, seconds=1.5)]
    return [start, manifest, *events, *(end if pytest_exit is not None else [])]


PASSED = [check(name) for name in REQUIRED]
REDIS_FAILED = [check(REQUIRED[0], "failed"), check(REQUIRED[1])]
WAIVER = waiver(REQUIRED[0])
TROUBLE = event("trouble", message="the stack did not come up", next_step="read the log")
SENT = {"method": "POST", "url": "https://here/api/engine/stop", "mutation": True}
POST = event("request", **SENT)
INTERRUPTED = event("interrupted", signal="SIGINT")

RULES: dict[str, tuple[list[Event], str, int]] = {
    "promotes when every required check passed": (run(*PASSED), "PROMOTE", 0),
    "holds when a check failed": (run(*REDIS_FAILED, pytest_exit=1), "HOLD", 1),
    "holds when a check that nobody requires failed": (
        run(*PASSED, check("smoke.extra.thing", "failed"), pytest_exit=1),
        "HOLD",
        1,
    ),
    "holds when a required check was not collected": (run(PASSED[0]), "HOLD", 1),
    "holds when a required check was skipped": (
        run(PASSED[0], check(REQUIRED[1], "not_run", reason="skipped")),
        "HOLD",
        1,
    ),
    "holds when everything was skipped": (
        run(*(check(name, "not_run", reason="skipped") for name in REQUIRED)),
        "HOLD",
        1,
    ),
    "promotes when what did not run was not required": (
        run(*PASSED, check("smoke.extra.thing", "not_run", reason="no browser")),
        "PROMOTE",
        0,
    ),
    "promotes when what did not run is waived": (run(PASSED[1], WAIVER), "PROMOTE", 0),
    "promotes when what failed is waived": (
        run(*REDIS_FAILED, WAIVER, pytest_exit=1),
        "PROMOTE",
        0,
    ),
    "promotes when what could not judge is waived": (
        run(check(REQUIRED[0], "error", reason="boom"), PASSED[1], WAIVER, pytest_exit=1),
        "PROMOTE",
        0,
    ),
    "holds when the waiver has no reason": (run(PASSED[1], waiver(REQUIRED[0], " ")), "HOLD", 1),
    "holds when the waiver names another check": (
        run(PASSED[1], waiver("smoke.redis")),
        "HOLD",
        1,
    ),
    "ignores a waiver of a check that does not exist": (
        run(*PASSED, waiver("smoke.no.such")),
        "PROMOTE",
        0,
    ),
    "is undecided when all is waived and nothing passed": (
        run(WAIVER, check(REQUIRED[0], "not_run", reason="waived"), required=REQUIRED[:1]),
        "UNDECIDED",
        6,
    ),
    "is undecided when there was trouble": (run(*PASSED, TROUBLE), "UNDECIDED", 6),
    "is undecided when trouble kept checks from running": (run(TROUBLE), "UNDECIDED", 6),
    "holds when a check failed and there was trouble": (
        run(*REDIS_FAILED, TROUBLE, pytest_exit=1),
        "HOLD",
        1,
    ),
    "is undecided when a check could not judge": (
        run(check(REQUIRED[0], "error", reason="boom"), PASSED[1], pytest_exit=1),
        "UNDECIDED",
        6,
    ),
    "is undecided when an outcome is unknown": (
        run(check(REQUIRED[0], "xpassed"), PASSED[1]),
        "UNDECIDED",
        6,
    ),
    "is undecided when a check passed and then broke": (
        run(*PASSED, check(REQUIRED[0], "error", reason="its teardown failed"), pytest_exit=1),
        "UNDECIDED",
        6,
    ),
    "is undecided when the run was killed": (run(*PASSED, pytest_exit=None), "UNDECIDED", 6),
    "holds when the run was killed after a failure": (
        run(*REDIS_FAILED, pytest_exit=None),
        "HOLD",
        1,
    ),
    "is undecided when nothing ran": (run(), "UNDECIDED", 6),
    "is undecided when there are no events": ([], "UNDECIDED", 6),
    "is undecided when no manifest says what is required": (
        [one for one in run(*PASSED) if not isinstance(one, Required)],
        "UNDECIDED",
        6,
    ),
    "is undecided when pytest saw a failure that no check recorded": (
        run(*PASSED, pytest_exit=1),
        "UNDECIDED",
        6,
    ),
    "keeps exit code 2 of an interrupt and is undecided": (
        run(*PASSED, INTERRUPTED, pytest_exit=2),
        "UNDECIDED",
        2,
    ),
    "keeps exit code 2 and holds when a check failed before the interrupt": (
        run(*REDIS_FAILED, INTERRUPTED, pytest_exit=2),
        "HOLD",
        2,
    ),
    "is undecided when interrupted and killed": (
        run(*PASSED, INTERRUPTED, pytest_exit=None),
        "UNDECIDED",
        6,
    ),
    "keeps exit code 3 of pytest's own failure": (run(*PASSED, pytest_exit=3), "UNDECIDED", 3),
    "keeps exit code 4 of a wrong call": (run(*PASSED, pytest_exit=4), "UNDECIDED", 4),
    "holds with exit code 5 when nothing was collected": (run(pytest_exit=5), "HOLD", 5),
    "is undecided with exit code 5 when there was trouble": (
        run(TROUBLE, pytest_exit=5),
        "UNDECIDED",
        5,
    ),
    "is undecided when pytest's exit code is of nobody's": (
        run(*PASSED, pytest_exit=70),
        "UNDECIDED",
        6,
    ),
    "holds when a live target was changed": (run(*PASSED, POST, kind="live"), "HOLD", 1),
    "promotes when a live target was spared by the guard": (
        run(*PASSED, event("request", **SENT, blocked=True), kind="live"),
        "PROMOTE",
        0,
    ),
    "promotes when a disposable target was changed": (run(*PASSED, POST), "PROMOTE", 0),
    "requires nothing of a stage that was not asked for": (
        run(
            *PASSED,
            event("required", stage="load", checks=["load.a.b"]),
            not_asked=("load",),
        ),
        "PROMOTE",
        0,
    ),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.replace(" ", "_"))
def test_the_verdict(rule: str) -> None:
    events, verdict, exit_code = RULES[rule]
    judged = judge(events)
    assert (judged["verdict"], judged["exit_code"]) == (verdict, exit_code)
    assert judged["reasons"], "a verdict without a reason"
    assert all(reason.endswith(".") for reason in judged["reasons"])


@pytest.mark.parametrize("exit_code", [2, 3, 4, 5, 6, 70, -1])
def test_a_strange_exit_code_never_promotes(exit_code: int) -> None:
    judged = judge(run(*PASSED, pytest_exit=exit_code))
    assert judged["verdict"] != "PROMOTE"
    assert judged["exit_code"] != 0


def test_every_prefix_of_a_good_run_does_not_promote() -> None:
    events = run(*PASSED)
    for length in range(len(events)):
        assert judge(events[:length])["verdict"] != "PROMOTE", f"after {length} events"


def test_a_check_that_was_not_collected_is_told_with_its_reason() -> None:
    judged = judge(run(PASSED[0]))
    assert judged["not_run"] == [
        {
            "check": "smoke.health.ok",
            "stage": "smoke",
            "reason": "was not collected",
            "required": True,
        }
    ]
    assert judged["reasons"] == ["1 required check did not run: was not collected."]
    assert judged["stages"][0]["outcome"] == "not_run"


def test_a_waived_failure_stays_visible_and_is_no_finding() -> None:
    judged = judge(run(*REDIS_FAILED, WAIVER, pytest_exit=1))
    assert judged["waivers"] == [
        {
            "check": "smoke.redis.ping",
            "reason": "no registry here",
            "outcome_if_run": "failed",
            "applies": True,
        }
    ]
    assert judged["findings"] == []
    assert judged["checks"]["waived"] == 1
    assert judged["reasons"] == ["1 of 2 required checks passed and 1 is waived by name."]


def test_a_waiver_without_effect_is_noted() -> None:
    judged = judge(run(*PASSED, waiver("smoke.no.such")))
    assert judged["waivers"][0]["applies"] is False
    assert "changed nothing" in judged["reasons"][-1]
    assert judged["troubles"] == []


def test_a_change_to_a_live_target_is_a_finding_that_names_the_request() -> None:
    judged = judge(run(*PASSED, POST, POST, kind="live"))
    finding = judged["findings"][0]
    assert (finding["check"], finding["component"]) == ("gate.mutations", "gate")
    assert finding["evidence"] == ["POST https://here/api/engine/stop"]
    assert judged["mutations"] == [
        {"method": "POST", "url": "https://here/api/engine/stop", "count": 2}
    ]


def test_an_error_is_told_as_trouble_with_the_name_of_its_check() -> None:
    judged = judge(run(check(REQUIRED[0], "error", reason="boom"), PASSED[1], pytest_exit=1))
    assert judged["troubles"][0]["check"] == "smoke.redis.ping"
    assert judged["troubles"][0]["message"] == "smoke.redis.ping could not judge: boom"
    assert len(judged["troubles"]) == 1


def test_one_reason_that_keeps_many_checks_from_judging_is_one_trouble() -> None:
    errors = [check(name, "error", reason="no generator") for name in REQUIRED]
    other = check("load.other.check", "error", reason="boom")
    troubles = judge(run(*errors, other, pytest_exit=1))["troubles"]
    more = f"{len(REQUIRED) - 1} more check{'s' if len(REQUIRED) > 2 else ''}"
    assert [trouble["message"] for trouble in troubles] == [
        f"{REQUIRED[0]} and {more} could not judge: no generator",
        "load.other.check could not judge: boom",
    ]


def test_trouble_is_told_once_and_not_again_by_what_it_kept_from_running() -> None:
    start, *_, end = run(pytest_exit=1)
    assert judge([start, TROUBLE, end])["reasons"] == [
        "The gate could not judge: the stack did not come up."
    ]


def test_stages_that_were_not_asked_for_are_told() -> None:
    judged = judge(run(*PASSED, not_asked=("load", "ui")))
    assert [(stage["name"], stage["outcome"]) for stage in judged["stages"]] == [
        ("smoke", "passed"),
        ("ui", "not_asked"),
        ("load", "not_asked"),
    ]
    assert judged["reasons"][-1] == "Not asked for: load and ui."


def test_later_news_of_a_component_updates_the_earlier() -> None:
    news: list[Event] = [
        event("component", name="redis", version="8.0.2", state="running"),
        event("component", name="redis", state="exited", version=None),
    ]
    judged = judge(run(*PASSED, *news))
    assert len(judged["components"]) == 1
    assert judged["components"][0]["state"] == "exited"
    assert judged["seen"] == {"redis": {"version": "8.0.2", "revision": None}}


# Folding


def failed(name: str, *follows: str) -> Event:
    return check(name, "failed", follows=list(follows))


def folded(*events: Event) -> dict[str, list[str]]:
    judged = judge(
        run(
            *events,
            required=[one.check for one in events_of_kind(events, CheckResult)],
            pytest_exit=1,
        )
    )
    return {finding["check"]: finding["consequences"] for finding in judged["findings"]}


def test_a_consequence_is_folded_under_its_root() -> None:
    assert folded(failed("smoke.a.x", "smoke.b.*"), failed("smoke.b.x")) == {
        "smoke.b.x": ["smoke.a.x"]
    }


def test_folding_goes_through_consequences_of_consequences() -> None:
    assert folded(
        failed("smoke.a.x"), failed("smoke.b.x", "smoke.a.x"), failed("smoke.c.x", "smoke.b.x")
    ) == {"smoke.a.x": ["smoke.b.x", "smoke.c.x"]}


def test_a_failure_whose_possible_cause_passed_is_a_finding_itself() -> None:
    assert folded(check("smoke.a.x"), failed("smoke.b.x", "smoke.a.*")) == {"smoke.b.x": []}


def test_a_consequence_of_two_roots_is_under_both() -> None:
    assert folded(
        failed("smoke.a.x"), failed("smoke.b.x"), failed("smoke.c.x", "smoke.a.*", "smoke.b.*")
    ) == {"smoke.a.x": ["smoke.c.x"], "smoke.b.x": ["smoke.c.x"]}


def test_in_a_cycle_the_first_is_the_root() -> None:
    assert folded(
        failed("smoke.z.x", "smoke.b.x"),
        failed("smoke.a.x", "smoke.b.x"),
        failed("smoke.b.x", "smoke.a.x"),
    ) == {"smoke.a.x": ["smoke.z.x", "smoke.b.x"]}


def test_a_cycle_behind_a_root_is_folded_under_that_root() -> None:
    assert folded(
        failed("smoke.a.x", "smoke.b.x", "smoke.r.x"),
        failed("smoke.b.x", "smoke.a.x"),
        failed("smoke.r.x"),
    ) == {"smoke.r.x": ["smoke.a.x", "smoke.b.x"]}


def test_a_check_that_follows_itself_is_a_root() -> None:
    assert folded(failed("smoke.a.x", "smoke.*")) == {"smoke.a.x": []}


def test_nothing_is_folded_under_a_waived_failure() -> None:
    events = run(REDIS_FAILED[0], failed(REQUIRED[1], "smoke.redis.*"), WAIVER, pytest_exit=1)
    assert [finding["check"] for finding in judge(events)["findings"]] == [REQUIRED[1]]


def test_findings_stand_in_declared_order_of_their_stages() -> None:
    events = run(failed("control.x.y"), failed("smoke.health.ok"), failed("smoke.redis.ping"))
    assert [finding["check"] for finding in judge(events)["findings"]] == [
        "smoke.redis.ping",
        "smoke.health.ok",
        "control.x.y",
    ]


@pytest.mark.parametrize(
    ("glob", "name", "fits"),
    [
        ("smoke.routes.answers[/api/health]", "smoke.routes.answers[/api/health]", True),
        ("smoke.routes.answers[*]", "smoke.routes.answers[/api/health]", True),
        ("smoke.routes.answers[/api/health]", "smoke.routes.answers/", False),
        ("smoke.*", "smoke.tls.days_left", True),
        ("smoke.*", "nosmoke.tls", False),
        ("smoke.tls", "smoke.tls.days_left", False),
        ("smoke.?.x", "smoke.a.x", False),
        ("smoke.a.x", "smoke-a-x", False),
        ("*", "anything", True),
    ],
)
def test_only_the_star_is_special_in_a_glob(glob: str, name: str, fits: bool) -> None:
    assert matches(glob, name) is fits
