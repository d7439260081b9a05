"""index.html: the report that people read; one file, no network, no script."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket

from reports.checks import Row, table, words
from reports.events import (
    WAIVED,
    Event,
    Json,
    Outcome,
    Picture,
    Request,
    Table,
    events_of_kind,
)
from reports.words import (
    by_reason,
    count,
    first,
    lines,
    machine,
    methods,
    plain,
    seconds,
    shortened,
    waived_by_reason,
)

TEMPLATE = "page.html.j2"
MOST_ROWS = 60
MOST_LINES = 60
"""Of one finding's evidence; its files have all of them."""
MOST_BYTES = 3_000_000
"""Of pictures inside the page; what goes beyond is only linked."""
WIDTH = 1000
_SPECIAL = re.compile(r"\b((?:logs|load|pictures)/\w[\w./-]*\w)|`([^`\n]+)`")
_WORST_FIRST = (Outcome.FAILED, Outcome.ERROR, Outcome.NOT_RUN, WAIVED, Outcome.PASSED)


class _Compiled(BytecodeCache):
    """Keeps the compiled page beside Python's own compiled files: half the time of the report."""

    path = Path(__file__).parent / "__pycache__" / f"{TEMPLATE}.cache"

    def load_bytecode(self, bucket: Bucket) -> None:
        try:
            bucket.bytecode_from_string(self.path.read_bytes())
        except (OSError, ValueError, EOFError, TypeError):
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        new = self.path.with_suffix(f".{os.getpid()}")
        try:
            new.write_bytes(bucket.bytecode_to_string())
            new.replace(self.path)
        except OSError:
            return


