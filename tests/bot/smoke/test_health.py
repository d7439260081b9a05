"""What the API says of itself and of what it depends on, field by field."""

from datetime import datetime
from typing import Any

import pytest

from gate import Evidence, check, expect
from tests.bot.smoke.report import AWAY, DEPENDENCIES, health
from tests.smoke.probes import API, CLOCK_CAUSE, CLOCK_FIX, HEALTH, expect_clock, shown

FIELDS = {
    "status": str,
    "engine_initialized": bool,
    "engine_running": bool,
    "engine_state": str,
    "resource_health": dict,
    "api_connectivity": dict,
    "issues": list,
    "timestamp": str,
    "uptime_seconds": (int, float),
    "version": str,
    "revision": str,
    "started_at": str,
    "schema_version": (int, str),
    "heartbeat_age_seconds": (int, float),
    "market_data_age_seconds": (int, float),
}
RESOURCES = (
    "status",
    "issues",
    "cpu_percent",
    "memory_percent",
    "memory_used_mb",
    "disk_usage_percent",
    "active_threads",
    "open_files",
    "network_connections",
)
MEMORY_PERCENT = 90
DISK_PERCENT = 90


@pytest.mark.parametrize("dependency", list(DEPENDENCIES))
@check(
    API,
    cause="{dependency} is down, hangs, or the API's address or password for it is wrong",
    fix="see `issues` below; look at {dependency} itself, then at the API's environment",
    follows=(
        "smoke.reach.answers*[{dependency}]",
        "smoke.{dependency}.takes_its_password",
        "smoke.containers.is_running[{dependency}]",
        f"smoke.reach.answers*[{API}]",
        "smoke.reach.answers[proxy]",
    ),
)
def test_reaches(seen: Evidence, dependency: str) -> None:
    expect_connected(seen, dependency, DEPENDENCIES[dependency])


def expect_connected(seen: Evidence, what: str, whose: str) -> None:
    """Fails the check unless health says that something is connected."""
    body = health(seen)
    state = (body.get("api_connectivity") or {}).get(what)
    evidence = f"issues: {shown(body.get('issues'))}"
    expect(state == "connected", '"connected"', shown(state), evidence, component=whose)


@check(
    API,
    cause="events do not come back from Redis: the subscription was lost and not made anew",
    fix="see `issues` below; look for the bus in the API's log, then at Redis",
    follows=(
        "bot.smoke.health.reaches[redis]",
        "smoke.reach.answers*[redis]",
        "smoke.stack.starts[redis]",
        "smoke.containers.is_running[redis]",
    ),
)
def test_hears_its_own_events(seen: Evidence) -> None:
    expect_connected(seen, "websocket", API)


@check(
    API,
    cause="a dependency or resource is not as it should be; `issues` says which",
    fix="mend what `issues` names",
    follows=(*AWAY, "bot.smoke.health.has_*", "bot.smoke.engine.*"),
)
def test_is_healthy(seen: Evidence) -> None:
    body = health(seen)
    evidence = f"issues: {shown(body.get('issues'))}"
    expect(body.get("status") == "healthy", '"healthy"', shown(body.get("status")), evidence)
    expect(seen[HEALTH].status == 200, "status 200", seen[HEALTH].status, evidence)


@pytest.mark.parametrize("field", list(FIELDS))
@check(
    API,
    cause="an older or a changed build of the API is running",
    fix="compare the body of /api/health with the contract; deploy a build that keeps it",
)
def test_says(seen: Evidence, field: str) -> None:
    body = health(seen)
    value, kind = body.get(field), FIELDS[field]
    right = isinstance(value, kind) and (kind is not str or value)  # type: ignore[arg-type]
    expect(right, f"{field} as {_kind(kind)}", f"{field}: {shown(value)}")


def _kind(kind: Any) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(one.__name__ for one in kinds)


@check(
    API,
    cause="an older or a changed build of the API is running",
    fix="compare `resource_health` in /api/health with the contract",
)
def test_says_all_of_its_resources(seen: Evidence) -> None:
    resources = health(seen).get("resource_health") or {}
    missing = [name for name in RESOURCES if name not in resources]
    expect(not missing, f"resource_health with {', '.join(RESOURCES)}", f"no {missing}")


@check(
    API,
    cause="a leak, or a memory limit that is too small for the load",
    fix="look at memory over the last days in Grafana; raise the limit or restart in a quiet hour",
)
def test_has_memory_to_spare(seen: Evidence) -> None:
    _below(seen, "memory_percent", MEMORY_PERCENT)


@check(
    API,
    cause="logs, old images or backups fill the disk",
    fix="`docker system df`, `df -h`; remove old images and backups",
)
def test_has_disk_to_spare(seen: Evidence) -> None:
    _below(seen, "disk_usage_percent", DISK_PERCENT)


def _below(seen: Evidence, name: str, limit: float) -> None:
    value = (health(seen).get("resource_health") or {}).get(name)
    right = isinstance(value, int | float) and value < limit
    expect(right, f"{name} below {limit}", f"{name}: {shown(value)}")


@check(API, cause=CLOCK_CAUSE, fix=CLOCK_FIX)
def test_clock_is_right(seen: Evidence) -> None:
    text = str(health(seen).get("timestamp"))
    try:
        skew = datetime.fromisoformat(text).timestamp() - seen.at
    except ValueError:
        skew = None
    expect_clock(seen, skew, text)
