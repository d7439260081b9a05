"""Measures our load generator against others (`make bench-load`).

In turns, each generator sends 200 requests a second to a server that freezes for two seconds; what
it reports is held against the truth (tests/bench/truth.py). Then how many arrivals a second it
sends in time, against Locust's FastHttpUser with the same schedule (tests/bench/rates.py).
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gate.machine.commands import run_checked
from gate.machine.console import say
from gate.machine.interrupts import run_main
from gate.machine.ports import free_port
from gate.sweep import RUN_LABEL, STARTED_LABEL, RunLock, new_run_id
from gate.wait import wait_until
from load.slo import QUANTILES
from tests.bench import generators, rates, stalling, truth
from tests.bench.generators import Generator, Reported
from tests.bench.record import ROOT, Figure, report

ROUNDS = 5
RATE, SECONDS = 200.0, 10.0
SHARE, LEAST_MS = 0.03, 1.0
RATE_TARGET, RATIO_TARGET = 7_000.0, 1.4
GUESSES = {"ours": 9_000.0, "FastHttpUser": 5_000.0}
TRIALS = {"ours": rates.ours, "FastHttpUser": rates.planned}
TRUTH = "truth"
LEAD_SECONDS = 1.0
LIMIT = 30.0
READY_SECONDS = 5.0


@contextmanager
def stalling_server(account: Path) -> Iterator[int]:
    """The stalling server in a process of its own; the port."""
    port = free_port()
    command = [sys.executable, "-m", stalling.__name__, str(port), str(account)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            _until_there(port)
            yield port
        finally:
            process.terminate()
            process.wait(LIMIT)


def _until_there(port: int) -> None:
    wait_until(lambda: _answers(port), READY_SECONDS, f"an answer on port {port}")


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def reported(generator: Generator) -> Reported:
    """What a generator says of a turn on a fresh server."""
    with tempfile.TemporaryDirectory() as name, stalling_server(Path(name) / "account") as port:
        return generator(port, RATE, SECONDS)


def true_latencies() -> Reported:
    """The truth of such a turn."""
    count = int(RATE * SECONDS)
    with tempfile.TemporaryDirectory() as name:
        account = Path(name) / "account"
        with stalling_server(account) as port:
            began = time.monotonic() + LEAD_SECONDS
            words = [port, began, RATE, count]
            command = [sys.executable, "-m", truth.__name__, *map(str, words)]
            run_checked("send", command, SECONDS + LIMIT, cwd=ROOT)
        answered = json.loads(account.read_text(encoding="utf-8"))
    found = truth.latencies(answered, began, RATE, count)
    return {name: float(np.quantile(found, q)) for name, q in QUANTILES.items()}


def accuracy() -> list[Figure]:
    """Every percentile of every generator, in turns, and how far ours are from the truth."""
    there = generators.there()
    seen: dict[str, list[Reported]] = defaultdict(list)
    for number in range(ROUNDS):
        seen[TRUTH].append(true_latencies())
        for name, generator in there.items():
            seen[name].append(reported(generator))
        say(f"stalls, round {number + 1} of {ROUNDS}")
    found = [_percentile(q, name, runs) for q in QUANTILES for name, runs in seen.items()]
    off = [_off(q, seen["ours"], seen[TRUTH]) for q in QUANTILES]
    return [*(figure for figure in found if figure), *off]


def _percentile(q: str, name: str, runs: list[Reported]) -> Figure | None:
    given = [one[q] for one in runs if q in one]
    return Figure(f"{q}, {name}", "ms", given) if given else None


def _off(q: str, own: list[Reported], true: list[Reported]) -> Figure:
    """How far ours is from the truth, as a share of what is allowed."""
    pairs = zip(own, true, strict=True)
    runs = [abs(a[q] - b[q]) / max(SHARE * b[q], LEAST_MS) for a, b in pairs]
    return Figure(f"{q}, ours off the truth", "of allowed", runs, 1.0)


def throughput() -> list[Figure]:
    """The largest rates, in turns, on one core and on two."""
    own, other = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
    if own == other:
        sys.exit("expected two cores, one for the generator and one for the server, got one")
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    port, run_id = free_port(), new_run_id()
    lock = RunLock(run_id)
    labels = {RUN_LABEL: run_id, STARTED_LABEL: str(int(time.time()))}
    with rates.answering(port, other, labels):
        _until_there(port)
        for number in range(ROUNDS):
            for processes, places in ((1, {own}), (2, {own, other})):
                for name, trial in TRIALS.items():
                    before = found[name, processes]
                    guess = before[-1] if before else GUESSES[name]
                    with rates.cores(places):
                        before.append(rates.largest(trial, port, guess, processes))
            say(f"rates, round {number + 1} of {ROUNDS}")
    lock.release()
    return [figure for processes in (1, 2) for figure in _rates(found, processes)]


def _rates(found: dict[tuple[str, int], list[float]], processes: int) -> Iterator[Figure]:
    where = "one core" if processes == 1 else "two cores"
    own, other = found["ours", processes], found["FastHttpUser", processes]
    ratios = [a / b for a, b in zip(own, other, strict=True) if b]
    yield Figure(f"arrivals a second, {where}, ours", "1/s", own, RATE_TARGET, "higher")
    yield Figure(f"arrivals a second, {where}, FastHttpUser", "1/s", other)
    if ratios:
        yield Figure(f"against FastHttpUser, {where}", "ratio", ratios, RATIO_TARGET, "higher")


def main() -> int:
    """Measure; 1 when a figure misses its target."""
    return report("load", [*accuracy(), *throughput()])


if __name__ == "__main__":
    sys.exit(run_main(main))
