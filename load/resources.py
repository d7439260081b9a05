"""How much the API's resources grew during a run, from Prometheus."""

from typing import Any

from scipy import stats

from gate.model import model
from gate.wire import Wire, WireError

JOB = str(model().services[model().name("api")].job)
METRICS = {
    "memory_growth": f'breakout_bot_process_resident_memory_bytes{{job="{JOB}"}}',
    "handles_growth": f'breakout_bot_process_open_fds{{job="{JOB}"}}',
}
STEP_SECONDS = 5
FEWEST = 6
SKIPPED_SECONDS = 15.0
"""At the start: what is loaded then stays."""
LEAST_SECONDS = SKIPPED_SECONDS + FEWEST * STEP_SECONDS
"""A run must last longer for anything to be known."""
QUERY = "/prometheus/api/v1/query_range"


async def growth(wire: Wire, began: float, ended: float) -> dict[str, dict[str, Any]]:
    """By how much each resource grew; nothing without enough samples.

    Theil and Sen's slope over the run: one high value at its end is no growth.
    """
    found = {}
    for name, query in METRICS.items():
        points = await _points(wire, query, began + SKIPPED_SECONDS, ended)
        if len(points) >= FEWEST:
            at, values = zip(*points, strict=True)
            found[name] = [float(stats.theilslopes(values, at).slope) * (at[-1] - at[0])]
    return {JOB: found}


async def _points(wire: Wire, query: str, began: float, ended: float) -> list[tuple[float, float]]:
    window = f"start={began:.0f}&end={ended:.0f}&step={STEP_SECONDS}"
    try:
        answer = await wire.http(f"{QUERY}?query={query}&{window}")
        series = answer.json()["data"]["result"]
    except (WireError, ValueError, KeyError):
        return []
    return [(float(at), float(value)) for at, value in series[0]["values"]] if series else []
