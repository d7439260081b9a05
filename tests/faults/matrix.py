"""The kill matrix: which fault is caught at which stage, by which check, and how soon.

`make faults [FAULTS=DIR] [STAGE=…]` plants every fault of a folder at every stage that has to catch
it, and writes reports/faults/: matrix.json, index.html and summary.md. A run of one stage, or of
what was not caught before (`AGAIN=1`), leaves the other rows of the matrix as they are; those of
our own catalogue are kept in reports/bench/matrix.jsonl, a line a run with its date. `JOBS=2`
plants two at a time in the stages that mostly wait; `QUICK=1` ends a stage once it has found its
fault.
"""

import json
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median
from typing import Any

from gate import manifest as manifests
from gate.errors import BAD_INPUT, MachineError
from gate.machine.console import Parser, say
from gate.stack import Stack
from gate.stages import STAGES
from reports.checks import matches
from tests.bench.record import FOLDER, Figure, publish, write, write_rows, write_whole
from tests.faults.fault import CATALOGUE, Fault, FaultError, folder
from tests.faults.runs import ROOT, Result, digest, healthy_stack, run_with_fault, stoppable

REPORTS = ROOT / "reports" / "faults"
RESULTS = FOLDER / "matrix.jsonl"
PROVED = Path(__file__).with_name("proved.toml")
UNPROVED = Path(__file__).with_name("unproved.toml")
TEMPLATE = Path(__file__).with_name("matrix.html.j2")
SHARED_STAGES = frozenset({"smoke"})
"""Stages that only look: many faults can be planted in one stack, one after the other."""
KEPT = 3
"""Faults that are named for each check in proved.toml."""
HEAD = """\
# Every check and faults that turn it red. Written by `make faults`; a check of the manifest that is
# neither here nor, with a reason, in unproved.toml fails `make unit`.
"""


Plan = list[tuple[str, Fault]]
"""Stages and the faults to plant there, in order."""


class SharedStack:
    """One healthy stack for many faults; a new one when a fault could not be taken back."""

    def __init__(self) -> None:
        self._stack: Stack | None = None
        self._close = ExitStack()

    def run_id(self) -> str:
        """The run whose stack is healthy now."""
        if self._stack is None:
            self._stack = self._close.enter_context(healthy_stack())
        return self._stack.run_id

    def close(self) -> None:
        """Take it away."""
        self._stack = None
        self._close.close()


def planned(faults: Iterable[Fault], stage: str | None) -> Plan:
    """Stages and faults in the order they are run: all of a stage together."""
    order = list(STAGES)
    pairs = [(one, fault) for fault in faults for one in fault.stages if stage in (None, one)]
    return sorted(pairs, key=lambda pair: order.index(pair[0]))


def run_all(plan: Plan, jobs: int = 1, quick: bool = False) -> Iterator[Result]:
    """Plant and judge each, `jobs` at a time where each has a stack of its own.

    Load is always alone on the machine: two runs of it would measure each other.
    """
    together = [pair for pair in plan if jobs > 1 and not (shares(*pair) or pair[0] == "load")]
    alone = [pair for pair in plan if pair not in together]
    for number, result in enumerate(_run(alone, together, jobs, quick), 1):
        blame = "" if result.right_first else f" (blamed {result.first})"
        say(f"{number}/{len(plan)} {result.stage} {result.fault}: {result.outcome}{blame}")
        yield result


def shares(stage: str, fault: Fault) -> bool:
    """Whether a fault can be planted in a stack that stands; else it gets one of its own."""
    return stage in SHARED_STAGES and fault.can_be_undone


def _run(alone: Plan, together: Plan, jobs: int, quick: bool) -> Iterator[Result]:
    with closing(SharedStack()) as shared, tempfile.TemporaryDirectory() as folder:
        for number, (stage, fault) in enumerate(alone):
            share = shares(stage, fault)
            if not share:
                shared.close()  # two stacks at once would disturb each other's timing
            reports = Path(folder) / str(number)
            standing = shared.run_id() if share else None
            result = run_with_fault(fault, stage, reports, standing, quick=quick and not share)
            if "taken back" in result.message:
                shared.close()
            yield result
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        found = [
            pool.submit(
                run_with_fault, fault, stage, Path(folder) / f"{stage}-{fault.id}", quick=quick
            )
            for stage, fault in together
        ]
        try:
            yield from (one.result() for one in as_completed(found))
        finally:  # told to stop: those that are under way end, no other begins
            pool.shutdown(wait=False, cancel_futures=True)


# Figures


