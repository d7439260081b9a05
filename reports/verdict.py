"""The judge: from the events of a run to its verdict, by rules and nothing else."""

from __future__ import annotations

from collections import Counter

from reports.checks import (
    Row,
    asked_stages,
    manifest,
    matches,
    stage_order,
    started,
    table,
    waivers,
)
from reports.events import (
    NOT_ASKED,
    WAIVED,
    CheckResult,
    Component,
    Event,
    Expected,
    Finding,
    Interrupted,
    Json,
    Load,
    Machine,
    Outcome,
    Phase,
    Request,
    Required,
    RunFinished,
    RunStarted,
    Trouble,
    as_it_is,
    events_of_kind,
)
from reports.words import count, listed

SCHEMA = 1
EXIT_CODES = {"PROMOTE": 0, "HOLD": 1, "UNDECIDED": 6}
KEPT_PYTEST_EXITS = {2, 3, 4, 5}
_TOTALS = (Outcome.PASSED, Outcome.FAILED, Outcome.ERROR, Outcome.NOT_RUN, WAIVED)
_COMPONENT_FIELDS = (
    *("image", "version", "revision", "state", "health", "restarts", "source", "address"),
)


def judge(events: list[Event]) -> Json:
    """Everything verdict.json holds. No evidence is never PROMOTE."""
    run = started(events)
    rows = table(events)
    components = _components(events)
    findings = _touched_live(events) + _findings(rows)
    troubles = _troubles(events, rows)
    verdict, reasons = _decide(events, rows, findings, troubles)
    code = _pytest_exit(events)
    return {
        "schema": SCHEMA,
        "run_id": run.run_id if run else None,
        "at": run.at if run else None,
        "verdict": verdict,
        "exit_code": code if code in KEPT_PYTEST_EXITS else EXIT_CODES[verdict],
        "reasons": reasons,
        "target": _target(run),
        "command": run.command if run else None,
        "expected": vars(run.expected if run else Expected(None, None)),
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
            {
                "check": row.check,
                "stage": row.stage,
                "reason": row.reason,
                "required": row.required,
            }
            for row in rows
            if row.outcome is Outcome.NOT_RUN and not row.waived
        ],
        "waivers": _waivers(events, rows),
        "mutations": _mutations(events),
        "requests": len(events_of_kind(events, Request)),
        "phases": [_phase(event) for event in events_of_kind(events, Phase)],
        "load": _load(events),
        "machine": _machine(events),
        "seconds": _seconds(events),
    }


# The decision


def _decide(
    events: list[Event], rows: list[Row], findings: list[Json], troubles: list[Json]
) -> tuple[str, list[str]]:
    missing = [row for row in rows if row.required and not row.waived and not row.passed]
    told = [f"The gate could not judge: {_clause(row['message'])}." for row in troubles]
    if findings:
        return "HOLD", _why_findings(findings) + _why_missing(missing) + told + _notes(events)
    if troubles:
        return "UNDECIDED", told + _why_missing(missing) + _notes(events)
    if _pytest_exit(events) == 5:
        return "HOLD", ["Nothing ran: pytest found no check to run.", *_why_missing(missing)]
    if missing:
        return "HOLD", _why_missing(missing) + _notes(events)
    return "PROMOTE", _why_promote(rows) + _notes(events)


def _pytest_exit(events: list[Event]) -> int:
    finished = events_of_kind(events, RunFinished)
    code = finished[-1].pytest_exit if finished else None
    return -1 if code is None else code


def _why_findings(findings: list[Json]) -> list[str]:
    folded = len({check for finding in findings for check in finding["consequences"]})
    it = "it" if len(findings) == 1 else "them"
    follow = f", and {count(folded, 'more check')} failed because of {it}" if folded else ""
    if len(findings) == 1:
        return [f'{_place(findings[0])}: "{_clause(findings[0]["title"])}" failed{follow}.']
    places = listed(list(dict.fromkeys(_place(finding) for finding in findings)))
    return [f"{len(findings)} findings, in {places}{follow}."]


def _why_missing(missing: list[Row]) -> list[str]:
    missing = [row for row in missing if row.outcome is Outcome.NOT_RUN]
    if not missing:
        return []
    reasons = list(dict.fromkeys(row.reason or "" for row in missing))
    why = f"{_clause(reasons[0])}." if len(reasons) == 1 else f"{len(reasons)} different reasons."
    return [f"{count(len(missing), 'required check')} did not run: {why}"]


