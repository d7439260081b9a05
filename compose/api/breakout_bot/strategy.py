"""When to buy and where to leave: a plain breakout above the highest high of some candles."""

from collections.abc import Sequence
from dataclasses import dataclass

from breakout_bot.presets import PresetBody

Candles = Sequence[dict[str, float]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a scan saw of one symbol."""

    symbol: str
    price: float
    level: float
    breakout: bool

    @property
    def distance_percent(self) -> float:
        """Say how far below its level the price is."""
        return (self.level - self.price) / self.price * 100


def read(symbol: str, candles: Candles, lookback: int) -> Reading | None:
    """Compare the price with the closed candles; None when there are too few of them."""
    closed = candles[-lookback - 1 : -1]
    if len(closed) < lookback:
        return None
    price = candles[-1]["close"]
    level = max(candle["high"] for candle in closed)
    return Reading(symbol, price, level, price > level)


def stop_and_target(price: float, preset: PresetBody) -> tuple[float, float]:
    """Give the prices at which a position bought at this price is left."""
    risk = price * preset.stop_percent / 100
    return price - risk, price + risk * preset.target_r


def quantity(price: float, preset: PresetBody) -> float:
    """Give the size at which a stopped position loses the preset's risk."""
    return round(preset.risk_usd / (price * preset.stop_percent / 100), 8)


def exit_reason(price: float, stop: float, target: float) -> str | None:
    """Say why a position should be left at this price, if at all."""
    if price <= stop:
        return "stop"
    return "target" if price >= target else None


def levels(candles: Candles, lookback: int) -> list[dict[str, float | str]]:
    """Give the resistance and support that the closed candles make."""
    closed = candles[-lookback - 1 : -1]
    if not closed:
        return []
    return [
        {"kind": "resistance", "price": max(candle["high"] for candle in closed)},
        {"kind": "support", "price": min(candle["low"] for candle in closed)},
    ]
