"""summary.md: the verdict and its findings for the summary page of a CI job."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from reports.checks import words
from reports.events import NOT_ASKED, Event, Outcome, Picture, Table, events_of_kind
from reports.words import (
    MOST_LINE,
    by_reason,
    count,
    first,
    labelled,
    lines,
    machine,
    methods,
    plain,
    seconds,
    shortened,
    waived_by_reason,
)

MOST_EVIDENCE = 20
MOST_FINDINGS = 50
"""Findings told in full; the others in one line each."""
MOST_ROWS = 200
MOST_BYTES = 900_000
"""Of the whole text: CI drops a summary of more than 1 MiB, all of it."""
CUT = "… cut here, for CI takes no summary of more than 1 MiB: the rest is in the report"
_MARKS = {"PROMOTE": "✅", "HOLD": "🛑", "UNDECIDED": "❔"}
_OUTCOMES = {
    Outcome.PASSED: "✓ passed",
    Outcome.FAILED: "✗ failed",
    Outcome.NOT_RUN: "○ not run",
}


def text(verdict: dict[str, Any], events: list[Event]) -> str:
    """The summary as Markdown."""
    parts = [
        *_head(verdict),
        *_findings(verdict),
        *_troubles(verdict),
        *_left_out(verdict),
        *_stages(verdict),
        *_components(verdict),
        *_machine(verdict),
        *(line for table in events_of_kind(events, Table) for line in _table(table)),
        *_pictures(events),
        *_requests(verdict, events),
    ]
    return _bounded("\n".join(parts).rstrip()) + "\n"


def _bounded(text: str) -> str:
    """Cut after the last whole block that fits, so that nothing stays open."""
    data = text.encode("utf-8", "replace")
    if len(data) <= MOST_BYTES:
        return text
    kept = data[:MOST_BYTES].decode("utf-8", "ignore")
    heads = [found.start() for found in re.finditer(r"^#{2,3} [✗\w]", kept, re.MULTILINE)]
    return f"{kept[: heads[-1] if heads else 0].rstrip()}\n\n{CUT}"


def _head(verdict: dict[str, Any]) -> Iterator[str]:
    yield f"# {_MARKS[verdict['verdict']]} {verdict['verdict']}"
    yield ""
    yield from (f"{_inline(reason)}  " for reason in verdict["reasons"])
    yield ""
    target = verdict["target"] or {}
    facts = [
        f"target **{_inline(target['name'])}** ({target.get('kind')})"
        if target.get("name")
        else "",
        f"expected {_expected(verdict)}" if _expected(verdict) else "",
        f"{verdict['checks']['passed']} of {count(verdict['checks']['total'], 'check')} passed",
        seconds(verdict["seconds"]),
        f"run `{verdict['run_id']}`" if verdict["run_id"] else "",
    ]
    yield " · ".join(fact for fact in facts if fact)
    yield ""


def _expected(verdict: dict[str, Any]) -> str:
    expected = verdict["expected"]
    return " ".join(_inline(str(expected[k])) for k in ("version", "revision") if expected.get(k))


def _findings(verdict: dict[str, Any]) -> Iterator[str]:
    if verdict["findings"]:
        yield from ("## Findings", "")
    yield from _in_full(verdict["findings"][:MOST_FINDINGS])
    for finding in verdict["findings"][MOST_FINDINGS:]:
        place = finding["component"] or finding["stage"]
        yield f"- ✗ {_inline(place)} — {_inline(finding['title'])}: `{finding['check']}`"
    if len(verdict["findings"]) > MOST_FINDINGS:
        yield ""


def _in_full(findings: list[dict[str, Any]]) -> Iterator[str]:
    for finding in findings:
        place = finding["component"] or finding["stage"]
        yield from (f"### ✗ {_inline(place)} — {_inline(finding['title'])}", "")
        for label, text in labelled(finding):
            yield f"- **{label.capitalize()}**: {_inline(text)}"
        yield from (f"- **Check**: `{finding['check']}`", "")
        yield from _evidence(finding["evidence"])
        yield from _consequences(finding["consequences"])


def _evidence(evidence: Any) -> Iterator[str]:
    told = lines(evidence)
    if told:
        yield from _fenced(told[:MOST_EVIDENCE])
        if len(told) > MOST_EVIDENCE:
            yield from (f"… {count(len(told) - MOST_EVIDENCE, 'more line')} in the report", "")


def _fenced(told: list[str]) -> Iterator[str]:
    longest = max((len(run) for line in told for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{fence}text", *told, fence, "")


def _consequences(checks: list[str]) -> Iterator[str]:
    if checks:
        yield f"<details><summary>{count(len(checks), 'more check')} failed because of it</summary>"
        shown = first([f"- `{check}`" for check in checks], MOST_ROWS)
        yield from ("", *shown, "", "</details>", "")


def _troubles(verdict: dict[str, Any]) -> Iterator[str]:
    if verdict["troubles"]:
        yield from ("## Troubles of the gate", "")
    for trouble in verdict["troubles"]:
        yield f"- **{_inline(trouble['message'])}**"
        for label, text in labelled(trouble):
            yield f"  - {label.capitalize()}: {_inline(text)}"
    if verdict["troubles"]:
        yield ""


def _left_out(verdict: dict[str, Any]) -> Iterator[str]:
    if not verdict["waivers"] and not verdict["not_run"]:
        return
    yield from ("## Left out", "")
    for reason, checks in waived_by_reason(verdict["waivers"]):
        yield f"- ○ waived: {', '.join(f'`{check}`' for check in checks)} — {_inline(reason)}"
    for name, reason, checks in by_reason(verdict["not_run"]):
        name = f"`{name}`" if len(checks) == 1 else name
        yield f"- ○ not run: {name} — {_inline(reason)}"
    yield ""


def _stages(verdict: dict[str, Any]) -> Iterator[str]:
    yield from ("## Stages", "")
    yield "| stage | outcome | passed | failed | not run | waived | time |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for stage in verdict["stages"]:
        if stage["outcome"] == NOT_ASKED:
            yield f"| {stage['name']} | not asked for | | | | | |"
            continue
        counts = " | ".join(str(stage[k]) for k in ("passed", "failed", "not_run", "waived"))
        outcome = _OUTCOMES[stage["outcome"]]
        yield f"| {stage['name']} | {outcome} | {counts} | {seconds(stage['seconds'])} |"
    yield ""


def _machine(verdict: dict[str, Any]) -> Iterator[str]:
    if told := machine(verdict["machine"]):
        yield from ("## Machine", "", _inline(told), "")


def _components(verdict: dict[str, Any]) -> Iterator[str]:
    if not verdict["components"]:
        return
    yield from ("## Components", "")
    yield "| component | version | revision | state | image |"
    yield "|---|---|---|---|---|"
    for row in verdict["components"]:
        state = " ".join(_cell(row[key]) for key in ("state", "health") if row[key])
        local = " (built here)" if row["source"] == "debian-trixie" else ""
        cells = (row["name"], row["version"], words(row["revision"])[:12], state)
        yield f"| {' | '.join(_cell(cell) for cell in cells)} | {_cell(row['image'])}{local} |"
    yield ""


def _table(table: Table) -> Iterator[str]:
    """A table that a stage left in the stream, folded away."""
    rows = [[words(cell) for cell in row] for row in table.rows[:MOST_ROWS]]
    if not rows:
        yield from (f"{_inline(table.title)}: nothing to show.", "")
        return
    yield from (f"<details><summary>{_literal(plain(table.title))}</summary>", "")
    yield f"| {' | '.join(_cell(name) for name in table.columns)} |"
    yield "|" + "---|" * len(table.columns)
    yield from (f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows)
    if len(table.rows) > MOST_ROWS:
        yield from ("", f"… {count(len(table.rows) - MOST_ROWS, 'more row')} in the report")
    yield from ("", "</details>", "")


def _pictures(events: list[Event]) -> Iterator[str]:
    pictures = events_of_kind(events, Picture)
    if pictures:
        yield from ("## Pictures", "")
        yield from (f"- [{_inline(one.title)}]({one.path})" for one in pictures)
        yield ""


def _requests(verdict: dict[str, Any], events: list[Event]) -> Iterator[str]:
    requests = count(verdict["requests"], "request")
    sent = f"{requests}: {methods(events)}" if verdict["requests"] else requests
    if not verdict["mutations"]:
        yield f"Mutations: none left the process ({sent})."
    else:
        changed = sum(row["count"] for row in verdict["mutations"])
        yield f"Mutations: {changed} of {sent}."


def _cell(value: Any) -> str:
    return _inline(shortened(words(value), MOST_LINE)) or "-"


def _inline(text: str) -> str:
    """Foreign text on one line; only what stands in `backticks` stays code, nothing else acts."""
    parts = re.split("`([^`|]+)`", " ".join(shortened(plain(text)).split()))
    return "".join(f"`{part}`" if place % 2 else _literal(part) for place, part in enumerate(parts))


def _literal(text: str) -> str:
    for mark, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(mark, entity)
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text)
