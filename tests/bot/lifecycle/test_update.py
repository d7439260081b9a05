"""Updates under steady traffic: nobody notices, and a bad one is taken back."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from compose.lifecycle import recovery, releases, rollback
from compose.lifecycle.deployment import API, Deployment
from compose.lifecycle.state import UpdateOptions
from compose.lifecycle.steps import StepName
from compose.release import Release
from gate import check, expect
from tests.bot.lifecycle.disposable import DEPLOYED, NEEDS, brought_to, leftovers, revision, updated
from tests.bot.lifecycle.drills import (
    BAD,
    QUICK,
    disk_filled,
    hang_up_at,
    kill_at,
    schema_taken_back,
    slow_to_reload,
    taken_back,
    update_to,
)
from tests.bot.lifecycle.traffic import SOCKETS, steady
from tests.bot.lifecycle.witness import LeaseWatch, books, rows, trade_eagerly

check_stack = partial(check, "stack", needs=NEEDS, follows=DEPLOYED)
RESTARTED = 1012
OPTIONS = UpdateOptions(watch=1.0)
CUT = "a colour was removed while requests to it were in flight: see the drain in proxy.py"


def expect_finished(deployment: Deployment) -> None:
    """Fails the check unless no command is left half way, and of each colour one is left."""
    unfinished, left = recovery.unfinished_command(deployment), leftovers(deployment)
    expect(unfinished is None, "nothing unfinished", unfinished)
    expect(not left, "one container a service", left)


@check(
    "proxy",
    cause="the old colour was stopped before its requests had ended, or the new one not ready",
    fix="update in a quiet hour; look for the failed requests in the proxy's log",
    needs=NEEDS,
    follows=DEPLOYED,
)
def test_nobody_notices_an_update(deployment: Deployment, first: Release, second: Release) -> None:
    trade_eagerly(deployment)
    with LeaseWatch(deployment) as lease, steady(deployment) as seen:
        updated(deployment, second, OPTIONS)
        expect(revision(deployment) == second.revision, second.revision, revision(deployment))
        updated(deployment, first, OPTIONS)
    expect(not seen.failures, "no failed request", f"{len(seen.failures)}: {seen.failures[:5]}")
    expect(seen.requests > 500, "steady traffic", f"{seen.requests} requests")
    expect(not seen.socket_failures, "no refused WebSocket", seen.socket_failures[:3])
    expect(set(seen.codes) <= {RESTARTED}, f"close code {RESTARTED}", sorted(set(seen.codes)))
    expect(len(seen.codes) == 2 * SOCKETS, "one reconnect a client and update", len(seen.codes))
    expect(len(lease.owners) == 3, "the lease with three engines in turn", lease.owners)
    orders = books(deployment)
    expect(orders.accepted, "orders, meanwhile", "none")
    expected = "no order twice, lost or by a replaced engine"
    expect(not orders.wrong, expected, orders.wrong[:3], component=API)


@pytest.mark.parametrize("kind", QUICK)
@check(
    API,
    cause="the update went on although a step before the switch had failed",
    fix="`compose/status.sh` says what is left; `compose/rollback.sh` leads back",
    needs=NEEDS,
    follows=DEPLOYED,
)
def test_a_bad_candidate_is_taken_back(deployment: Deployment, first: Release, kind: str) -> None:
    with steady(deployment) as seen:
        wrong = taken_back(deployment, first, BAD[kind])
    expect(not wrong, "it taken back, with nothing changed", wrong)
    failures = seen.failures if BAD[kind].harmless else []
    expect(not failures, "no failed request", failures[:5])
    expect(not leftovers(deployment), "one container a service", leftovers(deployment))


@check_stack(
    cause="what could not be built was started or recorded all the same",
    fix="`compose/status.sh`; the runbook disk-full.md makes room",
)
def test_a_disk_that_fills_while_building_changes_nothing(
    deployment: Deployment, tmp_path: Path
) -> None:
    runs = revision(deployment)
    with steady(deployment) as seen:
        said = disk_filled(deployment, tmp_path)
    expect("No space left on device" in said, "the disk to be named", said[-600:])
    expect(not seen.failures, "no failed request", seen.failures[:5])
    expect(revision(deployment) == runs, runs, revision(deployment))
    expect_finished(deployment)


@pytest.mark.parametrize("step", [StepName.SWITCH, StepName.HAND_OVER])
@check_stack(
    cause="a killed update leaves what the next command does not understand",
    fix="`compose/status.sh`, then any update or rollback, which finishes or undoes it first",
)
def test_a_killed_update_is_recovered(
    deployment: Deployment, second: Release, step: str, tmp_path: Path
) -> None:
    with steady(deployment) as seen:
        kill_at(deployment, update_to(second), step, tmp_path)
        left = recovery.unfinished_command(deployment)
        expect(left and step in left, f"status to name the step {step}", left)
        with slow_to_reload(deployment, seen) if step == StepName.HAND_OVER else nullcontext():
            recovery.recover(deployment)
    expect(not seen.failures, "no failed request", seen.failures[:5], cause=CUT)
    expect_finished(deployment)


@check_stack(
    cause="a command that is told to end stops where it is, with both colours up",
    fix="`compose/status.sh`, then any update or rollback, which undoes it first",
)
def test_an_update_whose_terminal_hangs_up_is_undone(
    deployment: Deployment, second: Release, tmp_path: Path
) -> None:
    runs = revision(deployment)
    with steady(deployment) as seen:
        hang_up_at(deployment, update_to(second), StepName.CONFIRM, tmp_path)
        left = recovery.unfinished_command(deployment)
        recovery.recover(deployment)  # for the checks after this
    expect(left is None, "nothing unfinished", left)
    expect(revision(deployment) == runs, runs, revision(deployment))
    expect(not seen.failures, "no failed request", seen.failures[:5], cause=CUT)
    expect(not leftovers(deployment), "one container a service", leftovers(deployment))


@check_stack(
    cause="rollback does not know the release before, or its images are gone",
    fix="`compose/status.sh`; the manifests are in compose/releases/",
)
def test_rollback_goes_back(deployment: Deployment, first: Release, second: Release) -> None:
    brought_to(deployment, first, OPTIONS)
    brought_to(deployment, second, OPTIONS)
    before = rows(deployment)
    recovery.execute(deployment, rollback.read_state(deployment, first, OPTIONS))
    expect(revision(deployment) == first.revision, first.revision, revision(deployment))
    present = releases.current(deployment)
    expect(present and present.tag == first.tag, first.tag, present)
    expect(rows(deployment) == before, "data as before", rows(deployment))


@check(
    API,
    cause="the newer release was started again after its data had been taken back",
    fix="`compose/status.sh`; restore the backup that the update made (runbook restore)",
    needs=NEEDS,
    follows=DEPLOYED,
)
def test_rollback_takes_a_newer_schema_back(deployment: Deployment, first: Release) -> None:
    brought_to(deployment, first, OPTIONS)
    wrong = schema_taken_back(deployment, first)
    expect(not wrong, "data and schema as before the newer release", wrong)
