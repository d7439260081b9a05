"""What only an onlooker can tell: who held the lease when, and what the exchange was told."""

import asyncio
import sqlite3
import ssl
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from compose.lifecycle import backups, proxy, verify
from compose.lifecycle.deployment import Deployment
from compose.target import Credentials, Target
from compose.wire import Wire, WireError

LEASE = "breakout-bot:lease"
EVERY_SECONDS = 0.05
LOG_PAGE = 1000
LOG_LIMIT = 10.0


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


def start_engine(deployment: Deployment) -> None:
    """Trading, so that there is a lease to hand over; an engine that trades already goes on."""
    where = verify.target(deployment, proxy.live(deployment))
    if verify.look(where, "/api/engine/status").get("state") == "RUNNING":
        return
    trusted = ssl.create_default_context(cafile=where.ca_file)
    headers = {"X-API-Key": deployment.credentials.api_key or ""}
    url = f"{where.urls['proxy']}/api/engine/start"
    answer = httpx.post(url, headers=headers, json={"preset": "balanced"}, verify=trusted)
    answer.raise_for_status()


ALWAYS_WRITTEN = {"probes", "notes", "signals", "trades", "positions", "orders", "control"}
"""Tables that a trading bot changes by itself."""


def rows(deployment: Deployment) -> dict[str, Any]:
    """Every row of the tables that only people change, and the schema."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "data.sqlite3"
        backups.snapshot(deployment, path)
        with closing(sqlite3.connect(path)) as data:
            tables = data.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            wanted = sorted({name for (name,) in tables} - ALWAYS_WRITTEN)
            found = {name: data.execute(f'SELECT * FROM "{name}"').fetchall() for name in wanted}
            return {**found, "schema": data.execute("PRAGMA user_version").fetchone()}


def rename_preset(deployment: Deployment, text: str) -> None:
    """Write something that can be found again: the description of a preset."""
    where = verify.target(deployment, proxy.live(deployment))
    trusted = ssl.create_default_context(cafile=where.ca_file)
    headers = {"X-API-Key": deployment.credentials.api_key or ""}
    with httpx.Client(base_url=where.urls["proxy"], verify=trusted, headers=headers) as client:
        body = client.get("/api/presets/balanced").json() | {"description": text}
        body.pop("name")
        client.put("/api/presets/witness", json=body).raise_for_status()
