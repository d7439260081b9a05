"""What only an onlooker can tell: who held the lease when, and what the exchange was told."""

import asyncio
import secrets
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from compose.lifecycle import backups, database, proxy, restore, verify
from compose.lifecycle.deployment import API, REDIS, Deployment
from gate import expect
from gate.target import Credentials, Target
from gate.wire import Answer, Wire, WireError
from tests.bot.api import STATUS, Api
from tests.bot.exchange import EXCHANGE, accepted, drill, order_log

LEASE = "breakout-bot:lease"
EVERY_SECONDS = 0.05
EXCHANGE_PORT = 8100
LIMIT = 10.0
Asked = TypeVar("Asked")
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
        urls = {REDIS: f"redis://localhost:{port}"}
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
                with suppress(WireError):
                    password = self._credentials.redis_password
                    (owner,) = await wire.redis(("GET", LEASE), password=password)
                    self.samples.append((time.monotonic(), owner))
                await asyncio.sleep(EVERY_SECONDS)

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


def ask(deployment: Deployment, work: Callable[[Wire], Awaitable[Asked]]) -> Asked:
    """Return what `work` brings over a wire to a deployment that may be changed, key and all."""

    async def asked() -> Asked:
        where, unrecorded = _target(deployment), lambda _: None
        async with Wire(where, deployment.credentials, unrecorded, limit=LIMIT) as wire:
            return await work(wire)

    return asyncio.run(asked())


def _target(deployment: Deployment) -> Target:
    """The deployment through its live proxy, and its exchange at its own port."""
    where = verify.target(deployment, proxy.live(deployment))
    port = deployment.container(EXCHANGE).host_port(EXCHANGE_PORT)
    urls = {**where.urls, EXCHANGE: f"http://localhost:{port}"}
    return replace(where, kind="disposable", urls=urls)


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
        return {order["client_order_id"] for order in accepted(self.log)}

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
    log = ask(deployment, order_log)
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
        ask(deployment, lambda wire: _start(Api(wire), "balanced"))


async def _start(api: Api, preset: str) -> None:
    """Start the engine; a lease that an engine before it could not give back has to lapse first.

    Fails the check after `LAPSE_SECONDS`.
    """
    ends = time.monotonic() + LAPSE_SECONDS
    answer = await api.command("start", preset=preset)
    while answer.status == LEASE_TAKEN and time.monotonic() < ends:
        await asyncio.sleep(0.5)
        answer = await api.command("start", preset=preset)
    expect(answer.status == 200, "the engine to start", answer.brief, component=API)


def trade_eagerly(deployment: Deployment) -> None:
    """Many orders a minute, so that an update has some to lose or to send twice."""

    async def work(wire: Wire) -> None:
        api = Api(wire)
        await drill(wire, volatility=VOLATILITY)
        _expect_done(await api.put_preset("eager", EAGER))
        if (await api.status())["state"] != "IDLE":
            _expect_done(await api.command("stop"))
        await _start(api, "eager")

    ask(deployment, work)


def tell_engine(deployment: Deployment, command: str) -> None:
    """A command of the operator, such as `emergency-stop`. Fails the check when it is refused."""
    _expect_done(ask(deployment, lambda wire: Api(wire).command(command)))


def _expect_done(answer: Answer) -> None:
    expect(answer.status == 200, f"{answer.url} to be done", answer.brief, component=API)


def engine_state(deployment: Deployment) -> str:
    """What the engine says that it is doing."""
    where = verify.target(deployment, proxy.live(deployment))
    return str(verify.look(where, STATUS).get("state"))


def rows(deployment: Deployment) -> dict[str, Any]:
    """Every row of the tables that only people change, and the schema."""
    return dict(_read(deployment, "settled"))


def marked_backup(deployment: Deployment) -> tuple[Path, str]:
    """Write something new, then back up; the archive, and what was written."""
    marker = secrets.token_hex(8)
    rename_preset(deployment, marker)
    return backups.make(deployment), marker


def restores_the_marker(deployment: Deployment, archive: Path, marker: str) -> bool:
    """Prove a backup in a scratch stack; whether its database has the marker. Raises `Rejected`."""
    restore.verify(deployment, archive, None)
    with restore.opened(deployment, archive, None) as (folder, _):
        return marker.encode() in (folder / "data.sqlite3").read_bytes()


def rename_preset(deployment: Deployment, text: str) -> None:
    """Write something that can be found again: the description of a preset."""

    async def work(wire: Wire) -> None:
        api = Api(wire)
        numbers = await api.preset("balanced") | {"description": text}
        _expect_done(await api.put_preset("witness", numbers))

    ask(deployment, work)
