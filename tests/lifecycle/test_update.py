"""Updates under steady traffic: nobody notices, and a bad one is taken back."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from compose.lifecycle import proxy, recovery, releases, update, verify
from compose.lifecycle.deployment import API, COLOURED, Deployment, health, until
from compose.lifecycle.journal import Journal
from compose.lifecycle.trouble import Refused
from compose.release import HERE, Release
from tests.checks import check, expect
from tests.lifecycle import candidates
from tests.lifecycle.disposable import words
from tests.lifecycle.traffic import SOCKETS, Seen, Traffic
from tests.lifecycle.witness import LeaseWatch, broken_promises, order_log, rows, start_engine

NEEDS = ("stack", "proxy", API)
DEPLOYED = "lifecycle.deploy.runs_what_should_run"
RESTARTED = 1012
KILL_LIMIT = 120.0
WISHES = update.Wishes(watch=1.0)


def to(deployment: Deployment, wanted: Release, wishes: update.Wishes = WISHES) -> None:
    """Update to a release."""
    recovery.do(deployment, "update", update.facts(deployment, wanted, wishes))


@contextmanager
def traffic(deployment: Deployment) -> Iterator[Seen]:
    """Steady traffic while the block runs."""
    port = proxy.live(deployment).host_port(verify.TLS_PORT) or 0
    key = deployment.credentials.api_key or ""
    with Traffic(port, str(verify.ca_file(deployment)), key) as seen:
        until(lambda: seen.answered and seen.slow, 30)
        yield seen


def running(deployment: Deployment) -> str:
    """The revision that answers through the proxy."""
    where = verify.target(deployment, proxy.live(deployment))
    return str(verify.look(where, "/api/health").get("revision"))


@check(
    "proxy",
    cause="the old colour was stopped before its requests had ended, or the new one not ready",
    fix="read the order of the steps in compose/lifecycle/update.py; look at the drain",
    needs=NEEDS,
    follows=DEPLOYED,
)
def test_nobody_notices_an_update(deployment: Deployment, first: Release, second: Release) -> None:
    start_engine(deployment)
    with LeaseWatch(deployment) as lease, traffic(deployment) as seen:
        to(deployment, second)
        expect(running(deployment) == second.revision, second.revision, running(deployment))
        to(deployment, first)
    expect(not seen.failures, "no failed request", f"{len(seen.failures)}: {seen.failures[:5]}")
    expect(seen.requests > 500, "steady traffic", f"{seen.requests} requests")
    expect(not seen.socket_failures, "no refused WebSocket", seen.socket_failures[:3])
    expect(set(seen.codes) <= {RESTARTED}, f"close code {RESTARTED}", sorted(set(seen.codes)))
    expect(len(seen.codes) == 2 * SOCKETS, "one reconnect a client and update", len(seen.codes))
    expect(len(lease.owners) == 3, "the lease with three engines in turn", lease.owners)
    wrong = broken_promises(order_log(deployment))
    expect(not wrong, "no order twice or by a replaced engine", wrong[:3], component=API)


BAD = {
    "never healthy": (
        {
            API: [
                "RUN sed -i 's/def main() -> int:/def main() -> int:\\n    raise SystemExit(3)/'"
                " /app/breakout_bot/__main__.py"
            ]
        },
        "crashed, exit code 3",
    ),
    "a proxy configuration with an error": (
        {"proxy": ["RUN echo 'not_a_directive on;' >> /etc/nginx/nginx.conf"]},
        "not_a_directive",
    ),
}


@pytest.mark.parametrize("kind", list(BAD))
@check(
    API,
    cause="the update went on although a step before the switch had failed",
    fix="`compose/status.sh`; read the step's `undo` in compose/lifecycle/update.py",
    needs=NEEDS,
    follows=DEPLOYED,
)
def test_a_bad_candidate_is_taken_back(deployment: Deployment, first: Release, kind: str) -> None:
    changes, reason = BAD[kind]
    bad = candidates.make(first, f"bad-{deployment.project[-6:]}", changes)
    before, runs = rows(deployment), running(deployment)
    with traffic(deployment) as seen:
        try:
            to(deployment, bad)
            said = "the update ended well"
        except Refused as refused:
            said = str(refused)
    candidates.forget(bad)
    expect(reason in said, f"a refusal that says {reason!r}", said)
    expect(running(deployment) == runs, f"revision {runs}", running(deployment))
    expect(not seen.failures, "no failed request", seen.failures[:5])
    expect(rows(deployment) == before, "data as before", rows(deployment))
    expect_two(deployment)


def expect_two(deployment: Deployment) -> None:
    """Exactly one container of each coloured service, healthy."""
    left = [one for service in COLOURED for one in deployment.containers(service)]
    expect(len(left) == len(COLOURED), "one container a service", [one.image for one in left])
    expect(health(deployment.container(API).id), "a healthy API", "none")


@pytest.mark.parametrize("step", ["switch", "hand over"])
@check(
    "stack",
    cause="a killed update leaves what the next command does not understand",
    fix="read journal.json in the state folder; each step's do and undo can be repeated",
    needs=NEEDS,
    follows=DEPLOYED,
)
def test_a_killed_update_is_put_in_order(
    deployment: Deployment, second: Release, step: str
) -> None:
    with traffic(deployment) as seen:
        kill_at(deployment, second, step)
        left = recovery.left(deployment)
        expect(left and step in left, f"status to name the step {step}", left)
        recovery.recover(deployment)
    expect(not seen.failures, "no failed request", seen.failures[:5])
    expect(recovery.left(deployment) is None, "nothing unfinished", recovery.left(deployment))
    expect_two(deployment)


def kill_at(deployment: Deployment, wanted: Release, step: str) -> None:
    """Run `compose/update.sh` and kill -9 it when it is in the middle of a step."""
    command = [sys.executable, "-m", "compose.lifecycle", "update", "--watch", "1"]
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "BOT_TAG": wanted.tag,
        "BOT_VERSION": wanted.version,
        "BOT_REVISION": wanted.revision,
    }
    path = recovery.journal_path(deployment)
    with subprocess.Popen(
        [*command, *words(deployment)],
        cwd=HERE.parent,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: process.poll() is not None or _at(path, step), KILL_LIMIT)
        ended = process.poll()
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        said = process.communicate()[1]
    expect(ended is None, f"an update that comes to the step {step}", said[-600:])


def _at(path: Path, step: str) -> bool:
    journal = Journal.found(path)
    return journal is not None and step in journal.begun


@check(
    "stack",
    cause="rollback does not know the release before, or its images are gone",
    fix="`compose/status.sh`; the manifests are in compose/releases/",
    needs=NEEDS,
    follows=DEPLOYED,
)
def test_rollback_goes_back(deployment: Deployment, first: Release, second: Release) -> None:
    to(deployment, first)
    to(deployment, second)
    before = rows(deployment)
    facts = update.facts(deployment, first, WISHES)
    facts |= {"schema_differs": False, "schema": 0, "restore": None}
    recovery.do(deployment, "rollback", facts)
    expect(running(deployment) == first.revision, first.revision, running(deployment))
    present = releases.current(deployment)
    expect(present and present.tag == first.tag, first.tag, present)
    expect(rows(deployment) == before, "data as before", rows(deployment))
