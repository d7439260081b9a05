"""While a dependency is away the API says so: 503 as documented, as JSON, and well again after."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from compose.wire import Answer, Wire
from contracts.agreed import load
from contracts.diff import operations
from tests.checks import check, expect
from tests.contract.engine import to_idle
from tests.contract.ledger import Ledger, as_curl
from tests.operator import API, KEY_HEADER, Operator

SAYS_503 = [label for label, one in operations(load()) if "503" in one.responses]
OF_THE_EXCHANGE = [
    "GET /api/trading/orders",
    "GET /api/orders",
    "DELETE /api/trading/orders/{order_id}",
    "POST /api/scanner/scan",
    "GET /api/charts/candles/{symbol}",
    "GET /api/charts/levels/{symbol}",
]
OF_REDIS = ["GET /api/health", "POST /api/engine/start"]
RELOAD = "POST /api/engine/reload"
OTHERS = [one for one in SAYS_503 if one not in (*OF_THE_EXCHANGE, *OF_REDIS, RELOAD)]
OF_THE_DATABASE = [RELOAD, *OTHERS]
"""Reload first: it only reads, so it has to wait right behind the writes that wait."""
COMMANDS = [
    f"POST /api/engine/{name}"
    for name in ("stop", "pause", "resume", "emergency-stop", "reset", "command")
]
"""Carried out one after the other, so each waits for the lock itself."""
VALUES = {"name": "balanced", "symbol": "BTCUSDT", "order_id": "any", "position_id": "any"}
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/engine/command": {"command": "stop"},
    "PUT /api/presets/{name}": {},
}
Call = dict[str, Any]
Headers = dict[str, str]
BLOCKER: Call = {"path": "/api/presets/contract-stage-blocked", "method": "PUT", "json": {}}
WRITERS = 6
"""Each waits a second for the database's lock, so that what reads behind them waits too long."""
RELEASE = "/tmp/contract-release"
LOCK = f"""
import glob, os, sqlite3, time
db = sqlite3.connect(glob.glob("/data/*.sqlite3")[0])
db.execute("BEGIN IMMEDIATE")
end = time.monotonic() + 45
while not os.path.exists("{RELEASE}") and time.monotonic() < end:
    time.sleep(0.05)
os.path.exists("{RELEASE}") and os.unlink("{RELEASE}")
"""
BACK_SECONDS = 30.0
OUTAGE_SECONDS = 10.0


@contextmanager
def exchange_cut(operator: Operator) -> Iterator[None]:
    """The exchange closes every connection."""
    operator.http("/drills", "exchange", "PUT", json={"cut": True})
    try:
        yield
    finally:
        operator.http("/drills", "exchange", "DELETE")


@contextmanager
def redis_paused(operator: Operator) -> Iterator[None]:
    """Redis takes connections and answers nothing."""
    operator.docker("pause", operator.container("redis"))
    try:
        # Health keeps its last look for a moment.
        operator.until(lambda: operator.http("/api/health"), 5, "health 503", _is_503, API)
        yield
    finally:
        operator.docker("unpause", operator.container("redis"))


@contextmanager
def database_locked(operator: Operator) -> Iterator[None]:
    """Another process holds the database's write lock."""
    inside = ["exec", operator.container(API)]
    operator.docker("exec", "--detach", *inside[1:], "/venv/bin/python", "-c", LOCK)
    try:
        locked = "the database to be locked"
        operator.until(lambda: operator.http(**BLOCKER), 5, locked, _is_503, API)
        yield
    finally:
        operator.docker(*inside, "/venv/bin/python", "-c", f"open('{RELEASE}', 'w')")


def _is_503(answer: Answer) -> bool:
    return answer.status == 503


Outage = Callable[[Operator], AbstractContextManager[None]]
OUTAGES: dict[str, tuple[Outage, list[str]]] = {
    "the exchange cuts": (exchange_cut, OF_THE_EXCHANGE),
    "redis hangs": (redis_paused, OF_REDIS),
    "the database is locked": (database_locked, OF_THE_DATABASE),
}


@check(
    API,
    cause="the failure of a dependency is not caught, or its answer is not the documented one",
    fix="look for the request in the API's log; give the exception its status in errors.py",
    needs=("disposable", "stack", "direct:exchange", "proxy", API),
)
@pytest.mark.parametrize("outage", list(OUTAGES))
def test_says_503_as_documented(operator: Operator, ledger: Ledger, outage: str) -> None:
    away, labels = OUTAGES[outage]
    to_idle(operator)
    with away(operator):
        answers = _asked(operator, labels)
    for label, answer in answers.items():
        ledger.saw(label, answer.status)
        curl = as_curl(label.partition(" ")[0], answer.url, BODIES.get(label))
        wanted = f"{label} to answer 503 in JSON while {outage}"
        is_json = answer.content_type == "application/json"
        expect(answer.status == 503 and is_json, wanted, answer.brief, curl)
    operator.until(lambda: operator.http("/api/health").status == 200, BACK_SECONDS, "health")
    to_idle(operator)


def _asked(operator: Operator, labels: list[str]) -> dict[str, Answer]:
    """An answer of each operation: the commands one by one, the others behind waiting writes."""
    late = [label for label in labels if label in COMMANDS]
    soon = [label for label in labels if label not in COMMANDS]
    headers = {KEY_HEADER: operator.credentials.api_key or ""}
    answers = operator.run(lambda wire: _behind_writes(wire, headers, [_call(one) for one in soon]))
    answers += operator.run(lambda wire: _all(wire, headers, [_call(one) for one in late]))
    return dict(zip(soon + late, answers, strict=True))


async def _behind_writes(wire: Wire, headers: Headers, calls: list[Call]) -> list[Answer]:
    writers = [asyncio.create_task(_write_on(wire, headers)) for _ in range(WRITERS)]
    try:
        return await asyncio.gather(*(_until_503(wire, headers, call) for call in calls))
    finally:
        for writer in writers:
            writer.cancel()
        await asyncio.wait(writers)


async def _write_on(wire: Wire, headers: Headers) -> None:
    """Write again and again, until a write goes through."""
    while (await wire.http(**BLOCKER, headers=headers)).status == 503:
        pass


async def _until_503(wire: Wire, headers: Headers, call: Call) -> Answer:
    """Ask until the answer is no 200 any more: a read may slip in between two waiting writes."""
    deadline = time.monotonic() + OUTAGE_SECONDS
    while True:
        answer = await wire.http(**call, headers=headers)
        if answer.status != 200 or time.monotonic() > deadline:
            return answer


async def _all(wire: Wire, headers: Headers, calls: list[Call]) -> list[Answer]:
    return await asyncio.gather(*(wire.http(**call, headers=headers) for call in calls))


def _call(label: str) -> Call:
    method, _, template = label.partition(" ")
    return {"path": template.format_map(VALUES), "method": method, "json": BODIES.get(label)}
