"""The trading desk: opens, watches and closes positions.

What it holds at the exchange and what the database says are brought together again after anything
that may have driven them apart: a start, a lost answer, an emergency.
"""

import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from breakout_bot import ledger, strategy, trades
from breakout_bot.bus import Bus
from breakout_bot.clock import midnight
from breakout_bot.database import Database, DatabaseError
from breakout_bot.exchange import Exchange, ExchangeError
from breakout_bot.feed import Feed
from breakout_bot.lease import Lease
from breakout_bot.ledger import Intent
from breakout_bot.presets import PresetBody
from breakout_bot.scanner import Scanner

RECALLED = 200


class FencedOff(Exception):
    """The exchange took no order because a newer fencing token was seen."""


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


@contextlib.contextmanager
def _noted(refusals: list[ExchangeError]) -> Iterator[None]:
    """Keep a refusal for later: a market that takes no order keeps no other from its stop."""
    try:
        yield
    except ExchangeError as error:
        if not error.refused:
            raise
        refusals.append(error)


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
        self._scan_seconds = scan_seconds
        self._next_scan = 0.0
        self._doubtful = True
        self._summed: tuple[int, float] = (-1, 0.0)

    async def refresh(self) -> None:
        """Read positions and results from the database; add up only what has changed."""
        start, summed, before = midnight(self._feed.now), self._summed, self.result

        def read(db: Any) -> tuple[list[trades.Position], tuple[int, float], trades.Result, int]:
            key = (trades.newest(db), start)
            result = before if key == summed else trades.result(db, start)
            return trades.open_positions(db), key, result, trades.count_signals(db)

        found = await self.database.run(read)
        self.positions, self._summed, self.result, self.signals = found

    async def exits(self) -> None:
        """Close the positions that have reached their stop or target; raises the first refusal."""
        refusals: list[ExchangeError] = []
        for position in list(self.positions):
            price = self._feed.prices.get(position.symbol)
            if price is None:
                continue
            why = strategy.exit_reason(price, position.stop_price, position.target_price)
            if why:
                with _noted(refusals):
                    await self._sell(position, why)
        if refusals:
            raise refusals[0]

    def look_now(self) -> None:
        """Scan in the next cycle: a preset just chosen is not left waiting for the last one's."""
        self._next_scan = 0.0

    async def entries(self, preset: PresetBody, allowed: Callable[[], Awaitable[bool]]) -> None:
        """Buy breakouts while there are slots; ask again before each order whether it may.

        Raises the first refusal.
        """
        if time.monotonic() < self._next_scan or len(self.positions) >= preset.max_positions:
            return
        self._next_scan = time.monotonic() + self._scan_seconds / self._feed.time_scale
        refusals: list[ExchangeError] = []
        readings = await self.scanner.readings(list(self._feed.prices), preset)
        for reading in readings:
            if not reading.breakout or await self._recently(reading.symbol, preset):
                continue
            await self._signal(reading)
            if len(self.positions) >= preset.max_positions or not await allowed():
                break
            with _noted(refusals):
                await self._buy(reading, preset)
        if refusals:
            raise refusals[0]

    async def _recently(self, symbol: str, preset: PresetBody) -> bool:
        if any(position.symbol == symbol for position in self.positions):
            return True
        last = await self.database.run(lambda db: trades.last_of(db, symbol))
        return last is not None and last.closed_at > self._feed.now - preset.cooldown_seconds

    async def _signal(self, reading: strategy.Reading) -> None:
        at, symbol, price, level = self._feed.now, reading.symbol, reading.price, reading.level
        await self.database.run(lambda db: trades.add_signal(db, at, symbol, price, level))
        self._bus.say("SIGNAL", {"symbol": symbol, "price": price, "level": level})

    async def _buy(self, reading: strategy.Reading, preset: PresetBody) -> None:
        identity = uuid.uuid4().hex
        intent = Intent(
            client_order_id=identity,
            position_id=identity,
            symbol=reading.symbol,
            side="buy",
            kind="entry",
            quantity=strategy.quantity(reading.price, preset),
            sent_at=self._feed.now,
            valid_until=self._feed.valid_until,
            reason="breakout",
            stop_percent=preset.stop_percent,
            target_r=preset.target_r,
        )
        await self._send(intent)

    async def _sell(self, position: trades.Position, reason: str) -> None:
        intent = Intent(
            client_order_id=uuid.uuid4().hex,
            position_id=position.id,
            symbol=position.symbol,
            side="sell",
            kind="exit",
            quantity=position.quantity,
            sent_at=self._feed.now,
            valid_until=self._feed.valid_until,
            reason=reason,
        )
        await self._send(intent)

    async def _send(self, intent: Intent) -> None:
        await self.database.run(lambda db: ledger.send(db, intent))
        try:
            order = await self.exchange.place(intent, self._lease.token)
            await self._settle(intent, order)
        except ExchangeError as error:
            if not error.refused or error.code == "nothing_to_reduce":  # a refusal ends no doubt
                self._doubtful = True
            if not error.refused:
                raise
            await self._refused(intent, error)
        except DatabaseError:
            self._doubtful = True
            raise

    async def _refused(self, intent: Intent, error: ExchangeError) -> None:
        why, at = str(error), self._feed.now
        self.orders["refused"] += 1
        await self.database.run(lambda db: ledger.refuse(db, intent.client_order_id, why, at))
        if error.code == "fenced":
            raise FencedOff(why) from None
        raise error

    async def _settle(self, intent: Intent, order: ledger.Order) -> None:
        at = self._feed.now
        if not await self.database.run(lambda db: ledger.settle(db, intent, order, at)):
            return
        self.orders[intent.kind] += 1
        self._bus.say("ORDER_UPDATE", order)
        await self._announce()

    async def _announce(self) -> None:
        """Read what is open now, and tell what was opened, changed or closed."""
        before = {position.id: position for position in self.positions}
        await self.refresh()
        after = {position.id: position for position in self.positions}
        for identity in before.keys() | after.keys():
            if identity not in after:
                await self._announce_end(before[identity])
            elif before.get(identity) != after[identity]:
                self._bus.say("POSITION_UPDATE", {**asdict(after[identity]), "status": "open"})

    async def _announce_end(self, position: trades.Position) -> None:
        last = await self.database.run(lambda db: trades.last_of(db, position.symbol))
        ended = {"exitPrice": last.exit_price, "reason": last.reason} if last else {}
        self._bus.say("POSITION_UPDATE", {**asdict(position), "status": "closed", **ended})

    async def cancel(self, order_id: str) -> dict[str, Any]:
        """Cancel one of this bot's orders."""
        order = await self.exchange.cancel(order_id)
        self.orders["cancel"] += 1
        self._bus.say("ORDER_UPDATE", order)
        return order

    async def reconcile(self, preset: PresetBody) -> None:
        """After a doubt, find out what became of every order and what is held."""
        if not self._doubtful:
            return
        self._doubtful = False
        try:
            self._doubtful = not await self._reconciled(preset)
        except (ExchangeError, DatabaseError):
            self._doubtful = True
            raise

    async def _reconciled(self, preset: PresetBody) -> bool:
        certain = True
        for intent in await self.database.run(ledger.pending):
            certain = await self._trace(intent) and certain
        await self._recall()
        held = {one["symbol"]: one for one in await self.exchange.positions()}
        if self._doubtful:  # a liquidation came in between: what was read is out of date
            return False
        for position in [one for one in self.positions if one.symbol not in held]:
            await self._dissolve(position)
        for symbol in held.keys() - {position.symbol for position in self.positions}:
            await self._adopt(held[symbol], preset)
        return certain

    async def _trace(self, intent: Intent) -> bool:
        order = await self.exchange.find(intent.client_order_id)
        if order is not None:
            await self._settle(intent, order)
        elif self._feed.exchange_time <= intent.valid_until + self._feed.time_scale:
            return False
        else:
            why, at = "it never reached the exchange", self._feed.now
            await self.database.run(lambda db: ledger.refuse(db, intent.client_order_id, why, at))
        return True

    async def _recall(self) -> None:
        """Note the closing orders of a liquidation whose answer was lost."""
        recent, at = await self.exchange.orders(limit=RECALLED), self._feed.now
        closing = [one for one in recent if one["client_order_id"].startswith("flatten-")]
        await self.database.run(lambda db: ledger.flattened(db, closing, "flattened", at))
        await self._announce()

    async def _dissolve(self, position: trades.Position) -> None:
        price = self._feed.prices.get(position.symbol, position.entry_price)
        why, at = "the exchange did not hold it", self._feed.now
        await self.database.run(lambda db: ledger.dissolve(db, position, price, why, at))
        await self._announce()

    async def _adopt(self, held: dict[str, Any], preset: PresetBody) -> None:
        """Watch over a position that only the exchange knew, as after a restored backup."""
        price, quantity = float(held["entry_price"]), float(held["quantity"])
        if quantity <= 0:
            raise ExchangeError(f"the exchange holds a short position in {held['symbol']}")
        stop, target = strategy.stop_and_target(price, preset)
        position = trades.Position(
            id=f"adopted-{uuid.uuid4().hex}",
            symbol=held["symbol"],
            quantity=quantity,
            entry_price=price,
            stop_price=stop,
            target_price=target,
            opened_at=self._feed.now,
            opened_quantity=quantity,
        )
        await self.database.run(lambda db: trades.adopt_position(db, position))
        await self._announce()

    async def liquidate(self, reason: str) -> Liquidation:
        """Shut out every engine's entries, cancel all orders and close all positions.

        One call does it all at the exchange, so that nothing slips in between and a slow exchange
        is waited for only once.
        """
        self._doubtful = True
        try:
            answer = await self.exchange.flatten(self._feed.valid_until)
        except ExchangeError as error:
            held = [f"close {symbol} ({error})" for symbol in await self._may_be_held()]
            return Liquidation(failures=[f"be sure that no order is open ({error})", *held])
        return await self._flattened(answer, reason)

    async def _may_be_held(self) -> list[str]:
        """Symbols of open positions, and of orders that were sent and have no answer."""
        found = {position.symbol for position in self.positions}
        with contextlib.suppress(DatabaseError):  # what is known without it is named in any case
            found |= {one.symbol for one in await self.database.run(trades.open_positions)}
            found |= {one.symbol for one in await self.database.run(ledger.pending)}
        return sorted(found)

    async def _flattened(self, answer: dict[str, Any], reason: str) -> Liquidation:
        at, orders = self._feed.now, answer["orders"]
        left = [position["symbol"] for position in answer["positions"]]
        self.orders["cancel"] += len(answer["cancelled"])
        self.orders["flatten"] += len(orders)
        await self.database.run(lambda db: ledger.flattened(db, orders, reason, at))
        await self._announce()
        for order in [*answer["cancelled"], *orders]:
            self._bus.say("ORDER_UPDATE", order)
        return Liquidation(
            cancelled=len(answer["cancelled"]),
            closed=len(orders) - len(left),
            failures=[f"close {symbol} (nobody took the rest)" for symbol in left],
        )
