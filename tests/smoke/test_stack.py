"""Bring-up: every service starts and becomes ready (only where this run started them)."""

import pytest

from gate import Evidence, check, fail
from gate.model import model
from gate.target import SERVICES

PARTS = ("stack", *(one.name for one in model().services.values() if one.one_shot))


def _judge(seen: Evidence, service: str, started: bool) -> None:
    problem = seen.problems.get(service)
    crashed = problem is not None and not problem.seen.startswith(("unhealthy", "not ready"))
    if problem is not None and crashed == started:
        expected = "a service that starts" if started else "a service that becomes ready"
        fail(expected, problem.seen, problem.last_words)


@pytest.mark.parametrize("part", PARTS)
@check(
    "{part}",
    cause="compose.yaml is refused, an image is missing, or the one-shot `certs` failed",
    fix="`docker compose config` in compose/; read the lines below",
    needs="stack",
)
def test_is_prepared(seen: Evidence, part: str) -> None:
    _judge(seen, part, started=True)
    # A service that no check is about by name must not be missed.
    others = [one for one in seen.problems if one not in (*SERVICES, *PARTS)]
    if part == "stack" and others:
        problem = seen.problems[others[0]]
        found = f"{problem.service}: {problem.seen}"
        fail("every service to start and become ready", found, problem.last_words)


@pytest.mark.parametrize("service", SERVICES)
@check(
    "{service}",
    cause="its configuration is refused: a blank or wrong variable, file or mount",
    fix="read its last log lines below, mend the cause, deploy again",
    needs=("stack", "{service}"),
    follows="smoke.stack.is_prepared[*]",
)
def test_starts(seen: Evidence, service: str) -> None:
    _judge(seen, service, started=True)


@pytest.mark.parametrize("service", SERVICES)
@check(
    "{service}",
    cause="it runs, but cannot do its work; a dependency of it may be away",
    fix="look at its log and health output below, then at the services it needs",
    needs=("stack", "{service}"),
    follows=(
        "smoke.stack.is_prepared[*]",
        "smoke.stack.starts[*]",
        "smoke.containers.is_running[*]",
        "*smoke.health.reaches[*]",
    ),
)
def test_becomes_ready(seen: Evidence, service: str) -> None:
    _judge(seen, service, started=False)
