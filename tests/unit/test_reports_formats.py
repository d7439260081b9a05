"""Every report format tells the same verdict, exactly and safely."""

from __future__ import annotations

import base64
import json
import os
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest

from reports import html, junit, markdown, terminal
from reports.events import Event
from reports.verdict import judge
from reports.write import SCHEMA_FILE
from tests.unit.reports_sample import (
    END,
    HOLD,
    HOSTILE,
    PROMOTE,
    SAMPLES,
    START,
    UNDECIDED,
    check,
    event,
)

SNAPSHOTS = Path(__file__).parent / "snapshots"
SCHEMA = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


def matches_snapshot(name: str, text: str) -> None:
    path = SNAPSHOTS / name
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), (
        f"{name} differs from its snapshot; if it should, run with UPDATE_SNAPSHOTS=1"
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_the_terminal_text(name: str) -> None:
    matches_snapshot(f"reports-{name}.txt", terminal.text(judge(SAMPLES[name]), width=80))


@pytest.mark.parametrize("name", SAMPLES)
def test_the_junit_file(name: str) -> None:
    events = SAMPLES[name]
    matches_snapshot(f"reports-{name}.junit.xml", junit.text(judge(events), events))


@pytest.mark.parametrize("name", SAMPLES)
def test_the_markdown_summary(name: str) -> None:
    events = SAMPLES[name]
    matches_snapshot(f"reports-{name}.md", markdown.text(judge(events), events))


@pytest.mark.parametrize("length", range(len(HOLD) + 1))
def test_verdict_json_fits_its_schema_however_far_the_run_came(length: int) -> None:
    verdict = {**judge(HOLD[:length]), "run_id": "r1"}
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(verdict)))


@pytest.mark.parametrize("name", SAMPLES)
def test_verdict_json_fits_its_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(judge(SAMPLES[name]))


def test_the_schema_refuses_what_it_does_not_know() -> None:
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        jsonschema.validate({**judge(PROMOTE), "surprise": 1}, SCHEMA)


# Pictures

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


def pictured(path: str) -> list[Event]:
    return [*PROMOTE[:-1], event("picture", title="page <b>", path=path), PROMOTE[-1]]


def test_pictures_travel_inside_the_page_and_are_linked_in_the_summary(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/page.png").write_bytes(PIXEL)
    events = pictured("pictures/page.png")
    page = html.text(judge(events), events, tmp_path)
    assert f'src="data:image/png;base64,{base64.b64encode(PIXEL).decode()}"' in page
    assert 'alt="page &lt;b&gt;"' in page
    assert "](pictures/page.png)" in markdown.text(judge(events), events)


def test_a_picture_that_is_lost_or_too_much_is_only_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = pictured("page.png")
    assert "<img" not in html.text(judge(events), events, tmp_path)
    (tmp_path / "page.png").write_bytes(PIXEL)
    monkeypatch.setattr(html, "MOST_BYTES", len(PIXEL))
    page = html.text(judge(events), events, tmp_path)
    assert "<img" not in page
    assert '<a href="page.png">page.png</a>' in page


def test_checks_waived_for_one_reason_are_one_entry() -> None:
    names = [f"smoke.health.part[{number}]" for number in range(3)]
    waived = [event("waiver", check=name, reason="not here") for name in names]
    events = [START[0], event("required", stage="smoke", checks=names), *waived, END]
    page = html.text(judge(events), events)
    assert page.count("not here") == 1
    assert all(name in page for name in names)
    assert markdown.text(judge(events), events).count("waived: ") == 1


# The verdict line


def test_the_verdict_line_of_a_promotion() -> None:
    assert terminal.verdict_line(judge(PROMOTE)) == (
        " PROMOTE  3 checks passed · 0 findings · 1 waived · 0.7 s · reports/latest/index.html"
    )


def test_the_verdict_line_of_a_hold() -> None:
    assert terminal.verdict_line(judge(HOLD), "out/index.html") == (
        " HOLD  0 checks passed · 1 finding · 1 not run · 1 waived · 0.7 s · out/index.html"
    )


def test_the_verdict_line_of_an_undecided_run() -> None:
    assert terminal.verdict_line(judge(UNDECIDED), "x") == (
        " UNDECIDED  1 check passed · 0 findings · 3 troubles · 1 not run · 1 waived · 0.5 s · x"
    )


def test_with_colour_the_verdict_is_a_banner_of_full_width() -> None:
    banner = terminal.text(judge(PROMOTE), colour=True, width=90).splitlines()[-3:]
    assert all(line.startswith("\x1b[1;97;42m") for line in banner)
    assert {len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in banner} == {90}


def test_without_colour_no_escape_sequence_is_left() -> None:
    assert "\x1b" not in terminal.text(judge(HOLD))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "no-such-encoding"])
