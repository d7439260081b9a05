"""Steady traffic on one deployment: requests at a fixed rate, WebSockets that stay, slow requests.

Open loop: a request is sent when its time has come, whatever became of those before it.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import websockets
from websockets.asyncio.client import connect

from compose.lifecycle import proxy, verify
from compose.lifecycle.deployment import Deployment, holds_within
from gate.target import Target
from gate.wire import tls_context

RATE = 30
"""Requests a second, each on a TLS connection of its own. A hundred would take a whole core
from the update that is judged."""
DRILL_RATE = 100
SOCKETS = 20
LIMIT = 20.0
SLOW_SECONDS = 4.0
SLOW_PIECES = 40
PATHS = ("/api/health", "/", "/api/engine/status", "/api/trading/positions")


@dataclass
class Seen:
    """What the traffic saw."""

    requests: int = 0
    failures: list[str] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    """When each good answer came, monotonic seconds."""
    seconds: list[float] = field(default_factory=list)
    slow: int = 0
    codes: list[int] = field(default_factory=list)
    """Close codes that WebSocket clients got."""
    socket_failures: list[str] = field(default_factory=list)

    @property
    def longest_gap(self) -> float:
        """The longest time between two good answers, in seconds."""
        times = sorted(self.answered)
        return max((b - a for a, b in pairwise(times)), default=0.0)


@contextmanager
def steady(deployment: Deployment, rate: float = RATE) -> Iterator[Seen]:
    """Steady traffic on a deployment while the block runs."""
    where = verify.target(deployment, proxy.live(deployment))
    with Traffic(where, deployment.credentials.api_key or "", rate) as seen:
        holds_within(lambda: seen.answered and seen.slow, LIMIT)
        yield seen


class Traffic:
    """Traffic from a thread of its own, between `with` and its end."""

    def __init__(self, where: Target, key: str, rate: float = RATE, sockets: int = SOCKETS) -> None:
        self.seen = Seen()
        self._url, self._key, self._rate, self._sockets = where.url, key, rate, sockets
        self._name = urlsplit(self._url).netloc
        host, port = where.address_of(self._url)
        self._way: dict[str, Any] = {"host": host, "port": port, "ssl": tls_context(where)}
        self._way["server_hostname"] = urlsplit(self._url).hostname
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._over = threading.Event()

    def __enter__(self) -> Seen:
        self._thread.start()
        return self.seen

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(LIMIT * 2)

    async def _run(self) -> None:
        listeners = [asyncio.create_task(self._listen()) for _ in range(self._sockets)]
        slow = asyncio.create_task(self._slow_requests())
        await self._steady()
        await slow
        for one in listeners:
            one.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)

    async def _steady(self) -> None:
        began, sent = time.monotonic(), set[asyncio.Task[None]]()
        number = 0
        while not self._over.is_set():
            await asyncio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
            task = asyncio.create_task(self._request(PATHS[number % len(PATHS)]))
            sent.add(task)
            task.add_done_callback(sent.discard)
            number += 1
        await asyncio.gather(*sent)

    async def _request(self, path: str) -> None:
        began = time.monotonic()
        head = f"GET {path} HTTP/1.1\r\nHost: {self._name}\r\nConnection: close\r\n\r\n"
        await self._exchange(path, [head.encode()], 0.0)
        self.seen.seconds.append(time.monotonic() - began)

    async def _slow_requests(self) -> None:
        """One after the other, so that each switch happens in the middle of one."""
        head = (
            f"POST /api/engine/reload HTTP/1.1\r\nHost: {self._name}\r\n"
            f"X-API-Key: {self._key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {SLOW_PIECES}\r\nConnection: close\r\n\r\n"
        )
        body = b"{" + b" " * (SLOW_PIECES - 2) + b"}"
        pieces = [head.encode(), *(bytes([one]) for one in body)]
        while not self._over.is_set():
            await self._exchange("slow upload", pieces, SLOW_SECONDS / SLOW_PIECES)
            self.seen.slow += 1

    async def _exchange(self, what: str, pieces: list[bytes], pause: float) -> None:
        self.seen.requests += 1
        try:
            async with asyncio.timeout(LIMIT):
                status = await self._ask(pieces, pause)
        except (OSError, TimeoutError, ValueError, IndexError) as error:
            self.seen.failures.append(f"{what}: {type(error).__name__} {error}")
            return
        if status == 200:
            self.seen.answered.append(time.monotonic())
        else:
            self.seen.failures.append(f"{what}: {status}")

    async def _ask(self, pieces: list[bytes], pause: float) -> int:
        reader, writer = await asyncio.open_connection(**self._way)
        try:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(pause)
            answer = await reader.read(-1)
            status = int(answer.split(maxsplit=2)[1])
            head, _, body = answer.partition(b"\r\n\r\n")
            length = [x for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")]
            if length and int(length[0].split(b":")[1]) != len(body):
                raise ValueError("the answer was cut off")
            return status
        finally:
            writer.transport.abort()

    async def _listen(self) -> None:
        url = self._url.replace("https", "wss", 1) + "/ws/"
        while True:
            try:
                async with connect(url, proxy=None, **self._way) as socket:
                    async for message in socket:
                        json.loads(message)
                self.seen.codes.append(socket.close_code or 0)
            except websockets.ConnectionClosed as closed:
                self.seen.codes.append(closed.rcvd.code if closed.rcvd else 1006)
            except (OSError, websockets.WebSocketException, TimeoutError) as error:
                self.seen.socket_failures.append(f"{type(error).__name__} {error}")
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.2)
