"""The table of checks: one row for each that ran or was required, in declared order."""

from __future__ import annotations

import re
from typing import Any

from reports.stream import Event

Row = dict[str, Any]
STAGES = ("smoke", "control", "observability", "contract", "ui", "lifecycle", "load")
NOT_COLLECTED = "was not collected"
_SEVERITY = {"passed": 0, "not_run": 1, "error": 2, "failed": 3}


def of(events: list[Event], kind: str) -> list[Event]:
    """The events of one kind."""
    return [event for event in events if event.get("kind") == kind]


def table(events: list[Event]) -> list[Row]:
    """Every check with its outcome; a required one that never showed up is there as `not_run`."""
    required = manifest(events)
    waived = {waiver["check"] for waiver in waivers(events, required)[0]}
    rows = _ran(events)
    for check, stage in required.items():
        rows.setdefault(check, _never_collected(check, stage))
    for check, row in rows.items():
        row["required"] = check in required
        row["waived"] = check in waived
    declared = {check: number for number, check in enumerate(required)}
    order = stage_order(events)

    def place(row: Row) -> tuple[int, int]:
        return order.get(row["stage"], len(order)), declared.get(row["check"], len(declared))

    return sorted(rows.values(), key=place)


def manifest(events: list[Event]) -> dict[str, str]:
    """The required checks, each with its stage; a stage that was not asked for requires nothing."""
    asked, not_asked = asked_stages(events)
    spared = set(not_asked) - set(asked)
    return {
        str(check): str(event.get("stage") or "")
        for event in of(events, "required")
        for check in event.get("checks") or []
        if event.get("stage") not in spared
    }


def asked_stages(events: list[Event]) -> tuple[list[str], list[str]]:
    """The stages asked for and those that were not."""
    run = (of(events, "run_started") or [{}])[0]
    return list(run.get("asked") or []), list(run.get("not_asked") or [])


def stage_order(events: list[Event]) -> dict[str, int]:
    """Every stage of this run with its place in the pipeline."""
    asked, not_asked = asked_stages(events)
    mentioned = {*asked, *not_asked}
    others = [str(e.get("stage") or "") for k in ("required", "check") for e in of(events, k)]
    known = [stage for stage in STAGES if stage in mentioned or stage in others]
    return {stage: number for number, stage in enumerate(dict.fromkeys([*known, *asked, *others]))}


def waivers(events: list[Event], required: dict[str, str]) -> tuple[list[Event], list[Event]]:
    """The waivers that hold, and those that change nothing: no such check, or no reason given."""
    given = {str(event.get("check")): event for event in of(events, "waiver")}
    holds = {
        check: check in required and bool(str(event.get("reason") or "").strip())
        for check, event in given.items()
    }
    return (
        [event for check, event in given.items() if holds[check]],
        [event for check, event in given.items() if not holds[check]],
    )


def matches(glob: str, check: str) -> bool:
    """Whether the check's id matches; only `*` is special, for ids hold brackets themselves."""
    pattern = ".*".join(re.escape(part) for part in glob.split("*"))
    return re.fullmatch(pattern, check, re.DOTALL) is not None


def _ran(events: list[Event]) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for event in of(events, "check"):
        row = _row(event)
        earlier = rows.get(row["check"])
        if earlier is None:
            rows[row["check"]] = row
        elif _SEVERITY[row["outcome"]] > _SEVERITY[earlier["outcome"]]:
            earlier.update(row, seconds=earlier["seconds"] + row["seconds"])
    return rows


def _row(event: Event) -> Row:
    check = str(event.get("check") or "without a name")
    outcome = event.get("outcome")
    reason = words(event.get("reason"))
    if outcome not in _SEVERITY:
        reason = f"its outcome is {outcome!r}, which no check can have. {reason}".strip()
        outcome = "error"
    return {
        "check": check,
        "title": words(event.get("title")) or check,
        "stage": words(event.get("stage")) or check.split(".")[0],
        "component": words(event.get("component")),
        "outcome": outcome,
        "seconds": number(event.get("seconds")),
        "reason": reason or ("no reason was given" if outcome in ("error", "not_run") else ""),
        "finding": event.get("finding") or {},
        "follows": [str(glob) for glob in event.get("follows") or []],
    }


def _never_collected(check: str, stage: str) -> Row:
    return _row({"check": check, "stage": stage, "outcome": "not_run", "reason": NOT_COLLECTED})


def words(value: Any) -> str:
    """Any value as text; nothing as no text."""
    return "" if value is None else str(value)


def number(value: Any) -> float:
    """A number of seconds, zero when none was recorded."""
    return round(float(value), 3) if isinstance(value, (int, float)) else 0.0
