"""Whether a run says anything: the generator must not be what was measured."""

from collections.abc import Iterator, Mapping
from typing import Any

# How each constant was chosen: docs/judge.md.
LAG_MS = 50.0
"""Schedule lag at its 99th percentile: an arrival sent later than that was not sent in its time."""
CPU = 0.9
"""Of one core, a process: above it the generator itself is the ceiling."""
OFFERED = 0.98
ANSWER_SECONDS = 2.0
"""An answer may take so long before too few can be under way: that is what is measured."""


def reasons(summary: Mapping[str, Any]) -> list[str]:
    """Why a run is worth nothing; empty when it is valid."""
    return list(_reasons(summary))


def _reasons(found: Mapping[str, Any]) -> Iterator[str]:
    there, expected = found["workers_present"], found["workers_expected"]
    if there < expected:
        yield f"expected {expected} generator processes to report, but {there} did"
    elif not found["ended"]:
        yield "Locust did not come to its end by itself"
    if found["dropped"] and found["in_flight"] < ANSWER_SECONDS * found["peak"]:
        yield (
            f"{found['dropped']} arrivals were never sent: {found['in_flight']} may be under way,"
            f" too few for {found['peak']:g} a second"
        )
    if not found["aborted"] and found["achieved"] < OFFERED * found["offered"]:
        yield f"{found['offered']:g} arrivals a second were due, {found['achieved']:g} were sent"
    if found["lag_p99_ms"] > LAG_MS:
        yield (
            f"one arrival in a hundred was sent more than {found['lag_p99_ms']:.0f} ms late"
            f" (limit {LAG_MS:g}): the generator was too slow"
        )
    if found["generator_cpu"] > CPU:
        yield f"a generator process used {found['generator_cpu']:.0%} of a core (limit {CPU:.0%})"
