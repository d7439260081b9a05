"""Measures the contract stage against the plain Schemathesis command line (`make bench-contract`).

Both run on the same stacks with the same seed and the same number of cases an operation: healthy
ones for speed, repetition and false alarms, and one for each planted fault of the stage.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.agreed import FILE
from contracts.budget import SEED, budget
from contracts.fuzz import configuration
from gate.errors import MachineError
from gate.machine.commands import run_checked
from gate.machine.console import say
from gate.machine.interrupts import run_main
from gate.running import running_stack
from gate.stack import Stack
from reports.events import CheckResult, Phase, Request, Table, events_of_kind
from tests.bench.record import Figure, report
from tests.faults.fault import CATALOGUE, Fault, folder
from tests.faults.planting import Planting
from tests.faults.runs import Outcome, gate

SEEDS = 20
REPEATS = 2
LIMIT = 900.0
OWN_FILES = 2
"""compose.yaml and gate.yaml."""
LOG_LIMIT = 30.0
KEY_VARIABLE = "CONTRACT_BENCH_KEY"


@dataclass(frozen=True)
class Run:
    """One run of either: requests, seconds, and when its first finding came (None: none)."""

    requests: int
    seconds: float
    first: float | None


@contextmanager
def standing(fault: Fault | None = None) -> Iterator[Stack]:
    """A stack, healthy or with a fault of the catalogue. Raises `MachineError`."""

    def plant(stack: Stack) -> None:
        if fault is not None:
            Planting(stack, fault).before()

    with running_stack(before=plant) as stack:
        yield stack


def staged(stack: Stack, seed: int) -> tuple[Run, Outcome]:
    """The contract stage on a stack that stands."""
    with tempfile.TemporaryDirectory() as name:
        words = ["-m", "contract", f"--on-stack={stack.run_id}"]
        # The files of a planted fault too: without them the gate would take it away again.
        files = list(stack.compose.compose_file_name or ())
        words += [f"--compose-file={one}" for one in files[OWN_FILES:]]
        done = gate(*words, folder=Path(name), environment={SEED: str(seed)}, limit=LIMIT)
    explored = [
        one
        for one in events_of_kind(done.events, CheckResult)
        if one.check.startswith("contract.fuzz.")
    ]
    begun = next(one for one in events_of_kind(done.events, Phase) if one.name == "contract")
    failed = [one.t - begun.started for one in done.failed]
    seconds = sum(one.seconds for one in explored)
    return Run(_sent(done, explored), seconds, min(failed, default=None)), done


def _sent(done: Outcome, explored: list[CheckResult]) -> int:
    """Requests to the API while its operations were explored."""
    first = min(one.t - one.seconds for one in explored)
    last = max(one.t for one in explored)
    requests = [one for one in events_of_kind(done.events, Request) if one.service == "proxy"]
    return sum(first <= one.t <= last for one in requests)


def cases(done: Outcome) -> str:
    """The seed, the number and the digest of a run's cases, as its report shows them."""
    titles = [one.title for one in events_of_kind(done.events, Table)]
    return next(one for one in titles if "what was tested" in one)


