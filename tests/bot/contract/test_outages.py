"""While a dependency is away the API says so: 503 as documented, as JSON, and well again after."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from contracts.agreed import load
from contracts.diff import label_parts, operations
from gate import Operator, check, expect
from gate.operator import API, KEY_HEADER
from gate.wire import Answer, Wire
from tests.bot.contract.engine import to_idle
from tests.bot.exchange import Exchange
from tests.contract.ledger import Ledger, as_curl

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
OF_THE_DATABASE = [one for one in SAYS_503 if one not in (*OF_THE_EXCHANGE, *OF_REDIS)]
VALUES = {"name": "balanced", "symbol": "BTCUSDT", "order_id": "any", "position_id": "any"}
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/engine/command": {"command": "stop"},
    "PUT /api/presets/{name}": {},
}
COMMANDS = "POST /api/engine/"
Call = dict[str, Any]
RELEASE = "/tmp/contract-release"
LOCK = f"""
import fcntl, glob, os, time
index = open(glob.glob("/data/*.sqlite3-shm")[0], "r+b")
fcntl.lockf(index, fcntl.LOCK_EX, 8, 120)
end = time.monotonic() + 45
while not os.path.exists("{RELEASE}") and time.monotonic() < end:
    time.sleep(0.05)
os.path.exists("{RELEASE}") and os.unlink("{RELEASE}")
"""
"""Takes all eight locks of the write-ahead log's index, as a process that recovers it does: a held
transaction would stop the writers only (https://www.sqlite.org/walformat.html, WAL locks)."""
BACK_SECONDS = 30.0


@contextmanager
def exchange_cut(operator: Operator) -> Iterator[None]:
    """The exchange closes every connection."""
    exchange = Exchange(operator)
    exchange.drill(cut=True)
    try:
        yield
    finally:
        exchange.end_drills()


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
    """Another process holds every lock of the database."""
    inside = ["exec", operator.container(API)]
    operator.docker("exec", "--detach", *inside[1:], "/venv/bin/python", "-c", LOCK)
    try:
        # Health keeps its last look for a moment.
        operator.until(lambda: operator.http("/api/health"), 5, "health 503", _is_503, API)
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
    fix="look for the request and its exception in the API's log",
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
    """An answer of each operation, all asked at once, commands one after another.

    The engine takes one command at a time, and each waits two seconds for a locked database.
    """
    headers = {KEY_HEADER: operator.credentials.api_key or ""}
    commands = [one for one in labels if one.startswith(COMMANDS)]
    turns = [[one] for one in labels if one not in commands] + [commands]

    async def ask(wire: Wire, turn: list[str]) -> list[tuple[str, Answer]]:
        return [(one, await wire.http(**_call(one), headers=headers)) for one in turn]

    async def everything(wire: Wire) -> list[tuple[str, Answer]]:
        found = await asyncio.gather(*(ask(wire, turn) for turn in turns))
        return [pair for pairs in found for pair in pairs]

    return dict(operator.run(everything))


def _call(label: str) -> Call:
    method, template = label_parts(label)
    return {"path": template.format_map(VALUES), "method": method, "json": BODIES.get(label)}
