"""Health: touches every dependency for real, each within its own time limit, all at once."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from breakout_bot.bus import Bus
from breakout_bot.clock import iso
from breakout_bot.database import Database, DatabaseError
from breakout_bot.engine import STALLED_SECONDS, Engine
from breakout_bot.exchange import ExchangeError
from breakout_bot.feed import CLOCK_LIMIT_SECONDS, STALE_SECONDS
from breakout_bot.resources import Resources
from breakout_bot.schema import SCHEMA_VERSION

LIMIT_SECONDS = 1.5
"""For each dependency: on a machine at its limit a healthy one takes a good part of a second."""
KEPT_SECONDS = 0.5


class CheckFailed(Exception):
    """A dependency does not work; the sentence says how."""


class Health:
    """One set of checks at a time; many askers within a moment share its answer."""

    def __init__(
        self,
        instance: str,
        redis: Redis,
        database: Database,
        engine: Engine,
        bus: Bus,
        resources: Resources,
    ) -> None:
        self._instance = instance
        self._redis = redis
        self._database = database
        self._engine = engine
        self._bus = bus
        self._resources = resources
        self._began = time.monotonic()
        self._started_at = iso()
        self._lock = asyncio.Lock()
        self._kept: tuple[float, dict[str, str | None]] = (float("-inf"), {})

    async def report(self) -> dict[str, Any]:
        """Give the whole health report."""
        found = await self._checked()
        fatal = [issue for name in ("database", "redis") if (issue := found[name])]
        mild = [issue for name in ("exchange", "websocket") if (issue := found[name])]
        engine = self._engine
        if engine.heartbeat_age_seconds > STALLED_SECONDS:
            fatal.append(f"engine: no cycle for {engine.heartbeat_age_seconds:.0f} s")
        if engine.feed.age_seconds > STALE_SECONDS:
            mild.append(f"market data: the feed has not moved for {engine.feed.age_seconds:.0f} s")
        if abs(engine.feed.clock_offset_seconds) > CLOCK_LIMIT_SECONDS:
            offset = engine.feed.clock_offset_seconds
            mild.append(f"clock: the exchange's is {offset:+.0f} s from ours")
        resources = asdict(self._resources.sample)
        mild += resources["issues"]
        return {
            "status": "unhealthy" if fatal else "degraded" if mild else "healthy",
            "engine_initialized": engine.control.version > 0,
            "engine_running": engine.state.value == "RUNNING",
            "engine_state": engine.state.value,
            "resource_health": {
                "status": "degraded" if resources["issues"] else "healthy",
                **resources,
            },
            "api_connectivity": {
                name: "disconnected" if issue else "connected" for name, issue in found.items()
            },
            "issues": fatal + mild,
            "timestamp": iso(),
            "uptime_seconds": round(time.monotonic() - self._began, 3),
            "version": engine.settings.version,
            "revision": engine.settings.revision,
            "started_at": self._started_at,
            "schema_version": SCHEMA_VERSION,
            "heartbeat_age_seconds": round(engine.heartbeat_age_seconds, 3),
            "market_data_age_seconds": round(engine.feed.age_seconds, 3),
        }

    async def _checked(self) -> dict[str, str | None]:
        async with self._lock:
            at, found = self._kept
            if time.monotonic() - at > KEPT_SECONDS:
                found = await self._check()
                self._kept = (time.monotonic(), found)
            return found

    async def _check(self) -> dict[str, str | None]:
        database, redis, exchange = await asyncio.gather(
            self._limited("database", self._check_database()),
            self._limited("redis", self._check_redis()),
            self._limited("exchange", self._check_exchange()),
        )
        websocket = None if self._bus.connected else "websocket: no event came back from redis"
        return {"database": database, "redis": redis, "exchange": exchange, "websocket": websocket}

    async def _limited(self, name: str, check: Coroutine[Any, Any, None]) -> str | None:
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await check
        except TimeoutError:
            return f"{name}: no answer within {LIMIT_SECONDS:g} s"
        except (CheckFailed, DatabaseError, ExchangeError) as error:
            return f"{name}: {error}"
        return None

    async def _check_database(self) -> None:
        await self._database.probe(self._instance, time.time(), limit=LIMIT_SECONDS)

    async def _check_redis(self) -> None:
        key, value = f"breakout-bot:probe:{self._instance}", repr(time.time())
        try:
            await self._redis.set(key, value, ex=30)
            seen = await self._redis.get(key)
        except (RedisError, OSError) as error:
            # The text may hold an address, never the password; its kind says enough.
            raise CheckFailed(f"refuses work ({type(error).__name__})") from None
        if seen != value:
            raise CheckFailed("does not give back what was written")

    async def _check_exchange(self) -> None:
        body = await self._engine.exchange.health()
        if body.get("status") != "healthy":
            raise CheckFailed(f"says {body.get('status')!r} of itself")
