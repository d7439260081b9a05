"""Which build runs: held to what was expected, and to nothing where nothing was."""

import json
from pathlib import Path

import httpx
import pytest

from gate import manifest
from gate.checks import CheckFailed
from gate.evidence import Evidence
from gate.schedule import Schedule
from gate.target import Target, behind_proxy
from gate.wire import Answer
from tests.smoke import test_version
from tests.unit.fakes import DISPOSABLE, events, options, recorder

BUILD = {"version": "1.4.2", "revision": "9f1c2ab77e01"}
EXPECTED = "smoke.version.runs_the_expected"


def seen_of(*bodies: dict[str, str] | str | None) -> Evidence:
    """What is seen of the services that tell their build, in their order; None for a page."""
    answers: dict[object, object] = {}
    for probe, body in zip(test_version.OWN.values(), bodies, strict=True):
        text = body if isinstance(body, str) else "<html>" if body is None else json.dumps(body)
        kind = "application/json" if isinstance(body, dict) else "text/html"
        headers = httpx.Headers({"content-type": kind})
        answers[probe] = Answer("https://bot.test/", 200, headers, text.encode(), 0.1)
    return Evidence(Target("t", "live"), answers)  # type: ignore[arg-type]


def required(folder: Path, target: Target, **expected: str) -> set[str]:
    told = recorder(folder)
    Schedule(options(folder, target, **expected), told, manifest.load()).require(target)
    (event,) = events(told, "required")
    return {check for check in event["checks"] if check.startswith("smoke.version.")}


def test_nothing_is_required_of_a_build_that_nobody_expects(tmp_path: Path) -> None:
    live = behind_proxy("https://bot.test")
    plain = required(tmp_path / "a", live)
    assert not {check for check in plain if check.startswith(EXPECTED)}
    assert "smoke.version.is_one_release[version]" in plain
    both = required(tmp_path / "b", live, version="1.4.2", revision="9f1c2ab")
    version = required(tmp_path / "c", live, version="1.4.2")
    assert len(both - plain) == 2 * len(version - plain) == 6
    assert both - plain < required(tmp_path / "d", DISPOSABLE)


@pytest.mark.parametrize(
    "bodies",
    [
        (BUILD,) * 3,
        (None,) * 3,
        ("not JSON",) * 3,
        ({}, {"status": "ok"}, None),
        ("[1]", "7", None),
    ],
)
def test_services_of_one_build_or_of_none_are_one_release(bodies: tuple[object, ...]) -> None:
    for what in BUILD:
        test_version.test_is_one_release(seen_of(*bodies), what)  # type: ignore[arg-type]


@pytest.mark.parametrize("odd", [{**BUILD, "version": "1.4.1"}, None, {}])
def test_a_service_of_another_build_or_of_none_is_told(odd: dict[str, str] | None) -> None:
    with pytest.raises(CheckFailed) as raised:
        test_version.test_is_one_release(seen_of(BUILD, odd, BUILD), "version")
    assert raised.value.failure.component == list(test_version.OWN)[1]
