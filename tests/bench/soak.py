"""A week of paper trading in fast time (`make soak`): do all books agree, does anything grow?"""

import asyncio
import json
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gate.machine.console import say
from gate.machine.interrupts import run_main
from gate.running import running_stack
from gate.stack import Stack
from gate.target import Target
from gate.wire import Wire
from tests.bench.record import Figure, report
from tests.bench.running import API, EXCHANGE, control
from tests.bot.exchange import OURS, order_log

FAST = Path(__file__).with_name("soak.yaml")
DAY = 86_400.0
DAYS = 7.0
LIMIT_SECONDS = 900.0
SAMPLE_SECONDS = 10.0
PAGE = 1000
PRESET = {
    "description": "Many trades, and no daily limit that would end the week",
    "max_positions": 5,
    "lookback": 30,
    "stop_percent": 0.6,
    "target_r": 1.5,
    "daily_loss_limit_r": 100,
    "cooldown_seconds": 600,
}
USE = """
import os
rss = next(line for line in open("/proc/1/status") if line.startswith("VmRSS"))
print(int(rss.split()[1]) / 1024, len(os.listdir("/proc/1/fd")))
"""
ORDERS = """
import runpy, sys
sys.argv[1:] = ["orders"]
runpy.run_module("breakout_bot.data", run_name="__main__")
"""


class Row(NamedTuple):
    """What every book must say alike of one order."""

    symbol: str
    side: str
    status: str
    filled: float
    price: float | None
    fee: float

    @classmethod
    def of(cls, order: dict[str, Any], **names: str) -> "Row":
        """Read one order, whose fields a book may name otherwise."""
        price = order[names.get("price", "fill_price")]
        return cls(
            order["symbol"],
            order["side"],
            order["status"],
            round(order[names.get("filled", "filled_quantity")], 6),
            None if price is None else round(price, 6),
            round(order["fee"], 6),
        )


Book = dict[str, Row]


@dataclass
class Use:
    """Memory and file handles of one service over the week."""

    memory_mb: list[float]
    handles: list[int]

    def growth(self, values: list[float] | list[int]) -> float:
        """Median of the last quarter less that of the second: the first is warming up."""
        quarter = max(1, len(values) // 4)
        return statistics.median(values[-quarter:]) - statistics.median(
            values[quarter : 2 * quarter]
        )


def inside(stack: Stack, service: str, program: str) -> str:
    """What a small program prints inside a service's container."""
    return stack.compose.run("exec", "-T", service, "/venv/bin/python", "-c", program)


async def trade(wire: Wire, stack: Stack) -> tuple[float, dict[str, Use]]:
    """Trade for a week of the exchange's time; give its days and what the services used."""
    await control(wire, "/api/presets/soak", "PUT", PRESET)
    await control(wire, "/api/engine/start", body={"preset": "soak", "mode": "paper"})
    uses = {service: Use([], []) for service in (API, EXCHANGE)}
    began, deadline = await _time(wire), time.monotonic() + LIMIT_SECONDS
    due, days = time.monotonic(), 0.0
    while days < DAYS and time.monotonic() < deadline:
        due += SAMPLE_SECONDS
        for service, use in uses.items():
            memory, handles = (await asyncio.to_thread(inside, stack, service, USE)).split()
            use.memory_mb.append(float(memory))
            use.handles.append(int(handles))
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        days = (await _time(wire) - began) / DAY
        say(f"day {days:.1f}")
    await control(wire, "/api/engine/stop")
    return days, uses


async def _time(wire: Wire) -> float:
    return float((await wire.http("/time", EXCHANGE)).json()["time"])


async def exchange_log(wire: Wire) -> Book:
    """The bot's orders as the exchange's log tells them, added up fill by fill."""
    orders: dict[str, dict[str, Any]] = {}
    fills: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in (one for one in await order_log(wire) if one["client_id"] == OURS):
        if line["event"] == "order_accepted":
            orders[line["client_order_id"]] = line
        elif line["event"] == "order_filled":
            fills[line["client_order_id"]].append(line)
        elif line["event"] == "order_cancelled":
            orders[line["client_order_id"]]["status"] = "cancelled"
    return {name: _added_up(order, fills[name]) for name, order in orders.items()}


def _added_up(order: dict[str, Any], fills: list[dict[str, Any]]) -> Row:
    filled = sum(fill["quantity"] for fill in fills)
    paid = sum(fill["quantity"] * fill["price"] for fill in fills)
    left = fills[-1]["remaining"] if fills else order["quantity"]
    done = {
        "status": "filled" if left <= 1e-9 else order["status"],
        "filled_quantity": filled,
        "fill_price": paid / filled if filled else None,
        "fee": sum(fill["fee"] for fill in fills),
    }
    return Row.of({**order, **done})


def database(stack: Stack) -> Book:
    """The orders that the bot's database says were taken."""
    rows = json.loads(inside(stack, API, ORDERS))
    return {row["client_order_id"]: Row.of(row) for row in rows if row["status"] != "refused"}


async def api(wire: Wire) -> Book:
    """The orders that the API shows, page by page."""
    names = {"price": "fillPrice", "filled": "filledQuantity"}
    found: Book = {}
    while page := (await wire.http(f"/api/orders?limit={PAGE}&offset={len(found)}", API)).json():
        found |= {one["clientOrderId"]: Row.of(one, **names) for one in page}
    return found


def disagreements(log: Book, others: dict[str, Book]) -> list[str]:
    """Every order that some book does not have, or has otherwise than the exchange's log."""
    return [
        f"{name} {key}: the log has {log.get(key)}, this {book.get(key)}"
        for name, book in others.items()
        for key in log.keys() | book.keys()
        if log.get(key) != book.get(key)
    ]


def growths(uses: dict[str, Use]) -> list[Figure]:
    """How much each service grew while it traded."""
    return [
        figure
        for service, use in uses.items()
        for figure in (
            Figure(f"{service}: memory", "MB", [statistics.median(use.memory_mb)]),
            Figure(f"{service}: memory growth", "MB", [use.growth(use.memory_mb)], 8.0),
            Figure(f"{service}: file handles growth", "handles", [use.growth(use.handles)], 2.0),
        )
    ]


async def soak(stack: Stack, target: Target) -> list[Figure]:
    """Trade, stop, compare the books."""
    async with Wire(target, stack.credentials, lambda _: None, limit=15.0) as wire:
        began = time.monotonic()
        days, uses = await trade(wire, stack)
        minutes = (time.monotonic() - began) / 60
        log = await exchange_log(wire)
        found = disagreements(log, {"database": database(stack), "API": await api(wire)})
        held = (await wire.http(f"/positions?client_id={OURS}", EXCHANGE)).json()
        metrics = (await wire.http("/api/performance/metrics", API)).json()
    for line in found[:20]:
        say(line)
    sold = sum(row.side == "sell" and row.filled > 0 for row in log.values())
    return [
        Figure("days of trading", "days", [days], DAYS, "higher"),
        Figure("real time", "min", [minutes], 12.0),
        Figure("orders at the exchange", "orders", [len(log)], 100, "higher"),
        Figure("orders the books disagree on", "orders", [len(found)], 0),
        Figure(
            "sales that are no trade of the API", "trades", [abs(sold - metrics["totalTrades"])], 0
        ),
        Figure("positions left after stop", "positions", [len(held)], 0),
        *growths(uses),
    ]


def main() -> int:
    """Run the week; 1 when a figure misses its target."""
    with running_stack(FAST) as stack:
        return report("soak", asyncio.run(soak(stack, stack.target())))


if __name__ == "__main__":
    sys.exit(run_main(main))
