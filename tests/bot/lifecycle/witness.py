"""What only an onlooker can tell: who held the lease when, and what the exchange was told."""

import asyncio
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from compose.lifecycle import backups, database, proxy, verify
from compose.lifecycle.deployment import API, Deployment
from gate.checks import fail
from gate.target import Credentials, Target
from gate.wire import Guard, Transport, Wire, WireError, tls_context

LEASE = "breakout-bot:lease"
EVERY_SECONDS = 0.05
LOG_PAGE = 1000
LOG_LIMIT = 10.0
BOT = "breakout-bot"
LEASE_TAKEN = 409
LAPSE_SECONDS = 15.0
"""Longer than a lease lasts without its owner."""
VOLATILITY = 5.0
"""With a stop of 3 %: several trades a minute, of which none loses much more than its stop, so that
it takes hours to lose the most that a preset may lose in a day."""
EAGER = {
    "description": "Trades at every breakout",
    "max_positions": 20,
    "lookback": 5,
    "stop_percent": 3.0,
    "target_r": 1.0,
    "daily_loss_limit_r": 100,
    "cooldown_seconds": 0,
}


class LeaseWatch:
    """Samples the lease between `with` and its end; `gaps` are the times nobody held it."""

    def __init__(self, deployment: Deployment) -> None:
        port = deployment.container("redis").host_port(6379)
        urls = {"redis": f"redis://localhost:{port}"}
        self._target = Target(deployment.project, "disposable", urls)
        self._credentials: Credentials = deployment.credentials
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.samples: list[tuple[float, str | None]] = []

    def __enter__(self) -> "LeaseWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    async def _run(self) -> None:
        async with Wire(self._target, self._credentials, lambda _: None) as wire:
            while not self._over.is_set():
                await self._sample(wire)
                await asyncio.sleep(EVERY_SECONDS)

    async def _sample(self, wire: Wire) -> None:
        try:
            (owner,) = await wire.redis(("GET", LEASE), password=self._credentials.redis_password)
            self.samples.append((time.monotonic(), owner))
        except WireError:
            return

    @property
    def owners(self) -> list[str]:
        """Owners in the order in which they held it, each change once."""
        found: list[str] = []
        for _, owner in self.samples:
            if owner and (not found or found[-1] != owner):
                found.append(owner)
        return found

    @property
    def gaps(self) -> list[float]:
        """Seconds between one owner and the next."""
        found, last = [], None
        for at, owner in self.samples:
            if owner:
                if last and last[1] != owner:
                    found.append(at - last[0])
                last = (at, owner)
        return found


def order_log(deployment: Deployment) -> list[dict[str, Any]]:
    """The exchange's order log."""
    base = f"http://localhost:{deployment.container('exchange').host_port(8100)}"
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["seq"] if found else 0
        asked = {"after": after, "limit": LOG_PAGE}
        page = httpx.get(f"{base}/log", params=asked, timeout=LOG_LIMIT).json()["entries"]
        found += page
        if len(page) < LOG_PAGE:
            return found


def broken_promises(log: list[dict[str, Any]]) -> list[str]:
    """Orders that came twice, or from an engine after a newer one had begun."""
    found, ids, newest = [], set[str](), 0
    for entry in log:
        if entry["event"] != "order_accepted":
            continue
        if entry["client_order_id"] in ids:
            found.append(f"{entry['client_order_id']} was accepted twice")
        ids.add(entry["client_order_id"])
        token = entry.get("fencing_token") or newest
        if token < newest:
            found.append(f"{entry['client_order_id']} came from an engine that was replaced")
        newest = max(newest, token)
    return found


