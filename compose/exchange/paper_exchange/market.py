"""The seeded price feed: the same seed gives the same prices, one step a tick."""

import random
from collections import deque
from dataclasses import dataclass

HISTORY = 300
STEP = 0.0006
PULL = 0.002


@dataclass(slots=True)
class Candle:
    """Open, high, low and close of one span of ticks."""

    time: float
    open: float
    high: float
    low: float
    close: float
    volume: float

    def take(self, price: float, volume: float) -> None:
        """Add one tick to the candle."""
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume = round(self.volume + volume, 4)

    def scale(self, factor: float) -> None:
        """Multiply every price."""
        for name in ("open", "high", "low", "close"):
            setattr(self, name, round(getattr(self, name) * factor, 6))


class Symbol:
    """One traded symbol: its price, its candles and its own source of chance."""

    def __init__(self, name: str, price: float, seed: str) -> None:
        self.name = name
        self.price = price
        self.candles: deque[Candle] = deque(maxlen=HISTORY)
        self._chance = random.Random(f"{seed}:{name}")  # noqa: S311 - prices must repeat
        self._anchor = price

    def step(self, at: float, opens_candle: bool, volatility: float) -> None:
        """Move the price once, drawn back softly to where it began."""
        pull = (self._anchor - self.price) / self._anchor * PULL
        change = (pull + self._chance.gauss(0, STEP)) * volatility
        self.price = round(self.price * (1 + change), 6)
        volume = abs(self._chance.gauss(0, 5))
        if opens_candle or not self.candles:
            self.candles.append(Candle(at, self.price, self.price, self.price, self.price, 0.0))
        self.candles[-1].take(self.price, volume)

    def move(self, percent: float) -> None:
        """Jump by some percent, and stay about there."""
        self.price = round(self.price * (1 + percent / 100), 6)
        self._anchor *= 1 + percent / 100
        if self.candles:
            self.candles[-1].take(self.price, 0.0)

    def end_at(self, price: float) -> None:
        """Scale the history so that it ends at a price."""
        factor = price / self.price
        for candle in self.candles:
            candle.scale(factor)
        self.price = price


class Market:
    """All symbols and the number of steps taken so far."""

    def __init__(
        self, symbols: dict[str, float], seed: str, tick_seconds: float, candle_ticks: int
    ) -> None:
        self.symbols = {name: Symbol(name, price, seed) for name, price in symbols.items()}
        self.sequence = 0
        self.time = 0.0
        self.tick_seconds = tick_seconds
        self.candle_ticks = candle_ticks

    def prefill(
        self, now: float, last: dict[str, float] | None = None, candles: int = HISTORY
    ) -> None:
        """Make the history that a freshly started exchange already has, up to its last prices."""
        ticks = candles * self.candle_ticks
        for tick in range(ticks):
            self.step(now - (ticks - tick) * self.tick_seconds)
        for name, price in (last or {}).items():
            if name in self.symbols:
                self.symbols[name].end_at(price)

    def step(self, at: float, volatility: float = 1.0) -> None:
        """Advance every symbol by one tick."""
        opens = self.sequence % self.candle_ticks == 0
        for symbol in self.symbols.values():
            symbol.step(at, opens, volatility)
        self.sequence += 1
        self.time = at

    def price(self, symbol: str) -> float:
        """Give the price now; KeyError for an unknown symbol."""
        return self.symbols[symbol].price

    def prices(self) -> dict[str, float]:
        """Give every symbol's price."""
        return {name: symbol.price for name, symbol in self.symbols.items()}

    def candles(self, symbol: str, limit: int) -> list[dict[str, float]]:
        """Give the newest candles, oldest first; KeyError for an unknown symbol."""
        newest = list(self.symbols[symbol].candles)[-limit:]
        return [{name: getattr(candle, name) for name in Candle.__slots__} for candle in newest]
