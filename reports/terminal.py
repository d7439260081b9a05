"""What the terminal shows: findings first, and a verdict that can be read from across the room."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any, TextIO

from reports.events import CheckResult, Outcome
from reports.progress import obeys_codes
from reports.words import (
    by_reason,
    count,
    encodable,
    labelled,
    lines,
    plain,
    seconds,
    shortened,
    waived_by_reason,
)

MOST_FINDINGS = 12
MOST_EVIDENCE = 8
MOST_VALUE = 600
"""Characters of what stands beside one label."""
_LABEL = 14
_COLOURS = {"PROMOTE": "1;97;42", "HOLD": "1;97;41", "UNDECIDED": "1;30;43"}


def text(
    verdict: dict[str, Any],
    colour: bool = False,
    width: int = 80,
    encoding: str = "utf-8",
    report: str = "reports/latest/index.html",
) -> str:
    """The whole report for a terminal that is `width` columns wide, ending with the verdict."""
    paint = _Paint(colour, max(width, 40))
    blocks = [
        *_findings(verdict, paint),
        *_troubles(verdict, paint),
        *_left_out(verdict, paint),
        _banner(verdict, paint, report),
    ]
    return encodable("\n".join(blocks) + "\n", encoding)


def fitted(verdict: dict[str, Any], out: TextIO, report: str) -> str:
    """The whole report as a stream can show it: in its colours, width and characters."""
    columns = shutil.get_terminal_size((100, 24)).columns if out.isatty() else 100
    colour = obeys_codes(out) and not os.environ.get("NO_COLOR")
    return text(verdict, colour, columns, out.encoding or "utf-8", report)


def headline(result: CheckResult, colour: bool) -> str:
    """The line of a finding while the run goes on: who, what, and the check."""
    could_not_judge = result.outcome is Outcome.ERROR
    mark = ("?", "33") if could_not_judge else ("✗", "31")
    return _head(*mark, vars(result), _Paint(colour, 80))


def verdict_line(verdict: dict[str, Any], report: str = "reports/latest/index.html") -> str:
    """The one line that says it all."""
    checks = verdict["checks"]
    facts = [
        f"{count(checks['passed'], 'check')} passed",
        count(len(verdict["findings"]), "finding"),
        count(len(verdict["troubles"]), "trouble") if verdict["troubles"] else "",
        f"{_missing(verdict)} not run" if _missing(verdict) else "",
        f"{checks['waived']} waived" if checks["waived"] else "",
        seconds(verdict["seconds"]),
        report,
    ]
    return f" {verdict['verdict']}  {' · '.join(fact for fact in facts if fact)}"


def _missing(verdict: dict[str, Any]) -> int:
    return sum(row["required"] for row in verdict["not_run"])


class _Paint:
    def __init__(self, colour: bool, width: int) -> None:
        self.colour = colour
        self.width = width

    def __call__(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def row(self, label: str, value: str) -> Iterator[str]:
        """A label and its text, in a column of its own; a command stays on one line to copy."""
        value = shortened(value, MOST_VALUE)
        space = 10_000 if label == "next step" else self.width - _LABEL - 4
        wrapped = [
            part
            for line in plain(value).split("\n")
            for part in textwrap.wrap(line, space, break_on_hyphens=False) or [""]
        ]
        for number, part in enumerate(wrapped):
            head = self("2", f"{label if number == 0 else '':<{_LABEL}}")
            # What begins with `::` is a command to the runner of a CI job, whoever wrote it.
            yield f"   {head}{part if label and not number else _command(part)}".rstrip()


def _command(text: str) -> str:
    return f"\\{text}" if text.startswith("::") else text


def _findings(verdict: dict[str, Any], paint: _Paint) -> Iterator[str]:
    findings = verdict["findings"]
    for finding in findings[:MOST_FINDINGS]:
        yield from _finding(finding, paint)
    for finding in findings[MOST_FINDINGS:]:
        yield _head("✗", "31", finding, paint)
    if len(findings) > MOST_FINDINGS:
        yield ""


def _finding(finding: dict[str, Any], paint: _Paint) -> Iterator[str]:
    yield _head("✗", "31", finding, paint)
    for label, told in labelled(finding):
        yield from paint.row(label, told)
    yield from _evidence(finding["evidence"], paint)
    follows = finding["consequences"]
    if follows:
        shown = ", ".join(follows[:3]) + (" …" if len(follows) > 3 else "")
        yield from paint.row("follows", f"{count(len(follows), 'more check')} failed: {shown}")
    yield ""


def _head(mark: str, colour: str, finding: dict[str, Any], paint: _Paint) -> str:
    place = paint(f"1;{colour}", f"{mark} {finding['component'] or finding['stage']}")
    title = _one_line(finding["title"])
    return f" {place} — {paint('1', title)}  {paint('2', finding['check'])}"


def _one_line(text: str) -> str:
    return shortened(" ".join(plain(text).split()), MOST_VALUE)


def _evidence(evidence: Any, paint: _Paint) -> Iterator[str]:
    told = lines(evidence)
    more = len(told) - MOST_EVIDENCE
    for number, line in enumerate(told[:MOST_EVIDENCE]):
        short = shortened(line, 2 * paint.width)
        yield from paint.row("evidence" if number == 0 else "", short)
    if more > 0:
        yield from paint.row("", f"… {count(more, 'more line')} in the report")


def _troubles(verdict: dict[str, Any], paint: _Paint) -> Iterator[str]:
    for trouble in verdict["troubles"]:
        yield f" {paint('1;33', '? gate')} — {paint('1', _one_line(trouble['message']))}"
        for label, told in labelled(trouble):
            yield from paint.row(label, told)
        yield ""


def _left_out(verdict: dict[str, Any], paint: _Paint) -> Iterator[str]:
    shortage = (verdict["machine"] or {}).get("shortage")
    if shortage:
        yield f" {paint('33', '○ machine')}  was short while the gate ran: {shortage}"
    told = waived_by_reason(verdict["waivers"])
    for reason, checks in told:
        few = len(checks) < 4
        names = ", ".join(checks) if few else f"{len(checks)} checks ({checks[0]} …)"
        yield f" {paint('33', '○ waived')}   {names} — {_one_line(reason)}"
    # What this kind of target does not need is in the report; here it would only be noise.
    missing = [row for row in verdict["not_run"] if row["required"]]
    for name, reason, _ in by_reason(missing):
        yield f" {paint('33', '○ not run')}  {name} — {_one_line(reason)}"
    if told or missing or shortage:
        yield ""


def _banner(verdict: dict[str, Any], paint: _Paint, report: str) -> str:
    line = verdict_line(verdict, report)
    told = [line] if len(line) <= paint.width else [line.removesuffix(f" · {report}"), f" {report}"]
    if not paint.colour:
        return "\n".join(("━" * paint.width, *told, "━" * paint.width))
    colours = _COLOURS[verdict["verdict"]]
    full = ("", *told, "")
    return "\n".join(paint(colours, f"{row:<{paint.width}}") for row in full)
