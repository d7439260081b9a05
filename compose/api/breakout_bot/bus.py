"""Events between the processes of a deployment, through Redis pub/sub."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

CHANNEL = "breakout-bot:events"
LIMIT_SECONDS = 0.8
ECHO_SECONDS = 2.0
SILENCE_SECONDS = 3 * ECHO_SECONDS
OUTBOX = 500
ECHO = "ECHO"
log = logging.getLogger(__name__)

Message = dict[str, Any]


class Bus:
    """Publishes events, hands on what is heard, and knows whether it hears itself."""

    def __init__(self, redis: Redis, instance: str, deliver: Callable[[Message], None]) -> None:
        self._redis = redis
        self._instance = instance
        self._deliver = deliver
        self._heard = float("-inf")
        self._deaf = False
        self._outbox: asyncio.Queue[tuple[str, Any]] = asyncio.Queue(OUTBOX)

    @property
    def connected(self) -> bool:
        """Tell whether a message of this process came back to it a moment ago."""
        return time.monotonic() - self._heard < SILENCE_SECONDS

    def say(self, kind: str, data: Any) -> None:
        """Send an event to every process without waiting: no trade may wait for an onlooker."""
        with contextlib.suppress(asyncio.QueueFull):
            self._outbox.put_nowait((kind, data))

    async def speak(self) -> None:
        """Send what was said, in order, for ever; what Redis does not take is dropped."""
        while True:
            await self._publish(*await self._outbox.get())

    async def _publish(self, kind: str, data: Any) -> None:
        message = {
            "type": kind,
            "ts": int(time.time() * 1000),
            "data": data,
            "instance": self._instance,
        }
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await self._redis.publish(CHANNEL, json.dumps(message))
        except (RedisError, OSError, TimeoutError):
            return

    async def echo(self) -> None:
        """Speak to oneself every moment: only what comes back proves that events flow."""
        while True:
            await self._publish(ECHO, {})
            await asyncio.sleep(ECHO_SECONDS if self.connected else 0.3)

    async def listen(self) -> None:
        """Hear events for ever; begin again when Redis went away or fell silent."""
        while True:
            try:
                await self._subscription()
            except (RedisError, OSError, TimeoutError) as error:
                self._note(type(error).__name__)
            await asyncio.sleep(0.5)

    def _note(self, trouble: str | None) -> None:
        if trouble and not self._deaf:
            log.warning("events are not heard: %s", trouble)
        elif self._deaf and not trouble:
            log.info("events are heard again")
        self._deaf = bool(trouble)

    async def _subscription(self) -> None:
        pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
        try:
            async with asyncio.timeout(2 * LIMIT_SECONDS):
                await pubsub.subscribe(CHANNEL)
            self._note(None)
            quiet_since = time.monotonic()
            while time.monotonic() - quiet_since < SILENCE_SECONDS:
                raw = await pubsub.get_message(timeout=1.0)
                if raw is not None:
                    quiet_since = time.monotonic()
                    self._take(raw)
            raise TimeoutError("no event for too long")
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    def _take(self, raw: Message) -> None:
        try:
            message = json.loads(raw["data"])
            own, kind = message["instance"] == self._instance, message["type"]
        except (ValueError, KeyError, TypeError):
            log.warning("an event that is not ours came over the bus")
            return
        if own:
            self._heard = time.monotonic()
        # Each process shows its own view of the engine; all else concerns every process.
        if kind != ECHO and (own or kind != "ENGINE_UPDATE"):
            self._deliver({key: message[key] for key in ("type", "ts", "data")})
