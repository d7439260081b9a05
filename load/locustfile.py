"""The generator on Locust: an open loop. Run by load/runner.py, or by hand for the web UI:

    LOAD_JOB=job.json LOAD_API_KEY=… locust -f load/locustfile.py

Each Visitor takes the next arrival of the schedule, waits until it is due and sends it; there are
as many as requests may be under way, so that a slow answer delays nothing else. Latency counts from
the time that an arrival was due. What a process has seen is in part-N.npz and part-N.json later.
"""

import json
import os
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any

import gevent
from geventhttpclient import HTTPClient
from locust import User, events, tag, task
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner
from websocket import WebSocketException, create_connection

from load import parts, profile, slo
from load.abort import Watch
from load.arrivals import schedule
from load.blocks import deal
from load.samples import MEASURED

JOB = json.loads(Path(os.environ["LOAD_JOB"]).read_text(encoding="utf-8"))
PROFILE = profile.load(JOB["profile"])
PROFILE = PROFILE.reading() if JOB["live"] else PROFILE
PROFILE = PROFILE.comparing() if JOB["baseline"] else PROFILE
SCHEDULE = schedule(PROFILE)
SCHEDULE = deal(SCHEDULE, PROFILE.seed) if JOB["baseline"] else SCHEDULE
SIDES = [JOB, JOB["baseline"]] if JOB["baseline"] else [JOB]
"""Where requests go, in the order of `SIDES` of load/blocks.py."""
LEVELS = [] if JOB["baseline"] else slo.load()
KEY = os.environ.get("LOAD_API_KEY", "")
LEAD_SECONDS = 1.0
"""Between the start and the first arrival, for all users to be there."""
ANSWER_SECONDS = 15.0
DRAIN_SECONDS = 2.0
LATE_SECONDS = 5.0
"""An arrival that nobody was free to send for so long is dropped, and said."""
METRICS = "/api/metrics"
TICK_LAG = "breakout_bot_tick_lag_seconds"


class Work:
    """What one process sends, and what came of it."""

    def __init__(self, index: int, of: int, stop: Any) -> None:
        own = SCHEDULE.part(index, of)
        self.index = index
        self.began = time.monotonic() + LEAD_SECONDS
        columns = (own.op, own.intended, own.phase, own.side, own.block)
        self.arrivals = zip(*(one.tolist() for one in columns), strict=True)
        self.requests = [name.split(" ", 1) for name in PROFILE.names]
        self.bodies = {one.request: one.body for one in PROFILE.controls}
        self.rows: list[tuple[float, ...]] = []
        self.dropped = 0
        self.tick_lag_ms: list[float] = []
        self.websocket: dict[str, int] = {"messages": 0, "failures": 0}
        self.aborted: str | None = None
        self._stop = stop
        self._watch = Watch(LEVELS, SCHEDULE.planned(PROFILE.names), PROFILE.names)
        self._cpu = time.process_time()
        self.clients = [_client(one["url"], one["ca_file"]) for one in SIDES]

    def send(
        self, op: int, intended: float, phase: int, side: int, block: int
    ) -> tuple[str, float, int]:
        """Send one arrival when it is due: (its name, ms from then to the answer, status)."""
        due = self.began + intended
        gevent.sleep(max(0.0, due - time.monotonic()))
        began = time.monotonic()
        if began - due > LATE_SECONDS:
            self.dropped += 1
            status = 0
        else:
            status = self._answer(self.clients[side], *self.requests[op])
        ended = time.monotonic()
        latency = (ended - due) * 1000
        service = (ended - began) * 1000
        self.rows.append((op, intended, latency, service, status, phase, side, block))
        if phase == MEASURED:
            reason = self._watch.add(op, latency, 0 < status < 400)
            if reason and not self.aborted:
                self.aborted = reason
                self._stop()
        return PROFILE.names[op], latency, status

    def _answer(self, client: HTTPClient, method: str, path: str) -> int:
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"} if method != "GET" else {}
        body = self.bodies.get(f"{method} {path}", "") or ("{}" if method != "GET" else "")
        try:
            response = client.request(method, path, body.encode(), headers)
            response.read()
        except (OSError, HTTPException):
            return 0
        return int(response.status_code)

    def watch_engine(self) -> None:
        """Note every second how late the engine's last cycle began."""
        while True:
            try:
                text = self.clients[0].get(METRICS).read().decode()
            except (OSError, HTTPException):
                text = ""
            for line in text.splitlines():
                if line.startswith(f"{TICK_LAG} "):
                    self.tick_lag_ms.append(float(line.split()[1]) * 1000)
            gevent.sleep(1.0)

    def write(self) -> None:
        """Leave everything for load/runner.py."""
        seconds = time.monotonic() - self.began + LEAD_SECONDS
        about = {
            "dropped": self.dropped,
            "cpu": (time.process_time() - self._cpu) / seconds,
            "tick_lag_ms": self.tick_lag_ms,
            "websocket": self.websocket,
            "aborted": self.aborted,
        }
        parts.write(Path(JOB["folder"]), self.index, self.rows, about)


