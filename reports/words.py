"""How figures, evidence and foreign text are put into words, the same in every format."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from reports.events import Event, Request, events_of_kind

MOST_TEXT = 2000
"""Characters of what a finding says in one of its parts."""
MOST_LINE = 400
"""Characters of a line of evidence: some services log 100 kB on one."""
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)

_ASCII = {"✗": "x", "○": "o", "—": "-", "·": "|", "…": "...", "━": "=", "«": "<", "»": ">"}


def uncoloured(text: str) -> str:
    """Text without a terminal's colours and titles."""
    return _ANSI.sub("", text) if "\x1b" in text else text


def plain(text: str) -> str:
    """Foreign text without colours and control characters, safe for a terminal and for XML."""
    return _CONTROL.sub("", uncoloured(text.replace("\r\n", "\n").replace("\r", "\n")))


def encodable(text: str, encoding: str) -> str:
    """Text that a stream can show: marks that its encoding lacks have an ASCII one."""
    try:
        text.encode(encoding)
    except UnicodeError:
        for mark, plain_mark in _ASCII.items():
            text = text.replace(mark, plain_mark)
        return text.encode(encoding, "replace").decode(encoding)
    except LookupError:
        return encodable(text, "ascii")
    return text


def shortened(text: str, most: int = MOST_TEXT) -> str:
    """Text of a bounded length; what is left out is in the run's files."""
    left = len(text) - most
    return f"{text[:most]} … ({left:,} more characters)" if left > 0 else text


def seconds(value: float) -> str:
    """A duration as people say it."""
    if value < 1:
        return f"{value * 1000:.0f} ms" if value < 0.0995 else f"{value:.1f} s"
    if value < 120:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def count(number: int, noun: str) -> str:
    """`1 finding`, `2 findings`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def lines(evidence: Any) -> list[str]:
    """Evidence of any shape as lines of plain text."""
    if evidence is None or evidence == "":
        return []
    if isinstance(evidence, str):
        # Cut first, so that no time is spent on what is not shown.
        raw = evidence.replace("\r\n", "\n").replace("\r", "\n").strip("\n").split("\n")
        told = plain("\n".join(shortened(line, MOST_LINE) for line in raw))
        return [line.rstrip() for line in told.split("\n")]
    if isinstance(evidence, list) and all(isinstance(of, (int, float)) for of in evidence):
        return [shortened(", ".join(map(str, evidence)), MOST_LINE)] if evidence else []
    if isinstance(evidence, list):
        return [line for item in evidence for line in lines(item)]
    if isinstance(evidence, dict):
        return [line for key, value in evidence.items() for line in _named(str(key), value)]
    return [shortened(plain(json.dumps(evidence)), MOST_LINE)]


def first(told: list[str], most: int) -> list[str]:
    """The first of many lines, and how many more there are."""
    more = len(told) - most
    return [*told[:most], f"… {count(more, 'more line')}"] if more > 0 else told


def labelled(finding: dict[str, Any]) -> list[tuple[str, str]]:
    """What a finding or a trouble says, each part with its label."""
    keys = ("expected", "seen", "likely_cause", "machine", "next_step")
    return [(key.replace("_", " "), shortened(finding[key])) for key in keys if finding.get(key)]


def machine(worst: dict[str, Any] | None) -> str:
    """What the machine had to spare in its worst seconds; empty where that is not known."""
    if worst is None:
        return ""
    waits = [
        f"{worst[key]:.0%} for {key.removeprefix('waited_for_').replace('_', ' ')}"
        for key in ("waited_for_a_core", "waited_for_memory", "waited_for_the_disk")
        if worst[key] is not None
    ]
    waited = f"processes waited {listed(waits)} of the time, " if waits else ""
    stolen = f"its host took {worst['stolen']:.0%}, " if worst["stolen"] else ""
    free = f"{worst['memory_available']:.0%} of the memory was available"
    short = f" It was short meanwhile: {worst['shortage']}." if worst["shortage"] else ""
    return (
        f"{count(worst['cores'], 'core')}; in its worst {seconds(worst['seconds'])}"
        f" {waited}{stolen}load {worst['load']:g}, {free}.{short}"
    )


def by_reason(not_run: list[dict[str, Any]]) -> list[tuple[str, str, list[str]]]:
    """Checks that did not run, put together by reason: (what they are, reason, their ids)."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in not_run:
        groups.setdefault(plain(row["reason"]), []).append(row)
    return [
        (_named_group(rows), reason, [row["check"] for row in rows])
        for reason, rows in groups.items()
    ]


def waived_by_reason(waivers: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Waived checks put together by reason, which says too what came of those that ran."""
    groups: dict[str, list[str]] = {}
    for waiver in waivers:
        outcome = waiver["outcome_if_run"]
        ran = f" (ran: {outcome})" if outcome else ""
        void = "" if waiver["applies"] else " (changed nothing)"
        groups.setdefault(f"{plain(waiver['reason'])}{ran}{void}", []).append(waiver["check"])
    return list(groups.items())


def listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _named_group(rows: list[dict[str, Any]]) -> str:
    if len(rows) == 1:
        return str(rows[0]["check"])
    stages = list(dict.fromkeys(str(row["stage"]) for row in rows))
    return f"{len(rows)} checks of {listed(stages)}"


def methods(events: Iterable[Event]) -> str:
    """How many requests of each method, `42 GET, 2 HEAD`."""
    counts = Counter(request.method for request in events_of_kind(events, Request))
    return ", ".join(f"{number} {method}" for method, number in counts.items())


def _named(key: str, value: Any) -> list[str]:
    told = lines(value)
    if len(told) == 1:
        return [f"{key}: {told[0]}"]
    return [f"{key}:", *(f"  {line}" for line in told)]
