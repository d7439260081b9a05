"""Market data: the prices last seen, and how long ago the exchange's feed last moved."""

import time

from breakout_bot.exchange import Exchange

STALE_SECONDS = 10.0


class Feed:
    """Polls the exchange; its age grows when the exchange is silent or repeats itself."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._sequence = -1
        self._moved = time.monotonic()
        self.prices: dict[str, float] = {}

    @property
    def age_seconds(self) -> float:
        """Say how long ago the feed last moved."""
        return time.monotonic() - self._moved

    @property
    def fresh(self) -> bool:
        """Tell whether the prices are good enough to trade on."""
        return bool(self.prices) and self.age_seconds < STALE_SECONDS

    async def poll(self) -> None:
        """Ask for the prices once."""
        sequence, prices = await self._exchange.prices()
        if sequence != self._sequence:
            self._sequence, self._moved, self.prices = sequence, time.monotonic(), prices