def plain(stack: Stack, seed: int, stop: bool) -> Run:
    """`schemathesis run` with the same cases; `stop` ends it at its first finding."""
    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "schemathesis.toml"
        key = {"headers": {"X-API-Key": "${" + KEY_VARIABLE + "}"}}
        settings = configuration(budget({SEED: str(seed)})) | key
        config.write_text("\n".join(f"{k} = {_toml(v)}" for k, v in settings.items()) + "\n")
        program = str(Path(sys.executable).with_name("schemathesis"))
        target = stack.target()
        where = ["--url", target.url, "--tls-verify", str(target.ca_file)]
        limits = ["--max-failures", "1"] if stop else ["--continue-on-failure"]
        before, started = _served(stack), time.monotonic()
        done = subprocess.run(
            [program, "--config-file", str(config), "run", str(FILE), *where, *limits],
            cwd=name,
            env={KEY_VARIABLE: stack.credentials.api_key or "", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        seconds = time.monotonic() - started
    return Run(_served(stack) - before, seconds, seconds if done.returncode == 1 else None)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {_toml(one)}' for key, one in value.items()) + "}"
    return json.dumps(value)


def _served(stack: Stack) -> int:
    """Requests that the proxy has written to its log."""
    name = f"{stack.project}-proxy-1"
    done = run_checked("read the proxy's log", ["docker", "logs", name], LOG_LIMIT)
    return done.text.count('"request_id"')


def healthy() -> list[Figure]:
    """Speed, repetition and false alarms on a healthy stack."""
    own, theirs, alarms, seen, noisy = [], [], [], [], []
    with standing() as stack:
        for number in range(SEEDS):
            seed = budget({}).seed + number
            run, done = staged(stack, seed)
            say(f"seed {number + 1} of {SEEDS}: {run.requests} requests, {run.seconds:.0f} s")
            own.append(run.requests / run.seconds)
            alarms.append(len(done.failed))
            for event in done.failed:
                say(f"  {event.check}: {event.finding and event.finding.seen}")
            if number < REPEATS:
                seen.append([cases(done), cases(staged(stack, seed)[1])])
                other = plain(stack, seed, stop=False)
                theirs.append(other.requests / other.seconds)
                noisy.append(float(other.first is not None))
    same = [float(first == second) for first, second in seen]
    rates = [mine / other for mine, other in zip(own, theirs, strict=False)]
    return [
        Figure("cases a second", "1/s", own),
        Figure("cases a second, schemathesis run", "1/s", theirs),
        Figure("rate against schemathesis run", "ratio", rates, 1.0, "higher"),
        Figure("runs of one seed with the same cases", "share", same, 1.0, "higher"),
        Figure("findings on a healthy stack, worst of 20 seeds", "findings", [max(alarms)], 0),
        Figure("runs with findings on a healthy stack, schemathesis run", "share", noisy),
    ]


def planted() -> list[Figure]:
    """Time to the first finding, fault by fault, and how many are found at all."""
    faults = [one for one in folder(CATALOGUE) if one.id.startswith("contract-")]
    own, theirs = [], []
    for fault in faults:
        mine, other = found(fault)
        own.append(mine)
        theirs.append(other)
        say(f"{fault.id}: {mine} s, schemathesis run {other} s")
    return [
        Figure("planted faults found", "share", [_share(own)], 1.0, "higher"),
        Figure("planted faults found, schemathesis run", "share", [_share(theirs)]),
        Figure("first finding", "s", [one for one in own if one is not None]),
        Figure("first finding, schemathesis run", "s", [one for one in theirs if one is not None]),
    ]


def found(fault: Fault) -> tuple[float | None, float | None]:
    """Seconds to the first finding of a planted fault: by the stage, and by schemathesis run."""
    seed = budget({}).seed
    try:
        with standing(fault) as stack:
            run, done = staged(stack, seed)
            caught = any(fault.expects(event.check) for event in done.failed)
            return run.first if caught else None, plain(stack, seed, stop=True).first
    except MachineError as trouble:
        say(f"{fault.id}: {trouble}")
        return None, None


def _share(found: list[float | None]) -> float:
    return sum(one is not None for one in found) / len(found)


PARTS = {"healthy": healthy, "planted": planted}


def main(arguments: list[str]) -> int:
    """Measure everything, or a part (`healthy`, `planted`): the figures of the other one stay."""
    if wrong := set(arguments) - PARTS.keys():
        say(f"expected {' or '.join(PARTS)}, got {' '.join(sorted(wrong))}")
        return 4
    figures = [one for part in arguments or PARTS for one in PARTS[part]()]
    report("contract", figures, merge=bool(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(run_main(lambda: main(sys.argv[1:])))
