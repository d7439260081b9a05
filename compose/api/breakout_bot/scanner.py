"""Looks at every symbol for a breakout."""

import asyncio
import json
import sqlite3
import time
from typing import Any

from breakout_bot import strategy
from breakout_bot.clock import iso
from breakout_bot.database import Database, transaction
from breakout_bot.exchange import Exchange
from breakout_bot.presets import PresetBody

NOTE = "last-scan"


class Scanner:
    """One scan at a time; the last one is kept in the database."""

    def __init__(self, exchange: Exchange, database: Database) -> None:
        self._exchange = exchange
        self._database = database
        self._lock = asyncio.Lock()
        self.count = 0
        self.last_at: float | None = None

    @property
    def running(self) -> bool:
        """Tell whether a scan is under way."""
        return self._lock.locked()

    async def readings(self, symbols: list[str], preset: PresetBody) -> list[strategy.Reading]:
        """Read every symbol, nearest to a breakout first."""
        async with self._lock:
            candles = await self._exchange.all_candles(preset.lookback + 1)
        self.count += 1
        self.last_at = time.time()
        seen = [(symbol, candles[symbol]) for symbol in symbols if symbol in candles]
        readings = [strategy.read(symbol, every, preset.lookback) for symbol, every in seen]
        return sorted((one for one in readings if one), key=lambda one: one.distance_percent)

    async def scan(self, symbols: list[str], name: str, preset: PresetBody) -> dict[str, Any]:
        """Scan, and remember what was seen."""
        results = [
            {
                "symbol": one.symbol,
                "price": one.price,
                "level": one.level,
                "distancePercent": round(one.distance_percent, 4),
                "breakout": one.breakout,
            }
            for one in await self.readings(symbols, preset)
        ]
        report = {"timestamp": iso(), "preset": name, "results": results}

        def keep(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.execute("REPLACE INTO notes VALUES (?, ?)", (NOTE, json.dumps(report)))

        await self._database.run(keep)
        return report

    async def last(self) -> dict[str, Any]:
        """Give the last scan kept, or an empty one."""

        def find(connection: sqlite3.Connection) -> str | None:
            row = connection.execute("SELECT body FROM notes WHERE name = ?", (NOTE,)).fetchone()
            return row[0] if row else None

        body = await self._database.run(find)
        return json.loads(body) if body else {"timestamp": None, "preset": None, "results": []}