def summary(results: list[Result]) -> dict[str, Any]:
    """The figures of a matrix."""
    judged_ones = [one for one in results if one.outcome != "error"]
    caught = [one for one in results if one.outcome == "caught"]
    right = [one for one in caught if one.right_first]
    times = [one.seconds for one in caught if one.stage == "smoke" and one.seconds is not None]
    return {
        "faults": len({one.fault for one in results}),
        "runs": len(results),
        "errors": len(results) - len(judged_ones),
        "caught": len(caught),
        "caught_percent": _percent(caught, results),
        "right_first": len(right),
        "right_first_percent": _percent(right, results),
        "smoke_seconds": round(mean(times), 2) if times else None,
    }


def _percent(part: list[Result], whole: list[Result]) -> float:
    return round(100 * len(part) / len(whole), 1) if whole else 0.0


def faults_by_check(results: Iterable[Result]) -> dict[str, list[str]]:
    """For each check of the manifest the faults that turn it red."""
    found: dict[str, list[str]] = {
        check: [] for checks in manifests.load().values() for check in checks
    }
    for one in results:
        for check in one.red if one.outcome == "caught" else ():
            if check in found and one.fault not in found[check]:
                found[check].append(one.fault)
    return found


def proved() -> dict[str, list[str]]:
    """Checks that some fault has turned red, with its name, as committed."""
    if not PROVED.exists():
        return {}
    return dict(tomllib.loads(PROVED.read_text(encoding="utf-8")))


def unproved() -> list[str]:
    """Checks that no fault has turned red and that are not excused by name."""
    red, excused = proved(), tomllib.loads(UNPROVED.read_text(encoding="utf-8"))
    return [
        check
        for check in faults_by_check(())
        if check not in red and not any(matches(glob, check) for glob in excused)
    ]


def write_proved(red: Mapping[str, list[str]], known: Iterable[str]) -> None:
    """Put what was proved now before what was proved earlier, for faults that still exist."""
    ids, before = set(known), proved()
    rows = []
    for check, faults in red.items():
        names = dict.fromkeys([*faults, *(one for one in before.get(check, ()) if one in ids)])
        if names:
            rows.append(f'"{check}" = {json.dumps(list(names)[:KEPT])}\n')
    PROVED.write_text(HEAD + "\n" + "".join(rows), encoding="utf-8")


# Reports


def rows(path: Path) -> list[Result]:
    """The results of the matrix that is there; none where none is."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    lines = path.suffix == ".jsonl"
    found = map(json.loads, text.splitlines()) if lines else json.loads(text)["results"]
    names = [field.name for field in fields(Result)]
    return [Result(**{name: row[name] for name in names}) for row in found]


def load_external_matrix() -> list[Result]:
    """What the last matrix of other people's faults found; nothing where that cannot be read."""
    path = REPORTS / "matrix.json"
    try:
        return rows(path)
    except (ValueError, KeyError, TypeError):
        say(f"{path} is not a matrix of this version: every fault is planted again")
        return []


def keep(results: Iterable[Result]) -> None:
    """Write the rows of our own catalogue, their figures, and the table in docs/measured.md."""
    order = list(STAGES)
    told = sorted(results, key=lambda one: (order.index(one.stage), one.fault))
    write_rows(RESULTS, told)
    publish("kill matrix", by_stage(told))


