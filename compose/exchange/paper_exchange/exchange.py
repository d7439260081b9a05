"""The exchange: one market, one book, one journal, and the task that moves them."""

import asyncio
import contextlib
import sqlite3
import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from paper_exchange.book import Book
from paper_exchange.clock import Clock
from paper_exchange.drills import NewDrills, Switches
from paper_exchange.journal import Journal
from paper_exchange.market import Market
from paper_exchange.orders import Order, OrderType, Rejected, Side
from paper_exchange.settings import SYMBOLS, Settings, SettingsError

FEED_STALE_SECONDS = 5.0
LEAST_SLEEP_SECONDS = 0.01
TICKS_AT_ONCE = 200
SAVE_SECONDS = 5.0


class NewOrder(BaseModel):
    """An order as a client sends it."""

    model_config = ConfigDict(extra="forbid")

    client_id: str = Field(min_length=1, max_length=64)
    client_order_id: str = Field(min_length=1, max_length=64)
    symbol: str = Field(max_length=20)
    side: Side
    type: OrderType = "market"
    quantity: float = Field(gt=0, lt=1e12, allow_inf_nan=False)
    price: float | None = Field(default=None, gt=0, lt=1e12, allow_inf_nan=False)
    reduce_only: bool = False
    fencing_token: int = Field(ge=0, lt=2**53)
    valid_until: float | None = Field(default=None, allow_inf_nan=False)


def _open_journal(settings: Settings) -> Journal:
    if settings.data_dir is None:
        return Journal()
    try:
        return Journal(settings.data_dir / "exchange.sqlite3")
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(
            f"DATA_DIR {settings.data_dir} cannot hold the order log ({error}): expected a folder "
            "that this user may write to; set DATA_DIR or its owner"
        ) from None


class Exchange:
    """Everything that one process of the exchange is."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock(settings.time_scale)
        self.started_at = self.clock.now()
        self.switches = Switches()
        self.journal = _open_journal(settings)
        self.book = Book(self.journal, lambda: self.switches.now.partial_fill)
        self.market = Market(
            dict(SYMBOLS), settings.seed, settings.tick_seconds, settings.candle_ticks
        )
        self.market.prefill(self.started_at, self.journal.prices())
        self._moved = self.clock.elapsed

    async def run(self) -> None:
        """Advance the market for ever, without drifting behind the clock."""
        pause = max(LEAST_SLEEP_SECONDS, self.settings.tick_seconds / self.settings.time_scale)
        ticks, saved = 0, self.clock.elapsed
        while True:
            due = int(self.clock.elapsed / self.settings.tick_seconds) - ticks
            for _ in range(min(due, TICKS_AT_ONCE)):
                ticks += 1
                self._tick()
            if self.clock.elapsed - saved > SAVE_SECONDS * self.settings.time_scale:
                saved = self.clock.elapsed
                self.journal.save_prices(self.market.prices())
            await asyncio.sleep(pause)

    def _tick(self) -> None:
        drills = self.switches.now
        if drills.freeze_feed:
            return
        now = self.clock.now()
        self.market.step(now, drills.volatility)
        self.book.match(self.market.prices(), now)
        self._moved = self.clock.elapsed

    def close(self) -> None:
        """Remember the prices and let go of the file."""
        with contextlib.suppress(sqlite3.Error):
            self.journal.save_prices(self.market.prices())
        self.journal.close()

    def health(self) -> dict[str, Any]:
        """Say who this is and whether the feed still moves."""
        age = self.clock.elapsed - self._moved
        moving = age < max(FEED_STALE_SECONDS * self.clock.scale, 5 * self.settings.tick_seconds)
        return {
            "status": "healthy" if moving else "unhealthy",
            "service": "exchange",
            "version": self.settings.version,
            "revision": self.settings.revision,
            "time": self.clock.now(),
            "started_at": self.started_at,
            "sequence": self.market.sequence,
            "feed_age_seconds": round(age, 3),
        }

    def drill(self, new: NewDrills) -> None:
        """Set the drills and carry out the price moves. KeyError for an unknown symbol."""
        for unknown in {*new.moves, *new.halted} - self.market.symbols.keys():
            raise KeyError(unknown)
        moved = [(self.market.symbols[name], percent) for name, percent in new.moves.items()]
        self.switches.set(new)
        self.clock.offset_seconds = new.clock_offset_seconds
        for symbol, percent in moved:
            symbol.move(percent)

    def place(self, new: NewOrder) -> Order:
        """Take a new order, or give the one already placed under the same client order id."""
        known = self.book.known(new.client_id, new.client_order_id)
        if known is not None:
            return known
        at, what = self.clock.now(), new.model_dump(exclude={"valid_until"})
        self._expire(new.valid_until, at, what)
        if self.switches.now.reject:
            self.book.reject(Rejected("rejected", "the order was rejected (drill)"), at, **what)
        if new.symbol in self.switches.now.halted:
            why = Rejected("rejected", f"{new.symbol} is halted (drill)")
            self.book.reject(why, at, **what)
        if new.symbol not in self.market.symbols:
            why = Rejected("unknown_symbol", f"no symbol {new.symbol!r} here; see /prices")
            self.book.reject(why, at, **what)
        if new.type != "market" and new.price is None:
            why = Rejected("no_price", f"a {new.type} order needs a price")
            self.book.reject(why, at, **what)
        order = Order(id=uuid.uuid4().hex, status="open", created_at=at, **what)
        return self.book.place(order, self.market.price(new.symbol))

    def _expire(self, valid_until: float | None, at: float, what: dict[str, Any]) -> None:
        """Refuse what comes too late: its sender has given it up for lost."""
        if valid_until is not None and at > valid_until:
            why = Rejected("expired", f"it came {at - valid_until:.1f} s after it had to be here")
            self.book.reject(why, at, **what)

    def flatten(self, client_id: str, valid_until: float | None) -> dict[str, Any]:
        """Leave a client with no order and no position, as far as the drills let it."""
        self._expire(valid_until, self.clock.now(), {"client_id": client_id})
        if self.switches.now.reject:
            why = Rejected("rejected", "the order was rejected (drill)")
            self.book.reject(why, self.clock.now(), client_id=client_id)
        halted, prices = self.switches.now.halted, self.market.prices()
        traded = {name: price for name, price in prices.items() if name not in halted}
        done = self.book.flatten(client_id, traded, self.clock.now())
        return {**done, "fencing_token": self.book.tokens[client_id], "time": self.clock.now()}
