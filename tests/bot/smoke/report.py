"""Reads the health report of the API, for several files of this stage."""

from typing import Any

from gate import Evidence, fail
from tests.smoke.probes import API, HEALTH, body_of, shown

DEPENDENCIES = {"database": API, "redis": "redis", "exchange": "exchange"}
AWAY = (
    *(f"bot.smoke.health.reaches[{name}]" for name in DEPENDENCIES),
    "bot.smoke.health.hears_its_own_events",
)


def health(seen: Evidence) -> dict[str, Any]:
    """Read the report. Fails the check when it is no JSON object."""
    body = body_of(seen[HEALTH])
    if not isinstance(body, dict):
        fail("a JSON object", shown(body))
    return body
