"""junit.xml: a suite per stage, and one that fails whenever the verdict is not PROMOTE."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from reports.checks import Row, table
from reports.events import Event, Finding, Json, Outcome
from reports.words import first, labelled, lines, plain, shortened

MOST_LINES = 60
"""Of one finding's evidence."""


def text(verdict: Json, events: list[Event]) -> str:
    """The report as JUnit XML."""
    rows = table(events)
    roots = {finding["check"]: finding for finding in verdict["findings"]}
    causes = {
        check: finding["check"]
        for finding in verdict["findings"]
        for check in finding["consequences"]
    }
    waived = {waiver["check"]: waiver["reason"] for waiver in verdict["waivers"]}
    suites = [_gate_suite(verdict)]
    for stage in verdict["stages"]:
        of_stage = [row for row in rows if row.stage == stage["name"]]
        if of_stage:
            cases = [_case(row, roots.get(row.check), causes, waived) for row in of_stage]
            suites.append(_suite(stage["name"], cases, stage["seconds"]))
    root = ET.Element("testsuites", name="breakout-bot-gate")
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    root.set("time", f"{verdict['seconds']:.3f}")
    for suite in suites:
        if verdict["at"]:
            suite.set("timestamp", verdict["at"][:19])
        root.append(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(name: str, cases: list[ET.Element], seconds: float) -> ET.Element:
    suite = ET.Element("testsuite", name=name, tests=str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{seconds:.3f}")
    suite.extend(cases)
    return suite


def _gate_suite(verdict: Json) -> ET.Element:
    case = _element("gate", "verdict", 0.0)
    tag = {"HOLD": "failure", "UNDECIDED": "error"}.get(verdict["verdict"])
    if tag:
        own = [finding for finding in verdict["findings"] if finding["stage"] == "gate"]
        told = [*map(shortened, verdict["reasons"]), *(_finding_text(finding) for finding in own)]
        for trouble in verdict["troubles"]:
            parts = [f"{label}: {text}" for label, text in labelled(trouble)]
            told.append("\n".join([shortened(trouble["message"]), *parts]))
        _outcome(case, tag, f"{verdict['verdict']}: {verdict['reasons'][0]}", "\n\n".join(told))
    return _suite("gate", [case], 0.0)


def _case(
    row: Row, finding: Json | None, causes: dict[str, str], waived: dict[str, str]
) -> ET.Element:
    place = f"{row.stage}.{row.component}" if row.component else row.stage
    case = _element(place, row.check, row.seconds)
    if row.waived and not row.passed:
        outcome = row.outcome.replace("_", " ")
        _outcome(case, "skipped", f"waived ({outcome}): {waived.get(row.check, '')}")
    elif row.outcome is Outcome.FAILED:
        _failure(case, row, finding, causes)
    elif row.outcome is Outcome.ERROR:
        _outcome(case, "error", row.reason or "", row.reason or "")
    elif row.outcome is Outcome.NOT_RUN:
        _outcome(case, "skipped", row.reason or "")
    return case


def _failure(case: ET.Element, row: Row, finding: Json | None, causes: dict[str, str]) -> None:
    if finding:
        _outcome(case, "failure", finding["seen"], _finding_text(finding))
        return
    seen = (row.finding or Finding()).seen or row.reason or row.title
    told = f"{shortened(seen)}\nfollows from {causes.get(row.check)}"
    _outcome(case, "failure", seen, told)


def _element(place: str, name: str, seconds: float) -> ET.Element:
    return ET.Element("testcase", classname=plain(place), name=plain(name), time=f"{seconds:.3f}")


def _outcome(case: ET.Element, tag: str, message: str, body: str = "") -> None:
    outcome = ET.SubElement(case, tag, message=shortened(plain(message).split("\n", 1)[0]))
    if tag != "skipped":
        outcome.set("type", tag)
    outcome.text = plain(body) or None


def _finding_text(finding: Json) -> str:
    told = [f"{finding['component']} - {finding['title']}"]
    told += [f"{label}: {text}" for label, text in labelled(finding)]
    told += [f"evidence: {line}" for line in first(lines(finding["evidence"]), MOST_LINES)]
    told += [f"follows: {check}" for check in finding["consequences"]]
    return "\n".join(told)