def _client(url: str, ca_file: str | None) -> HTTPClient:
    return HTTPClient.from_url(
        url,
        concurrency=PROFILE.in_flight,
        connection_timeout=ANSWER_SECONDS,
        network_timeout=ANSWER_SECONDS,
        **({"ssl_options": {"ca_certs": ca_file}} if ca_file else {}),
    )


WORK: list[Work] = []
"""The work of this process, while a test runs."""


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Any, **_: Any) -> None:
    """Get ready; the master of several processes sends nothing itself."""
    runner = environment.runner
    if isinstance(runner, MasterRunner):
        runner.register_message("beyond", lambda **_: runner.quit())
        return
    is_worker = isinstance(runner, WorkerRunner)
    index = max(0, runner.worker_index) if is_worker else 0
    stop = (
        (lambda: runner.send_message("beyond"))
        if is_worker
        else (lambda: gevent.spawn(runner.quit))
    )
    WORK[:] = [Work(index, JOB["workers"], stop)]
    # A master that waits for a lost worker never tells the others to stop.
    gevent.spawn_later(LEAD_SECONDS + PROFILE.seconds + DRAIN_SECONDS, WORK[0].write)
    if index == 0 and not JOB["baseline"]:  # one side alone must not be asked for more
        gevent.spawn(WORK[0].watch_engine)


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def end(**_: Any) -> None:
    """Write down what was seen."""
    for work in WORK:
        work.write()


class Visitor(User):
    """Sends the next arrival in its time."""

    @tag("requests")
    @task
    def next_arrival(self) -> None:
        """One arrival; the end of the schedule is the end of this user."""
        work = WORK[0]
        arrival = next(work.arrivals, None)
        if arrival is None:
            raise StopUser
        name, latency, status = work.send(*arrival)
        method, path = name.split(" ", 1)
        self.environment.events.request.fire(
            request_type=method,
            name=path,
            response_time=latency,
            response_length=0,
            context={},
            exception=None if 0 < status < 400 else OSError(f"status {status}"),
        )


if PROFILE.websockets:

    class Listener(User):
        """Stays connected, as an open page does."""

        fixed_count = PROFILE.websockets

        @tag("websocket")
        @task
        def listen(self) -> None:
            """Count messages; a lost connection is counted and made anew."""
            seen = WORK[0].websocket
            options = {"ca_certs": JOB["ca_file"]} if JOB["ca_file"] else {}
            try:
                address = JOB["url"].replace("http", "ws", 1) + "/ws/"
                connection = create_connection(address, timeout=ANSWER_SECONDS, sslopt=options)
                while connection.recv():
                    seen["messages"] += 1
            except (OSError, WebSocketException):
                seen["failures"] += 1
                gevent.sleep(1.0)
