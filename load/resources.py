"""How the API's resources grew during a run, from Prometheus: slopes with their intervals."""

from typing import Any

from scipy import stats

from compose.wire import Wire, WireError

JOB = "breakout-bot-api"
METRICS = {
    "memory_slope": f'breakout_bot_process_resident_memory_bytes{{job="{JOB}"}}',
    "handles_slope": f'breakout_bot_process_open_fds{{job="{JOB}"}}',
    "connections_slope": f'breakout_bot_websocket_clients{{job="{JOB}"}}',
}
STEP_SECONDS = 5
FEWEST = 6
SKIPPED_SECONDS = 15.0
"""At the start: what is loaded then stays."""
QUERY = "/prometheus/api/v1/query_range"


async def slopes(wire: Wire, began: float, ended: float) -> dict[str, dict[str, Any]]:
    """Growth a second of each resource (Theil and Sen's slope); empty without enough samples."""
    found = {}
    for name, query in METRICS.items():
        points = await _points(wire, query, began + SKIPPED_SECONDS, ended)
        if len(points) >= FEWEST:
            slope = stats.theilslopes([y for _, y in points], [x for x, _ in points])
            found[name] = [float(slope.slope)]
    return {JOB: found}


async def _points(wire: Wire, query: str, began: float, ended: float) -> list[tuple[float, float]]:
    window = f"start={began:.0f}&end={ended:.0f}&step={STEP_SECONDS}"
    try:
        answer = await wire.http(f"{QUERY}?query={query}&{window}")
        series = answer.json()["data"]["result"]
    except (WireError, ValueError, KeyError):
        return []
    return [(float(at), float(value)) for at, value in series[0]["values"]] if series else []