def test_a_poor_encoding_gets_marks_it_can_show(encoding: str) -> None:
    text = terminal.text(judge(HOLD), encoding=encoding)
    text.encode("ascii" if encoding == "no-such-encoding" else encoding)
    assert " x redis - " in text
    assert "====" in text


@pytest.mark.parametrize("width", [0, 20, 80, 300])
def test_a_command_to_copy_stays_on_one_line(width: int) -> None:
    lines = terminal.text(judge(HOLD), width=width).splitlines()
    assert any(line.endswith("docker compose -p breakout-bot start redis") for line in lines)


def test_many_findings_fit_the_screen_and_are_all_named() -> None:
    names = [f"smoke.a.n{number}" for number in range(40)]
    finding = {"expected": "x", "seen": "y", "evidence": "line\n" * 30}
    events = [*PROMOTE, *(check(name, "a", "failed", finding=finding) for name in names)]
    text = terminal.text(judge(events))
    assert all(name in text for name in names)
    assert "22 more lines in the report" in text


# JUnit


def test_junit_fails_whenever_the_verdict_is_not_promote() -> None:
    held = [*PROMOTE[:-3], PROMOTE[-1]]
    root = ET.fromstring(junit.text(judge(held), held))
    assert root.get("failures") == "1"
    assert root.find("testsuite[@name='gate']/testcase/failure") is not None


@pytest.mark.parametrize("name", SAMPLES)
def test_junit_counts_what_it_holds(name: str) -> None:
    events = SAMPLES[name]
    root = ET.fromstring(junit.text(judge(events), events))
    for suite in [root, *root.findall("testsuite")]:
        assert suite.get("tests") == str(len(suite.findall(".//testcase")))
        for attribute, tag in (
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            assert suite.get(attribute) == str(len(suite.findall(f".//{tag}")))


# The page


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page(events: list[Event]) -> _Page:
    return _Page(html.text(judge(events), events))


@pytest.mark.parametrize("name", SAMPLES)
def test_the_page_tells_the_verdict_first(name: str) -> None:
    words = [word.strip() for word in page(SAMPLES[name]).words if word.strip()]
    body = words[words.index(name.upper()) :]
    assert body[1] == judge(SAMPLES[name])["reasons"][0]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_page_needs_no_script_and_no_network(name: str) -> None:
    text = html.text(judge(SAMPLES[name]), SAMPLES[name])
    assert "script" not in _Page(text).tags
    fetched = [link for link in _Page(text).links if link.startswith(("http", "//"))]
    assert fetched in ([], ["https://bot.example.org"]), "only the target is linked"
    assert "@import" not in text
    assert "url(" not in text


def test_foreign_text_is_never_markup() -> None:
    for text in (html.text(judge(HOLD), HOLD), markdown.text(judge(HOLD), HOLD)):
        outside_of_fences = re.sub(r"(?s)(`{4,})text.*?\1", "", text)
        assert "<script>alert" not in outside_of_fences
        assert "\x1b" not in text
        assert "\x00" not in text


def test_evidence_links_to_the_files_beside_the_page() -> None:
    assert "logs/redis.log" in page(HOLD).links


def test_a_target_that_is_no_web_address_is_not_linked() -> None:
    target = {"name": "x", "kind": "live", "url": "javascript:alert(1)"}
    events = [event("run_started", target=target)]
    assert not any(link.startswith("javascript") for link in page(events).links)


def test_consequences_are_folded_under_their_finding() -> None:
    words = "".join(page(HOLD).words)
    assert "1 more check failed because of it" in words
    assert "follows from this finding" in words


def test_the_page_says_that_nothing_was_changed() -> None:
    assert "None left the process (2 requests: 2 GET)." in "".join(page(PROMOTE).words)


def test_many_requests_become_one_row_a_service() -> None:
    many = [
        event("request", method="GET", url="/x", service="redis", started=n / 9, seconds=0.01)
        for n in range(5000)
    ]
    text = html.text(judge([*PROMOTE, *many]), [*PROMOTE, *many])
    assert "redis, 5000 requests" in text
    assert len(text) < 200_000


def test_the_page_of_a_run_without_events_can_be_read() -> None:
    assert "UNDECIDED" in page([]).words


def test_a_table_of_a_stage_is_shown_as_it_was_left() -> None:
    rows = [["GET /api/x", f"a field is gone {HOSTILE}", "yes"]]
    left = event(
        "table", title="What changed", columns=["operation", "change", "breaks"], rows=rows
    )
    none = event("table", title="What else", columns=["operation"], rows=[])
    events = [*PROMOTE, left, none]
    shown = page(events)
    assert {"What changed", "GET /api/x", "breaks"} <= {word.strip() for word in shown.words}
    assert "script" not in shown.tags
    text = markdown.text(judge(events), events)
    assert "| operation | change | breaks |" in text
    assert "What else: nothing to show." in text
    assert len([line for line in text.splitlines() if "GET /api/x" in line]) == 1