def _why_promote(rows: list[Row]) -> list[str]:
    required = [row for row in rows if row.required]
    passed = sum(row.passed for row in required)
    waived = sum(row.shown == WAIVED for row in required)
    if not waived:
        return [f"All {count(passed, 'required check')} passed."]
    are = "is" if waived == 1 else "are"
    return [
        f"{passed} of {len(required)} required checks passed and {waived} {are} waived by name."
    ]


def _notes(events: list[Event]) -> list[str]:
    _, without_effect = waivers(events, manifest(events))
    notes = [
        f"The waiver for {event.check} changed nothing: "
        "it needs the id of a required check, and a reason."
        for event in without_effect
    ]
    asked, not_asked = asked_stages(events)
    left_out = [stage for stage in not_asked if stage not in asked]
    return notes + ([f"Not asked for: {listed(left_out)}."] if left_out else [])


def _place(finding: Json) -> str:
    return str(finding["component"] or finding["stage"])


def _clause(sentence: str) -> str:
    return sentence.strip().rstrip(".")


# Findings


def _findings(rows: list[Row]) -> list[Json]:
    failed = {row.check: row for row in rows if row.shown == Outcome.FAILED}
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
            if other != check and any(matches(glob, other) for glob in row.follows)
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


def _finding(row: Row, consequences: list[str]) -> Json:
    told = row.finding or Finding()
    return {
        "check": row.check,
        "title": row.title,
        "stage": row.stage,
        "component": row.component or "",
        "expected": told.expected or row.title,
        "seen": told.seen or row.reason or "it failed and said no more",
        "likely_cause": told.likely_cause or "",
        "next_step": told.next_step or "",
        "evidence": told.evidence,
        "machine": f"was short itself: {told.machine}" if told.machine else "",
        "consequences": consequences,
    }


def _touched_live(events: list[Event]) -> list[Json]:
    mutations = _mutations(events)
    run = started(events)
    disposable = run and run.target and run.target.kind == "disposable"
    if not mutations or disposable:
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
            "machine": "",
            "consequences": [],
        }
    ]


def _mutations(events: list[Event]) -> list[Json]:
    sent = Counter(
        (event.method, event.url)
        for event in events_of_kind(events, Request)
        if event.mutation and not event.blocked
    )
    return [{"method": method, "url": url, "count": sent[method, url]} for method, url in sent]


# Troubles: why the gate itself may know nothing


def _troubles(events: list[Event], rows: list[Row]) -> list[Json]:
    told = [
        *events_of_kind(events, Trouble),
        *_interruptions(events),
        *map(_unjudged, _by_reason([row for row in rows if row.shown == Outcome.ERROR])),
    ]
    return [_trouble(one) for one in (*told, *_unfinished(events, rows, bool(told)))]


def _by_reason(rows: list[Row]) -> list[list[Row]]:
    groups: dict[str | None, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.reason, []).append(row)
    return list(groups.values())


def _unjudged(rows: list[Row]) -> Trouble:
    """Say once why checks could not judge: one cause may keep a whole stage from it."""
    row, told = rows[0], rows[0].finding or Finding()
    more = f" and {count(len(rows) - 1, 'more check')}" if len(rows) > 1 else ""
    message = f"{row.check}{more} could not judge: {row.reason}"
    return Trouble(message, told.expected, told.seen, told.next_step, row.check)


def _trouble(trouble: Trouble) -> Json:
    return {
        "message": trouble.message or "the gate had trouble and said no more",
        "expected": trouble.expected or "",
        "seen": trouble.seen or "",
        "next_step": trouble.next_step or "",
        "check": trouble.check,
    }


def _interruptions(events: list[Event]) -> list[Trouble]:
    signals = dict.fromkeys(event.signal for event in events_of_kind(events, Interrupted))
    return [Trouble(f"the run was interrupted by {signal or 'a signal'}") for signal in signals]


_EXIT_TROUBLES = {
    2: "the run was interrupted",
    3: "pytest itself failed (its exit code 3, an internal error)",
    4: "pytest was called wrongly (its exit code 4)",
}


def _unfinished(events: list[Event], rows: list[Row], known: bool) -> list[Trouble]:
    """What a run that was whole would not lack."""
    if not events_of_kind(events, RunFinished):
        return [
            Trouble(
                "the run did not finish: it was killed or it crashed",
                expected="a run_finished event at the end of events.jsonl",
                seen=f"{len(events)} events and no such end",
                next_step="run the gate again; if it is killed again, look at the memory "
                "and the time limit of the machine",
            )
        ]
    messages = [*_odd_exit(events, rows, known), *([] if known else _nothing_known(events, rows))]
    return [Trouble(message) for message in messages]


