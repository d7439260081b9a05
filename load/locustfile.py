"""The generator on Locust: an open loop. Run by load/runner.py, or by hand for the web UI:

    LOAD_JOB=job.json LOAD_API_KEY=… locust -f load/locustfile.py

Each Visitor takes the next arrival of the schedule, waits until it is due and sends it; there are
as many as requests may be under way, so that a slow answer delays nothing else. Latency counts from
the time that an arrival was due. What a process has seen is in part-N.npz and part-N.json later,
beside the job: workers send it to their master. Workers on other hosts need a copy of this tree and
of the job's folder; `python -m load run --listen` waits for them:

    LOAD_JOB=job.json LOAD_API_KEY=… locust -f load/locustfile.py --worker --master-host HOST
"""

import gc
import json
import os
import time
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import numpy as np
from geventhttpclient import HTTPClient
from locust import User, events, tag, task
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner
from locust.user.task import LOCUST_STATE_STOPPING
from websocket import WebSocketException, create_connection

from load import parts, profile, slo
from load.abort import Watch
from load.arrivals import schedule
from load.blocks import deal
from load.client import NO_ANSWER, Client, Request
from load.samples import MEASURED

PLACE = Path(os.environ["LOAD_JOB"]).resolve()
FOLDER = PLACE.parent
JOB = json.loads(PLACE.read_text(encoding="utf-8"))
PROFILE = profile.load(str(FOLDER / JOB["profile"]))
PROFILE = PROFILE.reading() if JOB["live"] else PROFILE
PROFILE = PROFILE.comparing() if JOB["baseline"] else PROFILE
SCHEDULE = schedule(PROFILE)
SCHEDULE = deal(SCHEDULE, PROFILE.seed) if JOB["baseline"] else SCHEDULE
SIDES = [JOB, JOB["baseline"]] if JOB["baseline"] else [JOB]
"""Where requests go, in the order of `SIDES` of load/blocks.py."""
LEVELS = slo.load() if JOB["early_end"] and not JOB["baseline"] else []
KEY = os.environ.get("LOAD_API_KEY", "")
LEAD_SECONDS = 1.0
"""Between the start and the first arrival, for all users to be there."""
ANSWER_SECONDS = 15.0
DRAIN_SECONDS = 2.0
LATE_SECONDS = 5.0
"""An arrival that nobody was free to send for so long is dropped: it counts as not answered."""
GARBAGE = 50_000
"""New objects before Python looks for garbage among them."""
BEYOND, PART = "beyond", "part"
"""What workers tell their master: no level can be saved any more; what they have seen."""
METRICS = "/api/metrics"
TICK_LAG = "breakout_bot_tick_lag_seconds"
AGAIN_SECONDS = 1.0
"""Before a lost WebSocket is made anew."""


def _ca_file(side: dict[str, Any]) -> str | None:
    return str(FOLDER / side["ca_file"]) if side["ca_file"] else None


URL = urlsplit(JOB["url"])
TLS = {"ca_certs": _ca_file(JOB), "server_hostname": URL.hostname}
"""The name is the URL's, wherever the connection goes; without a file the system's trust counts."""


class Side:
    """Connections to one stack, and each operation's request to it."""

    def __init__(self, job: dict[str, Any]) -> None:
        connect, ca_file = tuple(job["connect"]), _ca_file(job)
        self.client = Client(job["url"], connect, ca_file, PROFILE.in_flight, ANSWER_SECONDS)
        bodies = {one.request: one.body for one in PROFILE.controls}
        self.requests = [self._request(name, bodies.get(name, "")) for name in PROFILE.names]

    def _request(self, name: str, body: str) -> Request:
        method, path = name.split(" ", 1)
        if method in ("GET", "HEAD"):
            return self.client.request(method, path, {})
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        return self.client.request(method, path, headers, (body or "{}").encode())


