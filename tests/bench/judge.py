"""Measures the judge on recorded latencies: false alarms, and what it finds (`make bench-judge`).

Recorded are answers of the engine's status through the proxy of a real stack. A trial takes a
stretch of them, deals it out to two sides in blocks of 25 as a comparison would, changes one side,
and asks for a verdict. Beside it stands the test of Kayenta's judge on the same samples.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gate.machine.console import say
from gate.machine.interrupts import run_main
from gate.running import running_stack
from gate.wire import Guard, Transport, tls_context
from load.blocks import plan
from load.judge import Floats, Side, compare
from tests.bench.record import Figure, report

REQUESTS = 2_000
"""On each side of a trial."""
BLOCK = 25
SAME_TRIALS = 400
EFFECT_TRIALS = 200
RECORDED = 12_000
CLIENTS = 4
CONFIDENCE, TOLERANCE = 0.98, 0.25
"""Kayenta's parameters for its Mann-Whitney test."""
Change = Callable[[Side, np.random.Generator], Side]


def record(count: int) -> Floats:
    """Latencies in ms of `count` answers of a real stack, in the order of their starts."""
    with running_stack() as stack:
        target = stack.target()
        url = f"{target.url}/api/engine/status"
        transport = Transport(Guard(target), verify=tls_context(target))
        client = httpx.Client(transport=transport)
        with client, ThreadPoolExecutor(CLIENTS) as pool:
            return np.array(list(pool.map(lambda _: _timed(client, url), range(count))))


def _timed(client: httpx.Client, url: str) -> float:
    started = time.perf_counter()
    client.get(url).raise_for_status()
    return (time.perf_counter() - started) * 1000


def deal(recorded: Floats, rng: np.random.Generator) -> tuple[Side, Side]:
    """Two equal sides of a stretch of the recording, as a comparison deals its traffic out."""
    start = int(rng.integers(0, len(recorded) - 2 * REQUESTS + 1))
    blocks = recorded[start : start + 2 * REQUESTS].reshape(-1, BLOCK)
    turns = np.array(list(plan(len(blocks) // 2, int(rng.integers(2**31)))))
    baseline, candidate = (_side(blocks[turns == one]) for one in ("baseline", "candidate"))
    return baseline, candidate


def _side(blocks: Floats) -> Side:
    index = np.arange(len(blocks)).repeat(BLOCK)
    return Side(blocks.ravel(), np.zeros(blocks.size, dtype=bool), index)


# What may be wrong with a candidate


def nothing(side: Side, _rng: np.random.Generator) -> Side:
    """The same."""
    return side


def median(side: Side, _rng: np.random.Generator) -> Side:
    """Everything takes 1.1 times as long."""
    return Side(side.latency * 1.1, side.failed, side.block)


def tail(side: Side, _rng: np.random.Generator) -> Side:
    """The slower a request among the last tenth, the longer it takes: p99 is 1.5 times as long."""
    rank = stats.rankdata(side.latency) / len(side.latency)
    factor = 1 + 0.5 * np.clip((rank - 0.9) / 0.09, 0, 1)
    return Side(side.latency * factor, side.failed, side.block)


def outliers(side: Side, rng: np.random.Generator) -> Side:
    """5 % of requests take ten times as long."""
    slow = rng.random(len(side.latency)) < 0.05
    return Side(np.where(slow, side.latency * 10, side.latency), side.failed, side.block)


def errors(side: Side, rng: np.random.Generator) -> Side:
    """1 % of requests fail."""
    return Side(side.latency, rng.random(len(side.latency)) < 0.01, side.block)


EFFECTS: dict[str, Change] = {
    "median x1.1": median,
    "p99 x1.5": tail,
    "5 % of requests x10": outliers,
    "errors 0 → 1 %": errors,
}


# The judges


def ours(baseline: Side, candidate: Side, seed: int) -> str:
    """Our verdict."""
    return compare(candidate, baseline, seed=seed).verdict


def kayenta(baseline: Side, candidate: Side, _seed: int) -> str:
    """Kayenta's: the interval of the Hodges-Lehmann shift against a tolerance of its estimate."""
    one, other = candidate.latency[~candidate.failed], baseline.latency[~baseline.failed]
    shifts = np.subtract.outer(one, other).ravel()
    m, n = len(one), len(other)
    spread = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt(m * n * (m + n + 1) / 12)
    places = [int(m * n / 2 - spread), m * n // 2, int(m * n / 2 + spread)]
    low, middle, high = np.partition(shifts, places)[places]
    critical = TOLERANCE * abs(middle)
    return "worse" if low > critical else "better" if high < -critical else "same"


Judge = Callable[[Side, Side, int], str]
JUDGES: dict[str, Judge] = {"ours": ours, "Mann-Whitney, as Kayenta": kayenta}


def rate(recorded: Floats, judge: Judge, change: Change, trials: int, wanted: set[str]) -> float:
    """The share of trials whose verdict is one of `wanted`."""
    told = 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        baseline, candidate = deal(recorded, rng)
        told += judge(baseline, change(candidate, rng), seed) in wanted
    return told / trials


def drawn(count: int) -> Floats:
    """Latencies as a model has them: log-normal, with a slow wave and a rare stall."""
    rng = np.random.default_rng(7)
    wave = np.sin(np.arange(count) / 300) * 0.2
    stall = np.where(rng.random(count) < 0.005, 6.0, 1.0)
    return np.exp(rng.normal(1.0, 0.4, count) + wave) * stall


def figures(name: str, recorded: Floats) -> list[Figure]:
    """False alarms and detection of each judge on one recording."""
    found = []
    for who, judge in JUDGES.items():
        own = who == "ours"
        asked = partial(rate, recorded, judge)
        for verdict in ("worse", "better"):
            alarms = asked(nothing, SAME_TRIALS, {verdict})
            label = f"{who}: {name}: false alarms, {verdict}"
            found.append(Figure(label, "of trials", [alarms], 0.01 if own else None))
        for effect, change in EFFECTS.items():
            caught = asked(change, EFFECT_TRIALS, {"worse"})
            target = 0.9 if own else None
            label = f"{who}: {name}: found, {effect}"
            found.append(Figure(label, "of trials", [caught], target, "higher"))
    return found


def main(arguments: list[str]) -> int:
    """Measure, or use a recording: `python -m tests.bench.judge [FILE.npy]`."""
    if not arguments:
        say(f"recording {RECORDED} answers of a real stack")
    recorded: NDArray[Any] = np.load(arguments[0]) if arguments else record(RECORDED)
    with tempfile.NamedTemporaryFile(prefix="recorded-", suffix=".npy", delete=False) as kept:
        np.save(kept, recorded)
    say(f"recorded, kept in {Path(kept.name)}; {SAME_TRIALS} equal trials and more")
    found = [*figures("recorded", recorded), *figures("drawn", drawn(RECORDED))]
    report("judge", found)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(lambda: main(sys.argv[1:])))
