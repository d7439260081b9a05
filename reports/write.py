"""Ends a run: reads its stream, judges it and writes every report, whatever else fails."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from reports import junit, markdown
from reports.events import Event, Json, Trouble
from reports.stream import FILE, read
from reports.verdict import judge

Verdict = Json
Writer = Callable[[Verdict, list[Event], Path], str]
SCHEMA_FILE = Path(__file__).with_name("verdict.schema.json")


def _page(verdict: Verdict, events: list[Event], folder: Path) -> str:
    from reports import html  # jinja2 is slow to import: no run should start with it

    return html.text(verdict, events, folder)


WRITERS: dict[str, Writer] = {
    "index.html": _page,
    "junit.xml": lambda verdict, events, _: junit.text(verdict, events),
    "summary.md": lambda verdict, events, _: markdown.text(verdict, events),
}


def finish(folder: Path, unwritten: Sequence[Event] = ()) -> Verdict:
    """Judge the run in this folder, write all its reports, and answer with its verdict.

    `unwritten` is what the disk would not take.
    """
    written = read(folder) if not unwritten or (folder / FILE).exists() else []
    events = [*written, *unwritten]
    verdict = _judge(events, folder)
    failures = _write_all(verdict, events, folder)
    if failures:
        events += failures
        verdict = _judge(events, folder)
        _write_all(verdict, events, folder)
    try:
        _write_json(verdict, folder)
    except OSError as error:
        _complain(f"verdict.json could not be written: {error}")
    _link_latest(folder)
    return verdict


def _judge(events: list[Event], folder: Path) -> Verdict:
    verdict = judge(events)
    verdict["run_id"] = verdict["run_id"] or folder.resolve().name
    return verdict


def _write_all(verdict: Verdict, events: list[Event], folder: Path) -> list[Trouble]:
    failures = []
    for name, write in WRITERS.items():
        try:
            text = write(verdict, events, folder)
            (folder / name).write_text(text, encoding="utf-8", errors="replace")
        except Exception as error:
            failures.append(_failure(name, error))
            _complain(failures[-1].message)
    return failures


def _failure(name: str, error: Exception) -> Trouble:
    return Trouble(
        f"{name} could not be written: {type(error).__name__}: {error}",
        expected=f"a written {name}",
        seen=f"{type(error).__name__}: {error}",
        next_step="see that the disk has room and the folder can be written; "
        "then `python -m reports` with this run writes the reports again",
    )


def _write_json(verdict: Verdict, folder: Path) -> None:
    shutil.copyfile(SCHEMA_FILE, folder / SCHEMA_FILE.name)
    new = folder / ".verdict.json.new"
    text = json.dumps(verdict, ensure_ascii=False, indent=2) + "\n"
    new.write_text(text, encoding="utf-8", errors="replace")
    new.replace(folder / "verdict.json")


def _link_latest(folder: Path) -> None:
    """Let `latest` lead to the run with the youngest events, in one step that nobody sees half."""
    folder = folder.resolve()
    if folder.parent.name != "runs":
        return
    latest = folder.parent.parent / "latest"
    new = latest.with_name(f".latest.{os.getpid()}")
    try:
        if _age(latest) > _age(folder):
            return
        new.unlink(missing_ok=True)
        new.symlink_to(Path("runs") / folder.name)
        new.replace(latest)
    except OSError as error:
        for link in filter(Path.is_symlink, (new, latest)):  # the run before is not the latest
            with suppress(OSError):
                link.unlink()
        _complain(f"{latest} could not be pointed at this run: {error}")


def _age(run: Path) -> float:
    try:
        return (run / FILE).stat().st_mtime
    except OSError:
        return 0.0


def _complain(message: str) -> None:
    sys.stderr.write(f"reports: {message}\n")