class Work:
    """What one process sends, and what came of it."""

    def __init__(self, index: int, stop: Any, leave: Any) -> None:
        own = SCHEDULE.part(index, JOB["workers"])
        more = index >= JOB["workers"]  # one that came in place of a lost one: it is too late
        self.index = index
        self.began = time.monotonic() + LEAD_SECONDS
        columns = (own.op, own.intended, own.phase, own.side, own.block)
        whole = zip(*(one.tolist() for one in columns), strict=True)
        self.arrivals = iter(() if more else whole)
        self.rows: list[tuple[float, ...]] = []
        self.under_way: dict[object, tuple[float, ...]] = {}
        """What was sent and has no answer: op, intended, when it began, phase, side, block."""
        self.late_ms: list[float] = []
        """How late each arrival was sent once a user was free for it: the generator's own lag."""
        self.dropped = 0
        self.tick_lag_ms: list[float] = []
        self.websocket: dict[str, int] = {"messages": 0, "failures": 0}
        self.aborted: str | None = None
        self._stop = stop
        self._leave = leave
        self._watch = Watch(LEVELS, SCHEDULE.planned(PROFILE.names), PROFILE.names)
        self._cpu = time.process_time()
        self.sides = [Side(one) for one in SIDES]

    def send(
        self, op: int, intended: float, phase: int, side: int, block: int
    ) -> tuple[Request, float, int]:
        """Send one arrival when it is due: (what, ms from then to the answer, status)."""
        due = self.began + intended
        taken = time.monotonic()
        if taken < due:
            gevent.sleep(due - taken)
        request = self.sides[side].requests[op]
        began = time.monotonic()
        self.late_ms.append((began - max(due, taken)) * 1000)
        if began - due > LATE_SECONDS:
            self.dropped += 1
            status, ended = NO_ANSWER, began
        else:
            mark = object()
            self.under_way[mark] = (op, intended, began, phase, side, block)
            status = self.sides[side].client.send(request)
            del self.under_way[mark]  # stays where Locust's end comes before the answer
            ended = time.monotonic()
        latency = (ended - due) * 1000
        service = (ended - began) * 1000
        self.rows.append((op, intended, latency, service, status, phase, side, block))
        if phase == MEASURED:
            reason = self._watch.add(op, latency, 0 < status < 400)
            if reason and not self.aborted:
                self.aborted = reason
                self._stop()
        return request, latency, status

    def watch_engine(self) -> None:
        """Note every second how late the engine's last cycle began."""
        host, port = JOB["connect"]
        client = HTTPClient(
            host,
            port,
            headers={"Host": URL.netloc},
            ssl_options=TLS if URL.scheme == "https" else None,
            connection_timeout=ANSWER_SECONDS,
            network_timeout=ANSWER_SECONDS,
        )
        while True:
            try:
                text = client.get(METRICS).read().decode()
            except (OSError, HTTPException):
                text = ""
            for line in text.splitlines():
                if line.startswith(f"{TICK_LAG} "):
                    self.tick_lag_ms.append(float(line.split()[1]) * 1000)
            gevent.sleep(1.0)

    def write(self) -> None:
        """Leave everything for load/runner.py."""
        seconds = time.monotonic() - self.began + LEAD_SECONDS
        self._drop_what_is_left()
        about = {
            "dropped": self.dropped,
            "lag_p99_ms": float(np.quantile(self.late_ms or [0.0], 0.99)),
            "resent": sum(one.client.resent for one in self.sides),
            "cpu": (time.process_time() - self._cpu) / seconds,
            "tick_lag_ms": self.tick_lag_ms,
            "websocket": self.websocket,
            "aborted": self.aborted,
        }
        self._leave(self.index, parts.packed([*self.rows, *self._unanswered()], about))

    def _drop_what_is_left(self) -> None:
        """Arrivals that were due and that nobody was free to send: none was answered."""
        latest = time.monotonic() - self.began - DRAIN_SECONDS
        for op, intended, phase, side, block in self.arrivals:
            if intended > latest:
                break
            late = (latest + DRAIN_SECONDS - intended) * 1000
            self.rows.append((op, intended, late, 0.0, NO_ANSWER, phase, side, block))
            self.dropped += 1

    def _unanswered(self) -> Iterator[tuple[float, ...]]:
        """Requests that were not answered before the end: no answer at all is an error, too."""
        now = time.monotonic()
        for op, intended, began, phase, side, block in self.under_way.values():
            latency, service = now - self.began - intended, now - began
            if service >= DRAIN_SECONDS:  # a younger one was cut off by an early end
                yield (op, intended, latency * 1000, service * 1000, NO_ANSWER, phase, side, block)


WORK: list[Work] = []
"""The work of this process, while a test runs."""


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Any, **_: Any) -> None:
    """Get ready; the master of several processes sends nothing itself."""
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        runner.register_message(BEYOND, lambda **_: runner.quit())
        runner.register_message(PART, lambda msg, **_: parts.keep(FOLDER, *msg.data))
        return
    if isinstance(runner, WorkerRunner):
        stop, leave = partial(runner.send_message, BEYOND), partial(_send_part, runner)
        WORK[:] = [Work(max(0, runner.worker_index), stop, leave)]
    else:
        WORK[:] = [Work(0, partial(gevent.spawn, runner.quit), partial(parts.keep, FOLDER))]
    # What is loaded stays: looking through it for garbage takes longer than an arrival may be late.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    # A master that waits for a lost worker never tells the others to stop.
    gevent.spawn_later(LEAD_SECONDS + PROFILE.seconds + DRAIN_SECONDS, WORK[0].write)
    if WORK[0].index == 0 and not JOB["baseline"]:  # one side alone must not be asked for more
        gevent.spawn(WORK[0].watch_engine)


def _send_part(runner: Any, index: int, part: dict[str, Any]) -> None:
    runner.send_message(PART, [index, part])


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def end(**_: Any) -> None:
    """Write down what was seen."""
    for work in WORK:
        work.write()


class Visitor(User):
    """Sends the next arrival in its time."""

    @tag("requests")
    @task
    def arrivals(self) -> None:
        """One arrival after another, for as long as Locust lets this user run.

        In one task, for Locust's way from one task to the next costs too much for each arrival.
        The end of the schedule is the end of this user.
        """
        work, fire = WORK[0], self.environment.events.request.fire
        for arrival in work.arrivals:
            request, latency, status = work.send(*arrival)
            fire(
                request_type=request.method,
                name=request.path,
                response_time=latency,
                response_length=0,
                context={},
                exception=None if 0 < status < 400 else OSError(f"status {status}"),
            )
            if self._state == LOCUST_STATE_STOPPING:
                break
        raise StopUser


if PROFILE.websockets:

    class Listener(User):
        """Stays connected, as an open page does."""

        fixed_count = PROFILE.websockets

        @tag("websocket")
        @task
        def listen(self) -> None:
            """Count messages; a connection that is refused or ends is counted and made anew."""
            seen = WORK[0].websocket
            host, port = JOB["connect"]
            place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            address = f"{URL.scheme.replace('http', 'ws', 1)}://{place}{URL.path}/ws/"
            names = {"host": URL.netloc, "origin": f"{URL.scheme}://{URL.netloc}", "sslopt": TLS}
            try:
                connection = create_connection(address, timeout=ANSWER_SECONDS, **names)
                while connection.recv():  # nothing: the other side said that it closes
                    seen["messages"] += 1
            except (OSError, WebSocketException):
                pass
            seen["failures"] += 1
            gevent.sleep(AGAIN_SECONDS)
