"""Market data: prices, how long ago the exchange's feed last moved, and what time it is there."""

import time

from breakout_bot.exchange import Exchange

STALE_SECONDS = 10.0
WINDOW_SECONDS = 3.0
CLOCK_LIMIT_SECONDS = 5.0


class Feed:
    """Polls the exchange; its age grows when the exchange is silent or repeats itself."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._sequence = -1
        self._moved = time.monotonic()
        self._seen = (time.time(), time.monotonic())
        self.time_scale = 1.0
        self.prices: dict[str, float] = {}

    @property
    def age_seconds(self) -> float:
        """Say how long ago the feed last moved."""
        return time.monotonic() - self._moved

    @property
    def fresh(self) -> bool:
        """Tell whether the prices are good enough to trade on."""
        return bool(self.prices) and self.age_seconds < STALE_SECONDS

    @property
    def exchange_time(self) -> float:
        """Tell the time by the exchange's clock, as far as it is known."""
        at, seen = self._seen
        return at + (time.monotonic() - seen) * self.time_scale

    @property
    def now(self) -> float:
        """Tell the time that trades are dated by: our clock, unless the market runs faster."""
        return time.time() if self.time_scale == 1 else self.exchange_time

    @property
    def valid_until(self) -> float:
        """Until when the exchange may take an order that is sent now, by its own clock."""
        return self.exchange_time + WINDOW_SECONDS * self.time_scale

    @property
    def clock_offset_seconds(self) -> float:
        """Say how far the exchange's clock is from ours; 0 while the market runs faster."""
        return self.exchange_time - time.time() if self.time_scale == 1 else 0.0

    async def poll(self) -> None:
        """Ask for the prices once."""
        seen = await self._exchange.prices()
        self.time_scale, self._seen = seen.time_scale, (seen.time, time.monotonic())
        if seen.sequence != self._sequence:
            self._sequence, self._moved = seen.sequence, time.monotonic()
            self.prices = seen.prices
