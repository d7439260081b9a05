"""Service levels are read, or refused with file, line and one sentence."""

from pathlib import Path

import pytest

from gate.checks import described
from gate.toml import FileError
from load import slo
from tests.load import test_levels

LEVEL = '[[slo]]\noperation = "*"\nmetric = "p99"\nat_most = 5\n'
GOOD = f"schema = 1\nconfidence = 0.99\n\n{LEVEL}"


def test_our_own_levels_are_good() -> None:
    assert len(slo.load()) > 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("schema = 1", "schema = 2"), ":1: schema: expected 1, got 2"),
        (("0.99", "2"), ":2: confidence: expected a number from 0.5 to 0.9999, got 2"),
        (('"p99"', '"p98"'), ":6: slo[0].metric: expected one of p50"),
        (("at_most = 5", "at_most = 5\nat_least = 1"), ":4: slo[0]: expected at_most or at_least"),
        (("at_most = 5", 'at_most = "5"'), ":7: slo[0].at_most: expected a number from 0, got '5'"),
        (
            ("at_most = 5", "most = 5"),
            ":7: slo[0].most: expected one of at_most, at_least, operation, metric",
        ),
        (('operation = "*"\n', ""), ":4: slo[0].operation: expected text, got nothing"),
        (("[[slo]]", "[[slo"), "expected TOML"),
        (("at_most = 5", "at_most = inf"), ":7: slo[0].at_most: expected a number from 0, got inf"),
        ((LEVEL, "slo = []"), ":4: slo: expected one [[slo]] or more, got []"),
    ],
)
def test_bad_levels_are_refused_with_the_line(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    path = tmp_path / "slo.toml"
    path.write_text(GOOD.replace(*change), encoding="utf-8")
    with pytest.raises(FileError) as caught:
        slo.load(path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "cause", "next_step"),
    [
        ("memory_growth", "leak", "growing list"),
        ("handles_growth", "leak", "/proc/1/fd"),
        ("lost", "WebSockets are refused or closed", "the proxy's log"),
        ("tick_lag", "the engine's cycle waits", "off the loop"),
        ("p99", "slow under load", "request durations"),
    ],
)
def test_a_finding_tells_the_cause_and_the_next_step_of_its_own_level(
    metric: str, cause: str, next_step: str
) -> None:
    name, level = next(one for one in test_levels.HELD if one[1].metric == metric)
    found = described(test_levels.test_keeps, {"operation": name, "level": level})
    assert found is not None
    assert name in found.cause
    assert cause in found.cause
    assert next_step in found.fix
    assert ("slow" in found.cause) == (metric == "p99")


def test_a_level_that_names_an_operation_replaces_one_for_all(tmp_path: Path) -> None:
    path = tmp_path / "slo.toml"
    own = '\n[[slo]]\noperation = "GET /x"\nmetric = "p99"\nat_most = 9\n'
    path.write_text(GOOD + own, encoding="utf-8")
    levels = slo.load(path)
    assert [one.limit for one in slo.of(levels, "GET /x")] == [9]
    assert [one.limit for one in slo.of(levels, "GET /y")] == [5]
