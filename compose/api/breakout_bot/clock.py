"""Times as the API writes them."""

import time
from datetime import UTC, datetime


def iso(at: float | None = None) -> str:
    """Write a time, or now, as ISO 8601 in UTC."""
    moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def midnight(now: float) -> float:
    """Give the start of the UTC day that a time belongs to."""
    return now - now % 86400
