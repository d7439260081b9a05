"""`python -m load run PROFILE`, `judge RUN` and `trend`: load by hand, without the gate."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from gate import target as targets
from gate.errors import BAD_INPUT, GateError, TargetError
from gate.machine.console import Parser, say
from gate.machine.interrupts import run_main
from gate.target import Target
from load import history, measures, profile, runner, samples, slo, trend, versus
from load.judge import Answer
from load.samples import Run

REPORTS = Path(__file__).parent.parent / "reports"
RUNS = REPORTS / "load"
MISSED, INVALID = 1, 6
MARKS = {"met": "✓", "missed": "✗", "not enough data": "?"}
MARKS |= {"better": "✓", "same": "✓", "worse": "✗"}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 all is well, 1 missed or worse, 4 bad input, 6 nothing is known."""
    options = _parser().parse_args(arguments)
    try:
        found = options.work(options)
    except GateError as error:
        say(str(error))
        return error.exit_code
    except OSError as error:
        say(f"expected a folder that can be written, got {error.filename}: {error.strerror}")
        return BAD_INPUT
    return told(found) if found else 0


def _parser() -> Parser:
    parser = Parser(prog="python -m load", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="run|judge|trend")
    one = commands.add_parser("run", help="run a profile against a target")
    one.add_argument("profile", help="smoke, gate, nightly, soak, or a TOML file")
    one.add_argument("--target", default="localhost", help="URL, localhost or FILE.toml")
    one.add_argument("--baseline", metavar="TARGET", help="another stack, to compare it with")
    one.add_argument("--ca-file", type=Path)
    one.add_argument("--workers", type=int, default=1, choices=range(1, 65), metavar="N")
    one.add_argument("--listen", type=int, metavar="PORT", help="for workers of other hosts")
    one.add_argument("--folder", type=Path, help="for what it leaves")
    one.set_defaults(work=run)
    one = commands.add_parser("judge", help="hold a run to the service levels")
    one.add_argument("folder", type=Path, metavar="RUN")
    one.set_defaults(work=lambda options: samples.read(options.folder))
    one = commands.add_parser("trend", help="a page of all runs of a history")
    one.add_argument("--history", type=Path, default=REPORTS / history.FILE)
    one.add_argument("--folder", type=Path, default=REPORTS / "trend")
    one.set_defaults(work=show_trend)
    return parser


def show_trend(options: argparse.Namespace) -> None:
    """Write the trend page of the valid runs. Raises `HistoryError`."""
    entries = history.read(options.history)
    valid = [one for one in entries if one["validity"]["valid"] and not one["aborted"]]
    say(f"{trend.write(valid, options.folder)}")


def run(options: argparse.Namespace) -> Run:
    """Run a profile. Raises `FileError`, `TargetError`, `MachineError`."""
    chosen = profile.load(options.profile)
    slo.load()  # refused now, not after the run
    target = _somewhere(options.target, options.ca_file)
    other = _somewhere(options.baseline, options.ca_file) if options.baseline is not None else None
    chosen = chosen.reading() if target.live else chosen
    seconds = (chosen.comparing() if other else chosen).seconds
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder = options.folder or RUNS / f"{stamp}-{chosen.name}"
    say(f"{chosen.name}: {seconds:g} s of load on {target.url} …")
    keys = targets.credentials(target)
    return runner.run(chosen, target, keys, folder, options.workers, other, listen=options.listen)


def _somewhere(word: str, ca_file: Path | None) -> Target:
    found = targets.read(word, ca_file)
    if found.managed:
        raise TargetError(
            "expected a stack that is there: localhost, a URL or a .toml file, got disposable;"
            " `make load` brings up one of its own"
        )
    return found


def told(found: Run) -> int:
    """Say what a run is worth and how it holds its levels."""
    if not found.summary["validity"]["valid"]:
        for reason in found.summary["validity"]["reasons"]:
            say(f" ? {reason}")
        say("UNDECIDED: the run is not valid")
        return INVALID
    told = _comparison if "baseline" in found.summary else _levels
    outcomes = told(found)
    if outcomes & {"missed", "worse"}:
        return MISSED
    return INVALID if "not enough data" in outcomes else 0


def _levels(found: Run) -> set[str]:
    answers = measures.answers(found, slo.load())
    short = found.summary.get("too_short_for", [])
    told = [one for one in answers if measures.title(one[0], one[1].level) not in short]
    for name, answer in told:
        say(line(name, answer))
    if short:
        say(f" - the profile is too short for {', '.join(short)}")
    return {answer.outcome for _, answer in told}


def _comparison(found: Run) -> set[str]:
    answers = versus.side_by_side(found)
    say(answers.title)
    for name, one in answers.found.items():
        say(f" {MARKS[one.verdict]} {name}: {versus.words(one)}")
    return {one.verdict for one in answers.found.values()}


def line(name: str, answer: Answer) -> str:
    """One level in one line."""
    return f" {MARKS[answer.outcome]} {name}: {answer.level.words}; seen {answer.words}"


if __name__ == "__main__":
    sys.exit(run_main(main))