def report(results: list[Result]) -> None:
    """Write matrix.json, index.html and summary.md."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    found = {
        "schema": 1,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "summary": summary(results),
        "results": [one.row for one in results],
        "checks": faults_by_check(results),
    }
    text = json.dumps(found, indent=2, ensure_ascii=False)
    write_whole(REPORTS / "matrix.json", text + "\n")
    (REPORTS / "summary.md").write_text(markdown(results), encoding="utf-8")
    (REPORTS / "index.html").write_text(html(found), encoding="utf-8")


def by_stage(results: list[Result]) -> str:
    """What each stage caught and how soon, as a table of Markdown, for docs/measured.md."""
    stages = [(stage, [one for one in results if one.stage == stage]) for stage in STAGES]
    rows = [_told(f"`{stage}`", its) for stage, its in stages if its]
    return (
        "| stage | faults | caught | right component first | s to the finding: median, longest |\n"
        "|---|---|---|---|---|\n" + "".join([*rows, _told("all", results)])
    )


def _told(name: str, results: list[Result]) -> str:
    found = summary(results)
    times = [one.seconds for one in results if one.seconds is not None] or [0.0]
    return (
        f"| {name} | {found['runs']} | {found['caught']} ({found['caught_percent']} %)"
        f" | {found['right_first']} ({found['right_first_percent']} %)"
        f" | {median(times):.1f}, {max(times):.0f} |\n"
    )


def markdown(results: list[Result]) -> str:
    """The matrix for people who read Markdown."""
    figures = summary(results)
    head = (
        f"{figures['caught']} of {figures['runs']} caught ({figures['caught_percent']} %),"
        f" {figures['right_first']} with the right component first,"
        f" {figures['errors']} errors of the run.\n\n{by_stage(results)}\n"
        "| fault | stage | outcome | check | blamed first | s |\n|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| {one.fault} | {one.stage} | {one.outcome}"
        f" | {one.checks[0] if one.checks else one.message[:160].replace('|', '/')}"
        f" | {one.first or ''}{'' if one.right_first else ' ✗'} | {one.seconds or ''} |\n"
        for one in results
    )


def html(found: Mapping[str, Any]) -> str:
    """The matrix as one page."""
    from jinja2 import Environment

    source = TEMPLATE.read_text(encoding="utf-8")
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    return page.render(found)


def figures(results: list[Result], wall: float) -> list[Figure]:
    """The figures of reports/bench/faults.json."""
    found = summary(results)
    return [
        Figure("faults planted", "", [found["faults"]], 100, "higher"),
        Figure("caught at their stage", "%", [found["caught_percent"]], 98, "higher"),
        Figure("right component first", "%", [found["right_first_percent"]], 95, "higher"),
        Figure("planted fault to finding, smoke, mean", "s", [found["smoke_seconds"] or 0.0]),
        Figure("time of the matrix", "s", [wall]),
    ]


def main() -> int:
    """Run the matrix and say how it ended; 1 when a fault was missed or did not take."""
    parser = Parser(prog="make faults")
    parser.add_argument("--faults", type=Path, default=CATALOGUE)
    parser.add_argument("--stage", choices=list(STAGES))
    parser.add_argument("--again", action="store_true", help="only what was not caught, or blamed")
    parser.add_argument(
        "--jobs", type=int, default=1, help="so many at a time", choices=range(1, 9)
    )
    parser.add_argument("--quick", action="store_true", help="end a stage that has found its fault")
    asked = parser.parse_args()
    try:
        faults = folder(asked.faults.absolute())
    except FaultError as error:
        say(str(error))
        return BAD_INPUT
    plan, whole = planned(faults, asked.stage), planned(faults, None)
    ours = asked.faults.absolute() == CATALOGUE
    if not plan:
        say(f"expected faults of the stage {asked.stage} in {asked.faults}, got none")
        return BAD_INPUT
    known = results_for_unchanged_faults(rows(RESULTS) if ours else load_external_matrix(), whole)
    if asked.again:
        plan = [pair for pair in plan if not good(known.get((pair[0], pair[1].id)))]
    if not (asked.again or asked.stage):
        known = {}
    return run(plan, known, whole if ours else [], asked.jobs, asked.quick)


def results_for_unchanged_faults(
    results: Iterable[Result], whole: Plan
) -> dict[tuple[str, str], Result]:
    """What is known of faults whose file is as it was."""
    there = {(stage, fault.id, digest(fault)) for stage, fault in whole}
    kept = (one for one in results if (one.stage, one.fault, one.file) in there)
    return {(one.stage, one.fault): one for one in kept}


def good(result: Result | None) -> bool:
    """Whether a fault was caught and the right component blamed."""
    return result is not None and result.right_first


def run(
    plan: Plan,
    before: dict[tuple[str, str], Result],
    whole: Plan,
    jobs: int = 1,
    quick: bool = False,
) -> int:
    """Run a plan and write the matrix with what was known before; 1 when one was not caught.

    `whole` is all of our own catalogue: proved.toml is for that, and figures when nothing lacks.
    """
    found = dict(before)
    new: list[Result] = []
    say(f"{len(plan)} to plant, {jobs} at a time ...")
    try:
        for result in run_all(plan, jobs, quick):
            new.append(result)
            found[result.stage, result.fault] = result
            report(list(found.values()))
            if whole:
                keep(found.values())
    except MachineError as error:
        say(str(error))
        return 6
    results = list(found.values())
    if whole:
        write_proved(faults_by_check(new), [fault.id for _, fault in whole])
    if whole and all((stage, fault.id) in found for stage, fault in whole):
        write("faults", figures(results, sum(one.wall for one in results)))
    say(markdown(results).partition("\n")[0] + f" {REPORTS / 'index.html'}")
    return int(any(one.outcome != "caught" for one in new))


if __name__ == "__main__":
    sys.exit(stoppable(main))
