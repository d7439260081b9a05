"""The right release runs: on every service, on every connection."""

import asyncio
from typing import Any

import pytest

from gate import Evidence, check, expect, probe
from gate.containers import REVISION_LABEL, VERSION_LABEL
from gate.target import ENTRY
from gate.wire import Answer, Wire
from tests.smoke.probes import (
    API,
    DIRECT,
    EXCHANGE,
    FRONTEND,
    HEALTH,
    PAGE_VERSION,
    PROXY_VERSION,
    body_of,
)

CONNECTIONS = 8
OWN = {API: HEALTH, FRONTEND: PAGE_VERSION, ENTRY: PROXY_VERSION}
LABELS = {"version": VERSION_LABEL, "revision": REVISION_LABEL}
OLD = "an old container or image still serves (`latest`, a skipped pull, a failed switch)"


@probe(API)
async def MANY(wire: Wire) -> list[Answer]:
    """The health of the API over several fresh connections."""
    return await asyncio.gather(*(wire.http("/api/health", fresh=True) for _ in range(CONNECTIONS)))


def running(seen: Evidence, service: str, what: str) -> Any:
    """The version or revision that a service says of itself."""
    if service == EXCHANGE:
        if DIRECT[EXCHANGE] in seen.answers:
            return body_of(seen[DIRECT[EXCHANGE]]).get(what)
        return seen.container("exchange").labels.get(LABELS[what])
    return body_of(seen[OWN[service]]).get(what)


def told(seen: Evidence, service: str, what: str) -> Any:
    """The version or revision that a service says of itself; None where it says none."""
    return seen[OWN[service]].field(what)


def _agrees(value: Any, expected: str, what: str) -> bool:
    if what == "revision" and isinstance(value, str):
        commit, _, mark = value.partition("-")  # `-dirty`: built from more than the commit
        wanted, _, allowed = expected.partition("-")
        return commit.startswith(wanted) and mark == allowed
    return bool(value == expected)


@pytest.mark.parametrize("what", ["version", "revision"])
@pytest.mark.parametrize("service", list(OWN))
@check(
    "{service}",
    cause=OLD,
    fix="`docker compose images`; pull or build, then deploy {service}",
    needs=("proxy", "expected-{what}"),
)
def test_runs_the_expected(seen: Evidence, service: str, what: str) -> None:
    _expected(seen, service, what)


@pytest.mark.parametrize("what", ["version", "revision"])
@check(
    "exchange",
    cause=OLD,
    fix="`docker compose images`; pull or build, then deploy the exchange",
    needs=("project", "exchange", "expected-{what}"),
    follows=(
        "smoke.containers.is_running[exchange]",
        "smoke.reach.answers*[exchange]",
        "smoke.version.runs_the_expected[*]",
    ),
)
def test_exchange_runs_the_expected(seen: Evidence, what: str) -> None:
    _expected(seen, EXCHANGE, what)


def _expected(seen: Evidence, service: str, what: str) -> None:
    value = running(seen, service, what)
    expect(isinstance(value, str) and value, f"a {what}", f"{what}: {value!r}")
    expected = seen.expected.get(what)
    if expected is not None:
        expect(_agrees(value, expected, what), f"{what} {expected}", f"{what} {value}")


@pytest.mark.parametrize("what", ["version", "revision"])
@check(
    "proxy",
    cause="some services were updated and others were not",
    fix="deploy all services of one release together",
    follows=(
        "smoke.version.runs_the_expected[*]",
        "smoke.reach.answers[*]",
        "smoke.version.is_one_release[version]",
    ),
)
def test_is_one_release(seen: Evidence, what: str) -> None:
    found = {service: told(seen, service, what) for service in OWN}
    values = set(found.values())
    odd = _odd_one(found)
    expect(len(values) == 1, f"one {what} on every service", found, component=odd)


def _odd_one(found: dict[str, Any]) -> str | None:
    """The service that differs from all others, where there is just one."""
    values = list(found.values())
    odd = [service for service, value in found.items() if values.count(value) == 1]
    return odd[0] if len(odd) == 1 else None


@check(
    API,
    cause="the proxy spreads requests over an old and a new container",
    fix="finish or undo the update: `docker ps` shows both; the proxy must know one",
    follows=("smoke.version.runs_the_expected[*]", "smoke.version.is_one_release[*]"),
)
def test_is_the_same_on_every_connection(seen: Evidence) -> None:
    answers = seen[MANY]
    found = {
        (body.get("version"), body.get("revision"), body.get("started_at"))
        for body in map(body_of, answers)
    }
    expect(len(found) == 1, f"one API over {CONNECTIONS} connections", f"{len(found)}: {found}")
