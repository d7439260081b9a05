"""Everything one process is made of, put together once."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from breakout_bot.bus import Bus
from breakout_bot.clock import iso
from breakout_bot.data import FILE
from breakout_bot.database import Database
from breakout_bot.engine import Engine
from breakout_bot.exchange import Exchange
from breakout_bot.health import Health
from breakout_bot.hub import Hub
from breakout_bot.lease import Lease
from breakout_bot.limit import RateLimit
from breakout_bot.logs import Memory
from breakout_bot.metrics import Metrics
from breakout_bot.resources import Resources
from breakout_bot.settings import Settings

CONNECT_SECONDS = 0.7
CLOSE_SECONDS = 3.0
log = logging.getLogger(__name__)


class Services:
    """The parts, and the tasks that keep them going."""

    def __init__(self, settings: Settings, memory: Memory | None = None) -> None:
        self.settings = settings
        self.memory = memory or Memory()
        self.instance = uuid.uuid4().hex[:12]
        self.database = Database(settings.data_dir / FILE)
        self.redis = Redis(
            host=settings.redis_host,
            port=settings.redis_port,
            password=settings.redis_password,
            decode_responses=True,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 1),
        )
        self.exchange = Exchange(settings.exchange_url)
        self.hub = Hub(self._greeting)
        self.bus = Bus(self.redis, self.instance, self.hub.deliver)
        lease = Lease(self.redis, self.instance, settings.lease_ttl_seconds)
        self.engine = Engine(settings, self.database, self.exchange, lease, self.bus)
        self.resources = Resources(settings.data_dir)
        self.health = Health(
            self.instance, self.redis, self.database, self.engine, self.bus, self.resources
        )
        self.limit = RateLimit(settings.control_rate)
        self.metrics = Metrics(self.engine, self.hub, self.resources, self.limit)
        self._tasks: list[asyncio.Task[None]] = []

    def _greeting(self) -> dict[str, Any]:
        return {
            "state": self.engine.state.value,
            "version": self.settings.version,
            "heartbeatAgeSeconds": round(self.engine.heartbeat_age_seconds, 3),
            "timestamp": iso(),
        }

    async def start(self) -> None:
        """Begin the work that goes on in the background."""
        await self.resources.look()
        for name, work in {
            "listener": self.bus.listen(),
            "echo": self.bus.echo(),
            "speaker": self.bus.speak(),
            "engine": self.engine.run(),
            "resources": self.resources.run(),
        }.items():
            self._tasks.append(asyncio.create_task(self._watched(name, work), name=name))

    async def _watched(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("the %s task ended; health will tell", name)

    async def close(self) -> None:
        """End the work, give the lease up, and let go of everything, in bounded time."""
        for task in self._tasks:
            task.cancel()
        await self._within(asyncio.gather(*self._tasks, return_exceptions=True))
        await self._within(self.engine.close())
        await self._within(self.exchange.close())
        await self._within(self.redis.aclose())
        self.database.close()

    async def _within(self, work: Awaitable[Any]) -> None:
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_SECONDS / 2):
                await work


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Parts = Annotated[Services, Depends(_services)]
