"""The largest rate of arrivals that a generator sends in time, on one core or on two.

nginx answers on a core of its own. A trial is a staircase of rates; a rate holds when the 99th
percentile of how late its arrivals were sent is below a limit, and so do all rates below it.
"""

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gate.machine.commands import run, run_checked
from load.judge import Floats
from tests.bench.generators import locust_run, our_run

LAG_MS = 5.0
STEP = 500
STEPS = 5
STEP_SECONDS = 2.5
FEWEST, MOST = 500, 40_000
IN_FLIGHT = 200
WINDOWS = 3
WARM_UP = (1_000, 1.0)
SPARE_SECONDS = 2
IMAGE = "nginx:1.26"
DOCKER_LIMIT = 30.0
NGINX = """worker_processes 1;
pid /tmp/nginx.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 200 "ok\\n"; }}
  }}
}}
"""
Steps = Sequence[tuple[float, float]]
Trial = Callable[[int, Steps, int], list[Floats]]
"""On a port, a staircase, with so many processes: how late arrivals were, in ms, of each step."""


@contextmanager
def answering(port: int, core: int, labels: dict[str, str]) -> Iterator[None]:
    """nginx on one core, for as long as this lasts."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        (Path(name) / "nginx.conf").write_text(NGINX.format(port=port), encoding="utf-8")
        where = ["--network", "host", "--cpuset-cpus", str(core)]
        where += ["--volume", f"{name}/nginx.conf:/etc/nginx/nginx.conf:ro"]
        where += [f"--label={key}={value}" for key, value in labels.items()]
        program = ["nginx", "-e", "stderr", "-g", "daemon off;"]
        made = run_checked(
            "start nginx",
            ["docker", "run", "--detach", "--rm", *where, IMAGE, *program],
            DOCKER_LIMIT,
        )
        try:
            yield
        finally:
            run(["docker", "rm", "--force", made.out.strip()], DOCKER_LIMIT)


@contextmanager
def cores(own: set[int]) -> Iterator[None]:
    """What is started meanwhile runs on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, own)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def ours(port: int, steps: Steps, processes: int) -> list[Floats]:
    """Our generator."""
    with tempfile.TemporaryDirectory() as name:
        found = our_run(port, steps, IN_FLIGHT, Path(name), processes).samples
    ends = np.cumsum([seconds for _, seconds in steps])
    step = np.searchsorted(ends, found.intended, side="right")
    return [(found.latency_ms - found.service_ms)[step == n] for n in range(len(steps))]


def planned(port: int, steps: Steps, processes: int) -> list[Floats]:
    """FastHttpUser with the same schedule, in the plain way."""
    seconds = math.ceil(sum(seconds for _, seconds in steps)) + SPARE_SECONDS
    words = ["--headless", "--users", IN_FLIGHT, "--spawn-rate", 10_000]
    words += ["--run-time", f"{seconds}s", "--stop-timeout", "2"]
    words += [*(["--processes", processes] if processes > 1 else [])]
    with tempfile.TemporaryDirectory() as name:
        lags = Path(name) / "lags"
        environment = {"STEPS": json.dumps(steps), "LAGS": str(lags)}
        locust_run("Planned", port, words, seconds, environment)
        parts = [np.load(path) for path in Path(name).glob("lags-*.npy")]
    rows = np.concatenate(parts) if len(parts) == processes else np.empty((0, 2))
    return [rows[rows[:, 0] == n, 1] for n in range(len(steps))]


def held(trial: Trial, port: int, rates: Sequence[float], processes: int) -> list[float]:
    """The lower rates of a staircase, as far as they hold."""
    steps = [WARM_UP, *((rate, STEP_SECONDS) for rate in rates)]
    found = []
    for rate, lags in zip(rates, trial(port, steps, processes)[1:], strict=True):
        whole = len(lags) >= 0.99 * rate * STEP_SECONDS
        if not whole or np.quantile(lags, 0.99) >= LAG_MS:
            break
        found.append(rate)
    return found


def largest(trial: Trial, port: int, guess: float, processes: int) -> float:
    """The largest rate that holds, looked for around a guess."""
    start = max(FEWEST, guess - 2 * STEP)
    best = 0.0
    for _ in range(WINDOWS):
        rates = [start + n * STEP for n in range(STEPS)]
        good = held(trial, port, rates, processes)
        best = max([best, *good])
        if good and len(good) < STEPS:
            break
        if best and not good:
            break
        start = rates[-1] + STEP if good else max(FEWEST, start - STEPS * STEP)
    return best
