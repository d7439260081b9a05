"""What Prometheus knows survives its container."""

import time

from gate import Operator, check, expect
from tests.observability.files import NEEDS, prometheus

READY_SECONDS = 30.0
SETTLED_SECONDS = 15.0
"""A scrape that is under way is stored under the time at which it began."""
QUERY = "breakout_bot_cycles_total"


@check(
    "prometheus",
    cause="its data is not in a named volume, or --storage.tsdb.path leads elsewhere",
    fix="mount prometheus-data at the path that --storage.tsdb.path names",
    needs=NEEDS,
    follows=(
        "smoke.containers.keeps_its_data_in_a_named_volume[prometheus]",
        "*smoke.prometheus.*",
    ),
)
def test_samples_survive_a_new_container(operator: Operator) -> None:
    # The stage before may have ended with a new API, of which there is no settled sample yet.
    at, before = operator.until(
        lambda: _settled(operator),
        2 * SETTLED_SECONDS,
        f"a sample of {QUERY} before Prometheus is created anew",
        lambda settled: settled[1],
    )
    operator.compose("up", "--detach", "--no-deps", "--force-recreate", "--no-build", "prometheus")
    ready = lambda: operator.http("/-/ready", "prometheus").status  # noqa: E731
    operator.until(ready, READY_SECONDS, "Prometheus ready", lambda status: status == 200)
    after = _value(operator, at)
    expect(after == before, f"{QUERY} of before: {before}", after or "no sample")


def _settled(operator: Operator) -> tuple[str, list[str]]:
    """Give a moment that no scrape under way can change any more, and what was seen then."""
    at = str(time.time() - SETTLED_SECONDS)
    return at, _value(operator, at)


def _value(operator: Operator, at: str) -> list[str]:
    found = prometheus(operator, "query", query=QUERY, time=at)["result"]
    return [one["value"][1] for one in found]