@dataclass(frozen=True)
class Books:
    """The orders of the bot, as its database and the exchange's log have them."""

    taken: set[str]
    """Those that the database says the exchange has taken."""
    log: list[dict[str, Any]]
    """The exchange's, read after that."""
    known: set[str]
    """All of the database, read after the log: the bot writes an order down before it sends it."""

    @property
    def accepted(self) -> set[str]:
        """What the exchange has taken from the bot."""
        own = (one for one in self.log if one["client_id"] == BOT)
        return {one["client_order_id"] for one in own if one["event"] == "order_accepted"}

    @property
    def wrong(self) -> list[str]:
        """Orders that came twice, from an engine that was replaced, or that one side has lost."""
        lost = [f"{one} is not in the exchange's log" for one in self.taken - self.accepted]
        unknown = [f"{one} is not in the database" for one in self.accepted - self.known]
        return [*broken_promises(self.log), *sorted(lost), *sorted(unknown)]


def books(deployment: Deployment) -> Books:
    """Both sides' orders, also while the engine trades."""
    known = _read(deployment, "orders")
    taken = {one["client_order_id"] for one in known if one["status"] not in ("sent", "refused")}
    log = order_log(deployment)
    return Books(taken, log, {one["client_order_id"] for one in _read(deployment, "orders")})


def _read(deployment: Deployment, command: str) -> Any:
    """What the bot's command for its database says of a copy of it."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "data.sqlite3"
        backups.snapshot(deployment, path)
        return database.read_copy(path, command)


def start_engine(deployment: Deployment) -> None:
    """Trading, so that there is a lease to hand over; an engine that trades already goes on."""
    if engine_state(deployment) != "RUNNING":
        with _hands(deployment) as client:
            _start(client, "balanced")


def _start(client: httpx.Client, preset: str) -> None:
    """Start the engine; a lease that an engine before it could not give back has to lapse first.

    Fails the check after `LAPSE_SECONDS`.
    """

    def start() -> httpx.Response:
        return client.post("/api/engine/start", json={"preset": preset})

    ends = time.monotonic() + LAPSE_SECONDS
    while (answer := start()).status_code == LEASE_TAKEN and time.monotonic() < ends:
        time.sleep(0.5)
    if answer.is_error:
        fail("the engine to start", f"{answer.status_code} {answer.text[:200]}", component=API)


def trade_eagerly(deployment: Deployment) -> None:
    """Many orders a minute, so that an update has some to lose or to send twice."""
    port = deployment.container("exchange").host_port(8100)
    wild = {"volatility": VOLATILITY}
    httpx.put(f"http://localhost:{port}/drills", json=wild, timeout=LOG_LIMIT).raise_for_status()
    with _hands(deployment) as client:
        client.put("/api/presets/eager", json=EAGER).raise_for_status()
        if client.get("/api/engine/status").json()["state"] != "IDLE":
            client.post("/api/engine/stop").raise_for_status()
        _start(client, "eager")


def tell_engine(deployment: Deployment, command: str) -> None:
    """A command of the operator, such as `emergency-stop`."""
    with _hands(deployment) as client:
        client.post(f"/api/engine/{command}").raise_for_status()


def engine_state(deployment: Deployment) -> str:
    """What the engine says that it is doing."""
    where = verify.target(deployment, proxy.live(deployment))
    return str(verify.look(where, "/api/engine/status").get("state"))


def _hands(deployment: Deployment) -> httpx.Client:
    """A client with the operator's key, through the proxy."""
    where = replace(verify.target(deployment, proxy.live(deployment)), kind="disposable")
    transport = Transport(Guard(where), verify=tls_context(where))
    headers = {"X-API-Key": deployment.credentials.api_key or ""}
    return httpx.Client(base_url=where.url, transport=transport, headers=headers)


def rows(deployment: Deployment) -> dict[str, Any]:
    """Every row of the tables that only people change, and the schema."""
    return dict(_read(deployment, "settled"))


def rename_preset(deployment: Deployment, text: str) -> None:
    """Write something that can be found again: the description of a preset."""
    with _hands(deployment) as client:
        body = client.get("/api/presets/balanced").json() | {"description": text}
        body.pop("name")
        client.put("/api/presets/witness", json=body).raise_for_status()
