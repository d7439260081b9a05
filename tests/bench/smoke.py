"""Measures the smoke stage: live runs, latency, start-up, bring-up (`make bench-smoke`)."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from compose.release import release
from gate.machine.console import say
from gate.machine.interrupts import run_main
from gate.running import bring_up, running_stack
from gate.stack import Stack
from gate.sweep import new_run_id
from gate.target import SERVICES, Target
from tests.bench.record import Figure, report
from tests.faults.delay import delayed
from tests.faults.runs import ROOT, Outcome, described, gate

LIVE_RUNS = 11
SLOW_RUNS = 7
BRING_UPS = 3
LATENCY = 0.050


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class Live:
    """Smoke runs against a stack that is described by a target file."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.last: Outcome | None = None

    def run(self, target: Target) -> None:
        """One run as an operator types it. Ends the bench when it is not PROMOTE."""
        path = self.folder / "target.toml"
        path.write_text(described(target, self.stack.project), encoding="utf-8")
        secrets = {"GATE_REDIS_PASSWORD": self.stack.credentials.redis_password or ""}
        words = ["-m", "smoke", f"--target={path}"]
        self.last = gate(*words, folder=self.folder, environment=secrets)
        if self.last.code:
            raise SystemExit(f"expected PROMOTE, got\n{self.last.output}")

    def times(self, target: Target, runs: int) -> list[float]:
        """Wall times of whole processes, after one run to warm up."""
        self.run(target)
        return [timed(lambda: self.run(target)) for _ in range(runs)]


def live_figures(stack: Stack, folder: Path) -> list[Figure]:
    """A live run as it is, and with latency in front of every service."""
    target = stack.target()
    live = Live(stack, folder)
    say(f"{LIVE_RUNS} live runs")
    plain = live.times(target, LIVE_RUNS)
    assert live.last is not None
    verdict = live.last.verdict
    say(f"{SLOW_RUNS} live runs with {LATENCY * 1000:g} ms of latency")
    urls = {**target.urls, "plain_http": target.plain_http or ""}
    with delayed(urls, LATENCY) as made:
        far = replace(target, plain_http=made.pop("plain_http"), urls=made)
        slow = live.times(far, SLOW_RUNS)
    middle = Figure("", "", plain).value
    return [
        Figure("live smoke run", "s", plain, 0.8),
        Figure("checks passed", "checks", [verdict["checks"]["passed"]], 60, "higher"),
        Figure("requests", "requests", [verdict["requests"]]),
        Figure("evidence of one run", "s", [verdict["phases"][0]["seconds"]]),
        Figure("cost of 50 ms latency", "s", [one - middle for one in slow], 0.5),
    ]


def start_up() -> Figure:
    """Interpreter and imports of a live run."""
    command = [sys.executable, "-c", "import pytest, gate.wire, gate.run, reports.html"]

    def start() -> None:
        subprocess.run(command, cwd=ROOT, check=True, timeout=30)

    start()
    return Figure("interpreter and imports", "s", [timed(start) for _ in range(LIVE_RUNS)])


def came_up(wait: bool) -> float:
    """Seconds from images to a ready stack: by compose's own --wait, or by our wait."""
    with Stack(new_run_id(), release()) as stack:
        if wait:
            flags = ["--detach", "--wait", "--no-build", "--pull", "never"]
            # By name: --wait takes the one-shot `certs`, which exits, for a failure.
            services = [name for name in SERVICES if name not in stack.unavailable]
            return timed(lambda: stack.compose.run("up", *flags, *services))

        return timed(lambda: bring_up(stack))


def bring_up_figures() -> list[Figure]:
    """Both ways in turn, and their ratio."""
    ours, plain = [], []
    for number in range(BRING_UPS):
        say(f"bring-up {number + 1} of {BRING_UPS}")
        ours.append(came_up(wait=False))
        plain.append(came_up(wait=True))
    ratios = [mine / theirs for mine, theirs in zip(ours, plain, strict=True)]
    return [
        Figure("bring-up to ready", "s", ours),
        Figure("docker compose up --wait", "s", plain),
        Figure("bring-up against --wait", "ratio", ratios, 1.0),
    ]


def main() -> int:
    """Measure everything and say where the figures are."""
    with running_stack() as stack, tempfile.TemporaryDirectory() as folder:
        stack.settle(stack.target())
        figures = live_figures(stack, Path(folder))
    figures += [start_up(), *bring_up_figures()]
    report("smoke", figures)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
