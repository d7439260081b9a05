"""Whatever a stack logs, reports stay readable: bounded, the verdict first, nothing acted on."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from reports import html, junit, markdown, terminal
from reports.events import Event
from reports.redact import MARK, Redactor
from reports.stream import Stream, read
from reports.verdict import judge
from tests.unit.reports_sample import END, START, check, event

MIB = 1024 * 1024
SERVICES = [f"service-{number}" for number in range(12)]
LONG = "x" * 100_000
LOUD = "\x1b[31mred\x1b[0m \x07\x00<script>alert(1)</script> | ````` ~~~ \u202e \r"


def held(lines: list[str], each: int = 3, **said: Any) -> list[Event]:
    """The events of a run in which every service has findings with these lines of log."""
    finding = {"expected": "health", "seen": "unhealthy", "evidence": "\n".join(lines), **said}
    checks = [
        check(f"smoke.stack.s{number}[{service}]", service, "failed", finding=finding)
        for service in SERVICES
        for number in range(each)
    ]
    return [*START, *checks, END]


def written(events: list[Event]) -> dict[str, str]:
    verdict = judge(events)
    return {
        "md": markdown.text(verdict, events),
        "txt": terminal.text(verdict),
        "html": html.text(verdict, events),
        "xml": junit.text(verdict, events),
    }


@pytest.mark.parametrize(
    ("lines", "each", "said"),
    [
        ([LONG] * 20, 3, {}),
        ([LOUD + LONG] + [LONG] * 19, 3, {}),
        (["short"] * 100_000, 3, {}),
        ([LONG] * 3, 40, {}),
        ([], 3, {"seen": LONG, "expected": LONG, "likely_cause": LONG}),
        (["🛑" * 50_000] * 20, 3, {"seen": "é" * 100_000}),
    ],
)
def test_every_report_is_bounded(lines: list[str], each: int, said: dict[str, str]) -> None:
    told = written(held(lines, each, **said))
    assert len(told["md"].encode()) < MIB * 0.9
    assert told["md"].startswith("# 🛑 HOLD\n")
    assert len(told["txt"].splitlines()) < 1000
    assert " HOLD " in "".join(told["txt"].splitlines()[-4:])
    assert len(told["html"].encode()) < 8 * MIB
    assert len(told["xml"].encode()) < 8 * MIB


def test_what_a_service_logs_is_shown_and_not_acted_on() -> None:
    loud = ["::error file=a::gate", "```", LOUD, "</details>", "# heading", "::stop-commands::x"]
    told = written(held(loud, 1))
    for text in told.values():
        assert re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", text) is None
    fences = re.findall(r"^`{4,}", told["md"], re.MULTILINE)
    assert len(fences) == 2 * len(SERVICES), "longer than any that was logged, and ended each time"
    assert set(fences) == {"`" * 6}
    assert "<script>alert" not in told["html"]
    ET.fromstring(told["xml"])
    assert not [line for line in told["txt"].splitlines() if line.lstrip().startswith("::")]
    assert "stop-commands" in told["txt"]


def test_a_summary_that_has_to_be_cut_ends_with_a_whole_finding() -> None:
    table = event("table", title="T", columns=["a"] * 20, rows=[["y" * 400] * 20] * 200)
    told = written([*held(["a line"] * 20, 20), table, table])["md"]
    assert len(told.encode()) <= markdown.MOST_BYTES + 200
    assert told.endswith(f"{markdown.CUT}\n")
    assert told.count("```") % 2 == 0
    assert told.count("<details>") == told.count("</details>")


def test_a_short_report_is_not_touched() -> None:
    told = written(held(["one", "two"], 1))
    assert "more characters" not in str(told)
    assert markdown.CUT not in told["md"]


def test_a_secret_at_the_edge_of_what_is_shown_is_redacted_before_it_is_cut(tmp_path: Path) -> None:
    secret = "correct-horse-battery-staple-7"
    for room in range(380, 400, 3):
        stream = Stream(tmp_path / str(room), Redactor([secret]))
        for one in held(["x" * room + secret], 1, seen="y" * 1990 + secret):
            stream.emit(one)
        told = written(read(tmp_path / str(room)))
        assert "correct" not in str(told)
        assert MARK[:3] in told["md"]
