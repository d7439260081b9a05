"""The trading lease in Redis: one engine at a time, each with a newer fencing token.

The token never falls behind the clock in milliseconds, so that a Redis that lost its data hands out
no token that the exchange has already seen, and an exchange that raised its fence by one when it
was told to flatten still takes the next engine's.
"""

import asyncio
import time
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

KEY = "breakout-bot:lease"
TOKEN_KEY = "breakout-bot:fence"  # noqa: S105 - the name of a key, not a secret
LIMIT_SECONDS = 0.8
MARGIN_SECONDS = 0.5

_DRAW = """
local time = redis.call('TIME')
local token = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1,
                       time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SET', KEYS[2], string.format('%.0f', token))
"""
_ACQUIRE = f"""
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
{_DRAW}
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return token
"""
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class LeaseError(Exception):
    """Redis could not be asked about the lease."""


class Lease:
    """This process's claim to be the one engine that trades."""

    def __init__(self, redis: Redis, owner: str, ttl_seconds: float) -> None:
        self._redis = redis
        self._owner = owner
        self._ttl = ttl_seconds
        self._until = 0.0
        self._not_before = 0.0
        self.token = 0

    @property
    def held(self) -> bool:
        """Tell whether this process may trade at this moment."""
        return time.monotonic() < self._until

    async def _eval(self, script: str, *arguments: Any) -> int:
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                result: Any = self._redis.eval(script, 2, KEY, TOKEN_KEY, *arguments)
                return int(await result)
        except (RedisError, OSError, TimeoutError) as error:
            reason = type(error).__name__
            raise LeaseError(f"redis does not answer about the lease ({reason})") from None

    async def keep(self) -> bool:
        """Renew the lease, or take it when it is free; say whether it is held."""
        asked = time.monotonic()
        if asked < self._not_before:
            return False
        milliseconds = int(self._ttl * 1000)
        renewed = self.held and await self._eval(_RENEW, self._owner, milliseconds)
        if not renewed:
            self._until = 0.0
            token = await self._eval(_ACQUIRE, self._owner, milliseconds)
            if not token:
                return False
            self.token = token
        self._until = asked + self._ttl - MARGIN_SECONDS
        return True

    async def stand_down(self) -> None:
        """Give the lease up after being fenced off, and leave it to others for a while."""
        self._not_before = time.monotonic() + self._ttl
        await self.release()

    async def release(self) -> None:
        """Give the lease up now rather than when it lapses."""
        self._until = 0.0
        await self._eval(_RELEASE, self._owner)
