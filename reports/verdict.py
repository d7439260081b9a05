"""The judge: from the events of a run to its verdict, by rules and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from reports.checks import (
    Row,
    asked_stages,
    manifest,
    matches,
    number,
    of,
    stage_order,
    table,
    waivers,
    words,
)
from reports.stream import Event
from reports.words import count, listed

SCHEMA = 1
EXIT_CODES = {"PROMOTE": 0, "HOLD": 1, "UNDECIDED": 6}
KEPT_PYTEST_EXITS = {2, 3, 4, 5}
_COMPONENT_FIELDS = (
    *("image", "version", "revision", "state", "health", "restarts", "source", "address"),
)


def judge(events: list[Event]) -> dict[str, Any]:
    """Everything verdict.json holds. No evidence is never PROMOTE."""
    run = (of(events, "run_started") or [{}])[0]
    rows = table(events)
    components = _components(events)
    findings = _touched_live(events) + _findings(rows)
    troubles = _troubles(events, rows)
    verdict, reasons = _decide(events, rows, findings, troubles)
    return {
        "schema": SCHEMA,
        "run_id": run.get("run_id"),
        "at": run.get("at"),
        "verdict": verdict,
        "exit_code": _exit_code(events, verdict),
        "reasons": reasons,
        "target": _target(run),
        "command": _command(run.get("command")),
        "expected": {key: (run.get("expected") or {}).get(key) for key in ("version", "revision")},
        "seen": {
            row["name"]: {"version": row["version"], "revision": row["revision"]}
            for row in components
        },
        "components": components,
        "stages": _stages(events, rows),
        "checks": _totals(rows),
        "findings": findings,
        "troubles": troubles,
        "not_run": [
            {key: row[key] for key in ("check", "stage", "reason", "required")}
            for row in rows
            if row["outcome"] == "not_run" and not row["waived"]
        ],
        "waivers": _waivers(events, rows),
        "mutations": _mutations(events),
        "requests": len(of(events, "request")),
        "phases": [_phase(event) for event in of(events, "phase")],
        "load": _load(events),
        "seconds": _seconds(events),
    }


# The decision


def _decide(
    events: list[Event], rows: list[Row], findings: list[Row], troubles: list[Row]
) -> tuple[str, list[str]]:
    missing = [
        row for row in rows if row["required"] and not row["waived"] and row["outcome"] != "passed"
    ]
    told = _told_troubles(troubles)
    if findings:
        return "HOLD", _why_findings(findings) + _why_missing(missing) + told + _notes(events)
    if troubles:
        return "UNDECIDED", told + _why_missing(missing) + _notes(events)
    if _pytest_exit(events) == 5:
        return "HOLD", ["Nothing ran: pytest found no check to run.", *_why_missing(missing)]
    if missing:
        return "HOLD", _why_missing(missing) + _notes(events)
    return "PROMOTE", _why_promote(rows) + _notes(events)


def _exit_code(events: list[Event], verdict: str) -> int:
    kept = _pytest_exit(events)
    return kept if kept in KEPT_PYTEST_EXITS else EXIT_CODES[verdict]


def _pytest_exit(events: list[Event]) -> int:
    finished = of(events, "run_finished")
    code = finished[-1].get("pytest_exit") if finished else None
    return code if isinstance(code, int) else -1


def _why_findings(findings: list[Row]) -> list[str]:
    folded = len({check for finding in findings for check in finding["consequences"]})
    it = "it" if len(findings) == 1 else "them"
    follow = f", and {count(folded, 'more check')} failed because of {it}" if folded else ""
    if len(findings) == 1:
        return [f'{_place(findings[0])}: "{_clause(findings[0]["title"])}" failed{follow}.']
    places = listed(list(dict.fromkeys(_place(finding) for finding in findings)))
    return [f"{len(findings)} findings, in {places}{follow}."]


def _why_missing(missing: list[Row]) -> list[str]:
    missing = [row for row in missing if row["outcome"] == "not_run"]
    if not missing:
        return []
    reasons = list(dict.fromkeys(row["reason"] for row in missing))
    why = f"{_clause(reasons[0])}." if len(reasons) == 1 else f"{len(reasons)} different reasons."
    return [f"{count(len(missing), 'required check')} did not run: {why}"]


def _why_promote(rows: list[Row]) -> list[str]:
    required = [row for row in rows if row["required"]]
    passed = sum(row["outcome"] == "passed" for row in required)
    waived = sum(row["waived"] and row["outcome"] != "passed" for row in required)
    if not waived:
        return [f"All {count(passed, 'required check')} passed."]
    are = "is" if waived == 1 else "are"
    return [
        f"{passed} of {len(required)} required checks passed and {waived} {are} waived by name."
    ]


def _told_troubles(troubles: list[Row]) -> list[str]:
    return [f"The gate could not judge: {_clause(row['message'])}." for row in troubles]


def _notes(events: list[Event]) -> list[str]:
    _, without_effect = waivers(events, manifest(events))
    notes = [
        f"The waiver for {event.get('check')} changed nothing: "
        "it needs the id of a required check, and a reason."
        for event in without_effect
    ]
    asked, not_asked = asked_stages(events)
    left_out = [stage for stage in not_asked if stage not in asked]
    return notes + ([f"Not asked for: {listed(left_out)}."] if left_out else [])


def _place(finding: Row) -> str:
    return str(finding["component"] or finding["stage"])


def _clause(sentence: str) -> str:
    return sentence.strip().rstrip(".")


# Findings


def _findings(rows: list[Row]) -> list[Row]:
    failed = {row["check"]: row for row in rows if row["outcome"] == "failed" and not row["waived"]}
    causes = _causes(failed)
    roots = [check for check in failed if _is_root(check, causes, list(failed))]
    return [
        _finding(
            failed[root],
            [check for check in failed if check not in roots and root in causes[check]],
        )
        for root in roots
    ]


def _is_root(check: str, causes: dict[str, set[str]], order: list[str]) -> bool:
    """A root has no causes but those of its own cycle, and is the first of that cycle."""
    cycle = causes[check] | {check}
    closed = all(check in causes[cause] for cause in causes[check])
    return closed and next(each for each in order if each in cycle) == check


def _causes(failed: dict[str, Row]) -> dict[str, set[str]]:
    """For each failed check all failed checks that it follows, directly or through others."""
    direct = {
        check: {
            other
            for other in failed
            if other != check and any(matches(glob, other) for glob in row["follows"])
        }
        for check, row in failed.items()
    }
    return {check: _reached(check, direct) for check in failed}


def _reached(start: str, direct: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    ahead = list(direct[start])
    while ahead:
        check = ahead.pop()
        if check not in reached:
            reached.add(check)
            ahead += direct[check]
    return reached


def _finding(row: Row, consequences: list[str]) -> Row:
    told = row["finding"] if isinstance(row["finding"], dict) else {}
    seen = told.get("seen") or row["reason"] or "it failed and said no more"
    return {
        "check": row["check"],
        "title": row["title"],
        "stage": row["stage"],
        "component": row["component"],
        "expected": _text(told.get("expected") or row["title"]),
        "seen": _text(seen),
        "likely_cause": _text(told.get("likely_cause")),
        "next_step": _text(told.get("next_step")),
        "evidence": told.get("evidence"),
        "consequences": consequences,
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _touched_live(events: list[Event]) -> list[Row]:
    mutations = _mutations(events)
    target = (of(events, "run_started") or [{}])[0].get("target") or {}
    if not mutations or target.get("kind") == "disposable":
        return []
    return [
        {
            "check": "gate.mutations",
            "title": "nothing is changed on a live target",
            "stage": "gate",
            "component": "gate",
            "expected": "only GET, HEAD and OPTIONS leave the process on a live target",
            "seen": f"{count(len(mutations), 'changing request')} left the process",
            "likely_cause": "a check sends its requests past the guard of the gate",
            "next_step": "see what these requests changed; mend the check before it runs again",
            "evidence": [f"{each['method']} {each['url']}" for each in mutations],
            "consequences": [],
        }
    ]


def _mutations(events: list[Event]) -> list[Row]:
    sent = Counter(
        (words(event.get("method")), words(event.get("url")))
        for event in of(events, "request")
        if event.get("mutation") and not event.get("blocked")
    )
    return [{"method": method, "url": url, "count": sent[method, url]} for method, url in sent]


# Troubles: why the gate itself may know nothing


def _troubles(events: list[Event], rows: list[Row]) -> list[Row]:
    told = [_trouble(event) for event in of(events, "trouble")]
    errors = [
        _trouble({"message": f"{row['check']} could not judge: {row['reason']}", **_detail(row)})
        for row in rows
        if row["outcome"] == "error" and not row["waived"]
    ]
    told = [*told, *_interruptions(events), *errors]
    return [*told, *_unfinished(events, rows, bool(told))]


def _detail(row: Row) -> Row:
    told = row["finding"] if isinstance(row["finding"], dict) else {}
    return {"check": row["check"], **{key: told.get(key) for key in _TOLD}}


_TOLD = ("expected", "seen", "next_step")


def _trouble(event: Event) -> Row:
    return {
        "message": _text(event.get("message")) or "the gate had trouble and said no more",
        **{key: _text(event.get(key)) for key in _TOLD},
        "check": event.get("check"),
    }


def _interruptions(events: list[Event]) -> list[Row]:
    signals = dict.fromkeys(words(event.get("signal")) for event in of(events, "interrupted"))
    return [
        _trouble({"message": f"the run was interrupted by {signal or 'a signal'}"})
        for signal in signals
    ]


_EXIT_TROUBLES = {
    2: "the run was interrupted",
    3: "pytest itself failed (its exit code 3, an internal error)",
    4: "pytest was called wrongly (its exit code 4)",
}


def _unfinished(events: list[Event], rows: list[Row], known: bool) -> list[Row]:
    """What a run that was whole would not lack."""
    if not of(events, "run_finished"):
        return [
            _trouble(
                {
                    "message": "the run did not finish: it was killed or it crashed",
                    "expected": "a run_finished event at the end of events.jsonl",
                    "seen": f"{len(events)} events and no such end",
                    "next_step": "run the gate again; if it is killed again, look at the memory "
                    "and the time limit of the machine",
                }
            )
        ]
    return [
        _trouble({"message": message})
        for message in (
            *_odd_exit(events, rows, known),
            *([] if known else _nothing_known(events, rows)),
        )
    ]


def _odd_exit(events: list[Event], rows: list[Row], known: bool) -> list[str]:
    code = _pytest_exit(events)
    if code == 2 and of(events, "interrupted"):
        return []
    if code in _EXIT_TROUBLES:
        return [_EXIT_TROUBLES[code]]
    told = known or any(row["outcome"] in ("failed", "error") for row in rows)
    if code == 1 and not told:
        return ["pytest saw a failure that no check recorded"]
    return [] if code in (0, 1, 5) else [f"pytest ended with an exit code of its own ({code})"]


def _nothing_known(events: list[Event], rows: list[Row]) -> list[str]:
    if _pytest_exit(events) == 5:
        return []
    if not of(events, "check"):
        return ["nothing ran at all"]
    held = any(row["required"] and not row["waived"] for row in rows)
    if not held and not any(row["outcome"] == "passed" for row in rows):
        return ["no check passed, so there is nothing to judge by"]
    declared = {event.get("stage") for event in of(events, "required")}
    unknown = [stage for stage in asked_stages(events)[0] if stage not in declared]
    if unknown or not declared:
        return [f"what is required of {listed(unknown or ['this target'])} was not recorded"]
    return []


# The rest of verdict.json


def _target(run: Event) -> Row | None:
    target = run.get("target")
    if not target:
        return None
    return {"name": words(target.get("name")), "kind": target.get("kind"), "url": target.get("url")}


def _components(events: list[Event]) -> list[Row]:
    found: dict[str, Row] = {}
    for event in of(events, "component"):
        name = words(event.get("name"))
        row = found.setdefault(name, {"name": name, **dict.fromkeys(_COMPONENT_FIELDS)})
        news = {key: event.get(key) for key in _COMPONENT_FIELDS}
        row.update({key: value for key, value in news.items() if value is not None})
    return list(found.values())


def _stages(events: list[Event], rows: list[Row]) -> list[Row]:
    asked, not_asked = asked_stages(events)
    spared = set(not_asked) - set(asked)
    return [
        _stage(name, [row for row in rows if row["stage"] == name], name in spared)
        for name in stage_order(events)
    ]


def _stage(name: str, rows: list[Row], spared: bool) -> Row:
    return {
        "name": name,
        "outcome": "not_asked" if spared and not rows else _stage_outcome(rows),
        **_totals(rows),
        "seconds": round(sum(row["seconds"] for row in rows), 3),
    }


def _stage_outcome(rows: list[Row]) -> str:
    held = [row for row in rows if not row["waived"]]
    outcomes = {row["outcome"] for row in held if row["required"] or row["outcome"] != "not_run"}
    if "failed" in outcomes:
        return "failed"
    return "passed" if outcomes == {"passed"} else "not_run"


def _totals(rows: list[Row]) -> dict[str, int]:
    counts = Counter(
        "waived" if row["waived"] and row["outcome"] != "passed" else row["outcome"] for row in rows
    )
    return {
        "total": len(rows),
        "required": sum(row["required"] for row in rows),
        **{key: counts[key] for key in ("passed", "failed", "error", "not_run", "waived")},
    }


def _waivers(events: list[Event], rows: list[Row]) -> list[Row]:
    outcomes = {row["check"]: row["outcome"] for row in rows if row["outcome"] != "not_run"}
    holds, without_effect = waivers(events, manifest(events))
    return [
        {
            "check": words(event.get("check")),
            "reason": words(event.get("reason")),
            "outcome_if_run": outcomes.get(words(event.get("check"))),
            "applies": event in holds,
        }
        for event in (*holds, *without_effect)
    ]


def _phase(event: Event) -> Row:
    seconds = number(event.get("seconds"))
    started = event.get("started")
    return {
        "name": words(event.get("name")),
        "started": number(event.get("t")) - seconds if started is None else number(started),
        "seconds": seconds,
    }


def _load(events: list[Event]) -> Row | None:
    merged: Row = {}
    for event in of(events, "load"):
        merged |= {key: value for key, value in event.items() if key not in ("kind", "t")}
    return merged or None


def _seconds(events: list[Event]) -> float:
    finished = of(events, "run_finished")
    if finished and finished[-1].get("seconds") is not None:
        return number(finished[-1]["seconds"])
    return max((number(event.get("t")) for event in events), default=0.0)


def _command(command: Any) -> str | None:
    return " ".join(map(str, command)) if isinstance(command, list) else command
