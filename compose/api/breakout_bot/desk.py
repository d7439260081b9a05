"""The trading desk: opens, watches and closes positions. One thing at a time, under one lock."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from breakout_bot import strategy, trades
from breakout_bot.bus import Bus
from breakout_bot.clock import midnight
from breakout_bot.database import Database
from breakout_bot.exchange import Exchange, ExchangeError
from breakout_bot.feed import Feed
from breakout_bot.lease import Lease
from breakout_bot.presets import PresetBody
from breakout_bot.scanner import Scanner

LIQUIDATION_SECONDS = 8.0


@dataclass(slots=True)
class Liquidation:
    """What an attempt to be left with nothing came to."""

    cancelled: int = 0
    closed: int = 0
    failures: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """Say it in words."""
        done = f"{self.cancelled} orders cancelled, {self.closed} positions closed"
        if not self.failures:
            return done
        return f"{done}; could not: {'; '.join(self.failures)}; trying again every second"


class Desk:
    """Everything that places, cancels or closes at the exchange."""

    def __init__(
        self,
        exchange: Exchange,
        database: Database,
        feed: Feed,
        lease: Lease,
        bus: Bus,
        scan_seconds: float,
    ) -> None:
        self.exchange = exchange
        self.database = database
        self.scanner = Scanner(exchange, database)
        self.orders: Counter[str] = Counter()
        self.positions: list[trades.Position] = []
        self.result = trades.Result()
        self.signals = 0
        self._feed = feed
        self._lease = lease
        self._bus = bus
        self._lock = asyncio.Lock()
        self._scan_seconds = scan_seconds
        self._next_scan = 0.0

    async def refresh(self) -> None:
        """Read positions and results from the database."""
        start = midnight(time.time())
        self.positions, self.result, self.signals = await self.database.run(
            lambda db: (
                trades.open_positions(db),
                trades.result(db, start),
                trades.count_signals(db),
            )
        )

    async def exits(self) -> None:
        """Close the positions that have reached their stop or target."""
        async with self._lock:
            for position in list(self.positions):
                price = self._feed.prices.get(position.symbol)
                if price is None:
                    continue
                why = strategy.exit_reason(price, position.stop_price, position.target_price)
                if why:
                    await self._close(position, why)

    def look_now(self) -> None:
        """Scan in the next cycle: a preset just chosen is not left waiting for the last one's."""
        self._next_scan = 0.0

    async def entries(self, preset: PresetBody, allowed: Callable[[], Awaitable[bool]]) -> None:
        """Buy breakouts while there are slots; ask again before each order whether it may."""
        if time.monotonic() < self._next_scan or len(self.positions) >= preset.max_positions:
            return
        self._next_scan = time.monotonic() + self._scan_seconds
        readings = await self.scanner.readings(list(self._feed.prices), preset)
        for reading in readings:
            if not reading.breakout or await self._recently(reading.symbol, preset):
                continue
            await self._signal(reading)
            async with self._lock:
                if len(self.positions) >= preset.max_positions or not await allowed():
                    return
                await self._buy(reading, preset)

    async def _recently(self, symbol: str, preset: PresetBody) -> bool:
        if any(position.symbol == symbol for position in self.positions):
            return True
        since = time.time() - preset.cooldown_seconds
        closed = await self.database.run(trades.closed_trades)
        return any(trade.symbol == symbol and trade.closed_at > since for trade in closed)

    async def _signal(self, reading: strategy.Reading) -> None:
        at, symbol, price, level = time.time(), reading.symbol, reading.price, reading.level
        await self.database.run(lambda db: trades.add_signal(db, at, symbol, price, level))
        self._bus.say("SIGNAL", {"symbol": symbol, "price": price, "level": level})

    async def _buy(self, reading: strategy.Reading, preset: PresetBody) -> None:
        identity = uuid.uuid4().hex
        size = strategy.quantity(reading.price, preset)
        order = await self.exchange.buy(reading.symbol, size, identity, self._lease.token)
        self.orders["entry"] += 1
        price = float(order["fill_price"])
        stop, target = strategy.stop_and_target(price, preset)
        position = trades.Position(identity, reading.symbol, size, price, stop, target, time.time())
        await self.database.run(lambda db: trades.add_position(db, position))
        await self.refresh()
        self._bus.say("ORDER_UPDATE", order)
        self._bus.say("POSITION_UPDATE", {**asdict(position), "status": "open"})

    async def _close(self, position: trades.Position, reason: str) -> None:
        price = self._feed.prices.get(position.symbol, position.entry_price)
        try:
            identity = uuid.uuid4().hex
            order = await self.exchange.sell(
                position.symbol, position.quantity, identity, self._lease.token
            )
            price = float(order["fill_price"])
            self.orders["exit"] += 1
        except ExchangeError as error:
            if "no position" not in str(error):
                raise
            reason = f"{reason}: the exchange no longer knew the position"
        await self._settle(position, price, reason)

    async def _settle(self, position: trades.Position, price: float, reason: str) -> None:
        at = time.time()
        await self.database.run(lambda db: trades.close_position(db, position, price, at, reason))
        await self.refresh()
        closed = {**asdict(position), "status": "closed", "exitPrice": price, "reason": reason}
        self._bus.say("POSITION_UPDATE", closed)

    async def cancel(self, order_id: str) -> dict[str, Any]:
        """Cancel one of this bot's orders."""
        order = await self.exchange.cancel(order_id)
        self.orders["cancel"] += 1
        self._bus.say("ORDER_UPDATE", order)
        return order

    async def liquidate(self, reason: str) -> Liquidation:
        """Shut out every engine's entries, cancel all orders and close all positions."""
        done = Liquidation()
        try:
            async with asyncio.timeout(LIQUIDATION_SECONDS), self._lock:
                await self._flatten(done, reason)
        except ExchangeError as error:
            self._unfinished(done, str(error))
        except TimeoutError:
            self._unfinished(done, f"no end within {LIQUIDATION_SECONDS:g} s")
        return done

    def _unfinished(self, done: Liquidation, why: str) -> None:
        done.failures.append(f"be sure that no order is open ({why})")
        done.failures += [f"close {position.symbol} ({why})" for position in self.positions]

    async def _flatten(self, done: Liquidation, reason: str) -> None:
        answer = await self.exchange.flatten()
        prices = {order["symbol"]: order["fill_price"] for order in answer["orders"]}
        left = {position["symbol"] for position in answer["positions"]}
        done.cancelled, done.closed = len(answer["cancelled"]), len(set(prices) - left)
        self.orders["cancel"] += done.cancelled
        self.orders["exit"] += len(answer["orders"])
        done.failures += [f"close {symbol} (a rest is left)" for symbol in sorted(left)]
        for position in [one for one in self.positions if one.symbol not in left]:
            # What the exchange no longer holds is not held here either.
            price = prices.get(position.symbol) or self._feed.prices.get(position.symbol)
            await self._settle(position, float(price or position.entry_price), reason)
