"""Locust as it comes, to be measured against: `locust -f tests/bench/stock.py Stock|Planned`.

`Stock` keeps a rate with `constant_throughput`. `Planned` sends a schedule of even arrivals the
plain way, a task and a FastHttpSession an arrival; STEPS is JSON, [[rate, seconds], …], and how
late each arrival was sent goes to LAGS-N.npy.
"""

import json
import os
import time
from collections.abc import Iterator
from itertools import count, takewhile
from typing import Any

import gevent
import numpy as np
from locust import FastHttpUser, HttpUser, constant_throughput, events, task
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

USER_RATE = float(os.environ.get("USER_RATE", "4"))
PATH = "/served"
LEAD_SECONDS = 1.0
STEPS = json.loads(os.environ.get("STEPS", "[]"))
PLAN: list[Any] = []
"""Of this process, while a test runs: its arrivals, when it began, and its number."""
LAGS: list[tuple[int, float]] = []


def arrivals(index: int, of: int) -> Iterator[tuple[int, float]]:
    """Every `of`-th arrival: (its step, seconds since the start)."""
    began = 0.0
    for step, (rate, seconds) in enumerate(STEPS):
        own = (index + n * of for n in count())
        within = takewhile(lambda n, most=rate * seconds: n < most, own)  # type: ignore[misc]
        yield from ((step, began + n / rate) for n in within)
        began += seconds


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Any, **_: Any) -> None:
    """Deal the arrivals out."""
    if isinstance(environment.runner, MasterRunner):
        return
    is_worker = isinstance(environment.runner, WorkerRunner)
    index, of = (environment.runner.worker_index, 2) if is_worker else (0, 1)
    PLAN[:] = [arrivals(index, of), time.monotonic() + LEAD_SECONDS, index]


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def end(**_: Any) -> None:
    """Write down how late arrivals were."""
    if PLAN and "LAGS" in os.environ:
        np.save(f"{os.environ['LAGS']}-{PLAN[2]}.npy", np.array(LAGS))


class Stock(HttpUser):
    """A closed loop at a steady rate."""

    wait_time = constant_throughput(USER_RATE)

    @task
    def served(self) -> None:
        self.client.get(PATH)


class Planned(FastHttpUser):
    """An open loop, a task an arrival."""

    @task
    def served(self) -> None:
        arrivals, began, _ = PLAN
        step, intended = next(arrivals, (None, 0.0))
        if step is None:
            raise StopUser
        due = began + intended
        gevent.sleep(max(0.0, due - time.monotonic()))
        LAGS.append((step, (time.monotonic() - due) * 1000))
        self.client.get(PATH)
