"""`make drill`: updates under steady traffic, and harm done to them, beside the usual ways.

DRILL_UPDATES and DRILL_BASELINES say how many; DRILL_HARM=0 leaves the harm out, and with names of
commands (`deploy,restore`) breaks off only those. What is left out keeps its figures of before.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from compose.lifecycle.building import provide
from compose.lifecycle.deployment import API, Deployment, health, holds_within
from compose.lifecycle.state import UpdateOptions
from compose.release import OWN_SERVICES, Release, release
from gate.machine.console import say
from gate.machine.interrupts import run_main
from tests.bench import failure_drills
from tests.bench.record import Figure, report
from tests.bot.lifecycle import candidates
from tests.bot.lifecycle.disposable import deployed, disposable, updated
from tests.bot.lifecycle.traffic import DRILL_RATE, SOCKETS, Seen, steady
from tests.bot.lifecycle.witness import Books, LeaseWatch, books, trade_eagerly

UPDATES = int(os.environ.get("DRILL_UPDATES", "20"))
BASELINE_RUNS = int(os.environ.get("DRILL_BASELINES", "3"))
HARM = os.environ.get("DRILL_HARM", "all")
OPTIONS = UpdateOptions(watch=2.0)
SETTLE_SECONDS = 3.0
SEED_SLEEP_SECONDS = 10.0
"""What the seed's script sleeps before it looks."""
UP_LIMIT = 300.0


def main() -> int:
    """Measure, write reports/bench/drill.json, fail when a target is missed."""
    figures = [*_ours(), *(_baselines() if BASELINE_RUNS else ())]
    return report("drill", figures, merge=HARM != "all" or not BASELINE_RUNS)


def _ours() -> list[Figure]:
    with ExitStack() as stack:
        deployment = stack.enter_context(disposable())
        first = release()
        deployed(deployment, first)
        second = candidates.make(first, f"drill-{deployment.project[-6:]}")
        stack.callback(candidates.forget, second)
        trade_eagerly(deployment)
        lease = stack.enter_context(LeaseWatch(deployment))
        runs = []
        for number in range(UPDATES):
            to = (second, first)[number % 2]
            runs.append(under_traffic(deployment, partial(updated, deployment, to, OPTIONS)))
            say(
                f"update {number + 1} of {UPDATES}: {runs[-1].requests} requests,"
                f" failed {runs[-1].failures[:3]}"
            )
        found = (
            [*_service_figures(runs), *_engine_figures(lease, books(deployment))] if runs else []
        )
        if HARM == "all":
            return found + failure_drills.figures(deployment, first, second)
        return found + failure_drills.broken_off(deployment, first, second, HARM.split(","))


def _service_figures(runs: list[Seen]) -> list[Figure]:
    gaps = [one.longest_gap for one in runs]
    failed = sum(len(one.failures) for one in runs)
    refused = sum(len(one.socket_failures) for one in runs)
    beyond = max(max(0, len(one.codes) - SOCKETS) for one in runs)
    return [
        Figure("updates", "updates", [float(len(runs))], 20.0, "higher"),
        Figure("requests", "requests", [float(sum(one.requests for one in runs))]),
        Figure("slow requests", "requests", [float(sum(one.slow for one in runs))]),
        Figure("failed requests", "requests", [float(failed)], 0.0),
        Figure("longest gap between answers, median update", "s", gaps),
        Figure("longest gap between answers, worst update", "s", [max(gaps)]),
        Figure("p99 of answers, median update", "ms", [_p99(one) for one in runs]),
        Figure("WebSocket reconnects beyond one a client", "reconnects", [float(beyond)], 0.0),
        Figure("WebSocket reconnects refused", "reconnects", [float(refused)], 0.0),
    ]


def _engine_figures(lease: LeaseWatch, orders: Books) -> list[Figure]:
    changes = float(len(lease.owners) - 1)
    return [
        Figure("engine without a lease, median update", "s", lease.gaps or [0.0]),
        Figure("engine without a lease, worst update", "s", [max(lease.gaps, default=0.0)]),
        Figure("lease changes", "changes", [changes], float(UPDATES), "higher"),
        Figure("orders the exchange took", "orders", [float(len(orders.accepted))], 20, "higher"),
        Figure(
            "orders twice, lost or by a replaced engine", "orders", [float(len(orders.wrong))], 0.0
        ),
    ]


def _p99(seen: Seen) -> float:
    return statistics.quantiles(seen.seconds, n=100)[98] * 1000


def under_traffic(deployment: Deployment, work: Callable[[], None]) -> Seen:
    """What steady traffic sees while `work` is done, and a moment after it."""
    with steady(deployment, DRILL_RATE) as seen:
        work()
        time.sleep(SETTLE_SECONDS)
    return seen


def _baselines() -> list[Figure]:
    ways = {"the seed's way (down, build, up, sleep)": _seeds_way, "plain `up -d --build`": _plain}
    with ExitStack() as stack:
        deployment = stack.enter_context(disposable())
        provide(deployment, release())
        other = Release("0.1.0", candidates.revision(), f"drill-plain-{deployment.project[-6:]}")
        stack.callback(candidates.forget, other)
        _compose(deployment, release(), "up", "--detach", "--no-build")
        _compose(deployment, other, "build", *OWN_SERVICES)
        _await(deployment)
        figures = []
        for name, way in ways.items():
            runs = []
            for number in range(BASELINE_RUNS):
                to = (other, release())[number % 2]
                runs.append(under_traffic(deployment, partial(way, deployment, to)))
            figures += [
                Figure(
                    f"{name}: failed requests an update",
                    "requests",
                    [float(len(one.failures)) for one in runs],
                ),
                Figure(f"{name}: longest gap", "s", [one.longest_gap for one in runs]),
            ]
    return figures


def _seeds_way(deployment: Deployment, to: Release) -> None:
    _compose(deployment, to, "down")
    _compose(deployment, to, "build", *OWN_SERVICES)
    _compose(deployment, to, "up", "--detach")
    time.sleep(SEED_SLEEP_SECONDS)
    _await(deployment)


def _plain(deployment: Deployment, to: Release) -> None:
    _compose(deployment, to, "up", "--detach", "--build")
    _await(deployment)


def _await(deployment: Deployment) -> None:
    holds_within(lambda: health(deployment.container(API).id), UP_LIMIT)


def _compose(deployment: Deployment, to: Release, *words: str) -> None:
    deployment.compose(*words, release=to, limit=UP_LIMIT)


if __name__ == "__main__":
    sys.exit(run_main(main))
