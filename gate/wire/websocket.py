"""WebSocket: a handshake and the first messages after it."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from gate.errors import WireError
from gate.wire.address import Address


@dataclass(frozen=True)
class Conversation:
    """A WebSocket handshake and the first messages after it."""

    url: str
    status: int
    messages: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def converse(
    url: str,
    to: Address,
    tls: ssl.SSLContext,
    messages: int,
    within: float,
    over: asyncio.Event,
    limit: float,
) -> Conversation:
    """Shake hands and hear up to `messages` messages within `within` seconds, or until `over`.

    A refused upgrade is a `Conversation` with the status that came instead of 101. Raises
    `WireError` where the handshake is no HTTP.
    """
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

    started, heard = time.monotonic(), list[str]()
    options: dict[str, Any] = {"ssl": tls, "open_timeout": limit, "proxy": None}
    options |= {"host": to.host, "port": to.port}
    try:
        async with connect(url, close_timeout=0.2, **options) as socket:
            with suppress(TimeoutError, WebSocketException):
                async with asyncio.timeout(within) as waiting, _ended_by(over, waiting):
                    while len(heard) < messages:
                        heard.append(str(await socket.recv()))
    except InvalidStatus as error:
        return Conversation(url, error.response.status_code)
    except InvalidHandshake as error:
        raise WireError(f"GET {url}: {error}") from error
    return Conversation(url, 101, heard, time.monotonic() - started)


@asynccontextmanager
async def _ended_by(over: asyncio.Event, limit: asyncio.Timeout) -> AsyncIterator[None]:
    """Let a timeout pass at once when `over` is set."""

    async def end() -> None:
        await over.wait()
        limit.reschedule(asyncio.get_running_loop().time())

    waiting = asyncio.create_task(end())
    try:
        yield
    finally:
        waiting.cancel()