def _odd_exit(events: list[Event], rows: list[Row], known: bool) -> list[str]:
    code = _pytest_exit(events)
    if code == 2 and events_of_kind(events, Interrupted):
        return []
    if code in _EXIT_TROUBLES:
        return [_EXIT_TROUBLES[code]]
    told = known or any(row.outcome.is_red for row in rows)
    if code == 1 and not told:
        return ["pytest saw a failure that no check recorded"]
    return [] if code in (0, 1, 5) else [f"pytest ended with an exit code of its own ({code})"]


def _nothing_known(events: list[Event], rows: list[Row]) -> list[str]:
    if _pytest_exit(events) == 5:
        return []
    if not events_of_kind(events, CheckResult):
        return ["nothing ran at all"]
    held = any(row.required and not row.waived for row in rows)
    if not held and not any(row.passed for row in rows):
        return ["no check passed, so there is nothing to judge by"]
    declared = {event.stage for event in events_of_kind(events, Required)}
    unknown = [stage for stage in asked_stages(events)[0] if stage not in declared]
    if unknown or not declared:
        return [f"what is required of {listed(unknown or ['this target'])} was not recorded"]
    return []


# The rest of verdict.json


def _target(run: RunStarted | None) -> Json | None:
    if run is None or run.target is None:
        return None
    return {"name": run.target.name, "kind": run.target.kind or None, "url": run.target.url}


def _components(events: list[Event]) -> list[Json]:
    found: dict[str, Json] = {}
    for event in events_of_kind(events, Component):
        row = found.setdefault(event.name, {"name": event.name, **dict.fromkeys(_COMPONENT_FIELDS)})
        news = {key: getattr(event, key) for key in _COMPONENT_FIELDS}
        row.update({key: value for key, value in news.items() if value is not None})
    return list(found.values())


def _stages(events: list[Event], rows: list[Row]) -> list[Json]:
    asked, not_asked = asked_stages(events)
    spared = set(not_asked) - set(asked)
    return [
        _stage(name, [row for row in rows if row.stage == name], name in spared)
        for name in stage_order(events)
    ]


def _stage(name: str, rows: list[Row], spared: bool) -> Json:
    return {
        "name": name,
        "outcome": NOT_ASKED if spared and not rows else _stage_outcome(rows),
        **_totals(rows),
        "seconds": round(sum(row.seconds for row in rows), 3),
    }


def _stage_outcome(rows: list[Row]) -> Outcome:
    held = [row for row in rows if not row.waived]
    outcomes = {row.outcome for row in held if row.required or row.outcome is not Outcome.NOT_RUN}
    if Outcome.FAILED in outcomes:
        return Outcome.FAILED
    return Outcome.PASSED if outcomes == {Outcome.PASSED} else Outcome.NOT_RUN


def _totals(rows: list[Row]) -> dict[str, int]:
    counts = Counter(row.shown for row in rows)
    return {
        "total": len(rows),
        "required": sum(row.required for row in rows),
        **{key: counts[key] for key in _TOTALS},
    }


def _waivers(events: list[Event], rows: list[Row]) -> list[Json]:
    outcomes = {row.check: row.outcome for row in rows if row.outcome is not Outcome.NOT_RUN}
    holds, without_effect = waivers(events, manifest(events))
    return [
        {
            "check": event.check,
            "reason": event.reason,
            "outcome_if_run": outcomes.get(event.check),
            "applies": event in holds,
        }
        for event in (*holds, *without_effect)
    ]


def _phase(event: Phase) -> Json:
    started, seconds = round(event.started, 3), round(event.seconds, 3)
    return {"name": event.name, "started": started, "seconds": seconds}


def _machine(events: list[Event]) -> Json | None:
    worst = events_of_kind(events, Machine)
    return worst[-1].as_fields(as_it_is) if worst else None


def _load(events: list[Event]) -> Json | None:
    merged: Json = {}
    for event in events_of_kind(events, Load):
        merged |= event.facts
    return merged or None


def _seconds(events: list[Event]) -> float:
    finished = events_of_kind(events, RunFinished)
    if finished:
        return round(finished[-1].seconds, 3)
    return round(max((event.t for event in events), default=0.0), 3)