def text(verdict: Json, events: list[Event], folder: Path | None = None) -> str:
    """The page; pictures are put into it from the run's folder."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        bytecode_cache=_Compiled(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        plain=lambda value: shortened(plain(words(value))),
        seconds=seconds,
        lines=lambda evidence: first(lines(evidence), MOST_LINES),
        machine=machine,
        pieces=_pieces,
        fine=_fine,
    )
    environment.globals.update(count=count)
    return environment.get_template(TEMPLATE).render(
        v=verdict, pictures=_pictures(events, folder), **_view(verdict, events)
    )


def _view(verdict: Json, events: list[Event]) -> Json:
    rows = table(events)
    url = (verdict["target"] or {}).get("url") or ""
    roots = {
        check: number
        for number, finding in enumerate(verdict["findings"], 1)
        for check in (finding["check"], *finding["consequences"])
    }
    return {
        "rows": {row.check: row for row in rows},
        "groups": _groups(rows),
        "roots": roots,
        "not_run": by_reason(verdict["not_run"]),
        "waived": waived_by_reason(verdict["waivers"]),
        "timings": _timings(verdict, events_of_kind(events, Request)),
        "methods": methods(events),
        "changed": sum(row["count"] for row in verdict["mutations"]),
        "seen": _seen(verdict),
        "url": url if url.startswith(("https://", "http://")) else None,
        "load": _load(verdict["load"]),
        "tables": events_of_kind(events, Table),
    }


# The checks, grouped by component


def _groups(rows: list[Row]) -> list[Json]:
    named: dict[str, list[Row]] = {}
    for row in rows:
        named.setdefault(row.component or f"stage {row.stage}", []).append(row)
    groups = [_group(name, members) for name, members in named.items()]
    return sorted(groups, key=lambda group: _WORST_FIRST.index(group["worst"]))


def _group(name: str, rows: list[Row]) -> Json:
    counts = [(shown, sum(row.shown == shown for row in rows)) for shown in _WORST_FIRST]
    present = [(shown, many) for shown, many in counts if many]
    return {"name": name, "rows": rows, "counts": present, "worst": present[0][0]}


# The waterfall


def _timings(verdict: Json, requests: list[Request]) -> Json | None:
    spans = [_span(event) for event in requests]
    every = [*verdict["phases"], *spans]
    if not every:
        return None
    origin = min(span["started"] for span in every)
    total = max(span["started"] + span["seconds"] for span in every) - origin or 0.001
    scale = (origin, total)
    bars = _rows(spans, scale) if len(spans) <= MOST_ROWS else _lanes(spans, scale)
    return {
        "phases": [
            {"label": phase["name"], "seconds": phase["seconds"], "bars": [_bar(phase, scale)]}
            for phase in verdict["phases"]
        ],
        "requests": bars,
        "ticks": [total * part / 4 for part in range(5)],
    }


def _span(event: Request) -> Json:
    status = event.status
    return {
        "started": round(event.started, 3),
        "seconds": round(event.seconds, 3),
        "service": event.service or "other",
        "label": f"{event.method} {_path(event.url)}",
        "answer": event.error or words(status),
        "bad": bool(event.error) or (isinstance(status, int) and status >= 500),
    }


def _path(url: str) -> str:
    return re.sub(r"^\w+://[^/]*", "", url) or url


def _bar(span: Json, scale: tuple[float, float], bad: bool = False) -> Json:
    origin, total = scale
    x = round((span["started"] - origin) / total * WIDTH, 1)
    width = max(round(span["seconds"] / total * WIDTH, 1), 3)
    return {"x": min(x, WIDTH - width), "width": width, "bad": bad}


def _rows(spans: list[Json], scale: tuple[float, float]) -> list[Json]:
    return [
        {**span, "bars": [_bar(span, scale, span["bad"])]}
        for span in sorted(spans, key=lambda span: span["started"])
    ]


def _lanes(spans: list[Json], scale: tuple[float, float]) -> list[Json]:
    """Many requests: one row a service, its bars melted together where they touch."""
    services: dict[str, list[Json]] = {}
    for span in sorted(spans, key=lambda span: span["started"]):
        services.setdefault(span["service"], []).append(span)
    return [
        {
            "label": f"{name}, {count(len(members), 'request')}",
            "service": name,
            "seconds": max(member["seconds"] for member in members),
            "answer": _lane_answer(members),
            "bad": any(member["bad"] for member in members),
            "bars": list(_melted([_bar(member, scale, member["bad"]) for member in members])),
        }
        for name, members in services.items()
    ]


def _lane_answer(members: list[Json]) -> str:
    failed = sum(member["bad"] for member in members)
    return f"{failed} failed" if failed else "slowest"


def _melted(bars: list[Json]) -> Iterator[Json]:
    for bad in (False, True):
        current: Json | None = None
        for bar in (bar for bar in bars if bar["bad"] is bad):
            if current and bar["x"] <= current["x"] + current["width"] + 1:
                end = max(current["x"] + current["width"], bar["x"] + bar["width"])
                current["width"] = round(end - current["x"], 1)
                continue
            if current:
                yield current
            current = dict(bar)
        if current:
            yield current


# The pictures


def _pictures(events: list[Event], folder: Path | None) -> list[Json]:
    left = MOST_BYTES
    found = []
    for event in events_of_kind(events, Picture):
        data = _read(folder, event.path) if folder else b""
        left -= len(data)
        shown = _data_uri(data) if left > 0 else ""
        found.append({"title": event.title, "path": event.path, "data": shown})
    return found


def _read(folder: Path, path: str) -> bytes:
    try:
        return (folder / path).read_bytes()
    except OSError:
        return b""


def _data_uri(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}" if data else ""


# The rest


def _said(value: Any) -> Any:
    return ("no", "yes")[value] if isinstance(value, bool) else value


def _load(load: Json | None) -> Json | None:
    if load is None:
        return None
    simple = {key: of for key, of in load.items() if not isinstance(of, (dict, list))}
    told = {key: _said(of) for key, of in simple.items() if of is not None}
    return {"simple": told, "rest": {key: of for key, of in load.items() if key not in simple}}


def _pieces(text: str) -> list[tuple[str, str]]:
    """Foreign text in pieces: plain text, `code` in backticks, and files beside this page."""
    kinds = ("text", "file", "code")
    parts = enumerate(_SPECIAL.split(shortened(plain(text))))
    return [(kinds[place % 3], part) for place, part in parts if part]


def _fine(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else seconds(value)


def _seen(verdict: Json) -> list[Json]:
    """The builds of our own that run, each with whether it is the expected one."""
    builds: dict[tuple[Any, Any], list[str]] = {}
    for name, build in verdict["seen"].items():
        if build["revision"]:
            builds.setdefault((build["version"], build["revision"]), []).append(name)
    return [
        {
            "version": version,
            "revision": revision,
            "names": names,
            "fits": _fits(verdict["expected"], version, revision),
        }
        for (version, revision), names in builds.items()
    ]


def _fits(expected: Json, version: Any, revision: str) -> bool:
    same_version = expected["version"] in (None, version)
    wanted = expected["revision"] or ""
    return same_version and (revision.startswith(wanted) or wanted.startswith(revision))
