"""The candidate against its baseline: each operation is no worse, in its tail and errors either."""

import pytest

from gate import check, fail
from gate.errors import MachineError
from gate.operator import API
from load import profile
from load.measures import WHOLE
from load.versus import Answers
from tests.load.report import PAGE, PROFILE

COMPARED = [*profile.load(PROFILE).comparing().names, WHOLE]


@pytest.mark.parametrize("operation", COMPARED)
@check(
    API,
    cause="{operation} does more, or waits longer, than it did in the baseline",
    fix="read what changed since the baseline; compare request durations of both in load/run.json",
    needs=("disposable", "proxy", API, "baseline"),
)
def test_is_no_worse(comparison: Answers, operation: str) -> None:
    found = comparison.found.get(operation)
    if found is None or found.verdict == "not enough data":
        seen = comparison.words(operation)
        raise MachineError(
            f"expected to know how {operation} compares with {comparison.baseline}, but {seen}"
        )
    if found.verdict == "worse":
        fail(
            f"{operation}: no worse than {comparison.baseline}",
            comparison.words(operation),
            component=blamed(comparison, operation),
            cause=None
            if comparison.is_side_by_side
            else "the release, or the machine: not side by side",
        )


def blamed(comparison: Answers, operation: str) -> str:
    """The proxy where both the page and the API are worse, for they share it; else who answers."""
    worse = {name for name, one in comparison.found.items() if one.verdict == "worse"} - {WHOLE}
    if worse > PAGE.keys():
        return "proxy"
    return PAGE.get(operation, API)
