"""The WebSocket hub: HEARTBEAT first and every few seconds, events in between."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

HEARTBEAT_SECONDS = 3.0
SEND_SECONDS = 5.0
QUEUE = 200
SLOW_CLIENT = 1013

Message = dict[str, Any]


class Hub:
    """Everyone who listens, each with a queue of its own so that a slow one delays nobody."""

    def __init__(self, greeting: Callable[[], dict[str, Any]]) -> None:
        self._greeting = greeting
        self._queues: set[asyncio.Queue[Message | None]] = set()

    @property
    def clients(self) -> int:
        """Count who listens."""
        return len(self._queues)

    def deliver(self, message: Message) -> None:
        """Give a message to everyone; whoever has fallen too far behind is let go."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
                queue.put_nowait(None)
            elif queue.qsize() < QUEUE - 1:
                queue.put_nowait(message)
            else:
                queue.put_nowait(None)

    async def serve(self, socket: WebSocket) -> None:
        """Talk to one client until it or the process leaves."""
        await socket.accept()
        queue: asyncio.Queue[Message | None] = asyncio.Queue(QUEUE)
        self._queues.add(queue)
        sender = asyncio.create_task(self._send(socket, queue))
        try:
            await self._receive(socket, sender)
        finally:
            self._queues.discard(queue)
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sender

    def _heartbeat(self) -> Message:
        return {"type": "HEARTBEAT", "ts": int(time.time() * 1000), "data": self._greeting()}

    async def _send(self, socket: WebSocket, queue: asyncio.Queue[Message | None]) -> None:
        # A client that went away ends the sender; the receiver hears of it by itself.
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError, TimeoutError):
            await self._write(socket, self._heartbeat())
            due = time.monotonic() + HEARTBEAT_SECONDS
            while True:
                try:
                    async with asyncio.timeout(max(0.0, due - time.monotonic())):
                        message = await queue.get()
                except TimeoutError:
                    message, due = self._heartbeat(), time.monotonic() + HEARTBEAT_SECONDS
                if message is None:
                    await socket.close(SLOW_CLIENT)
                    return
                await self._write(socket, message)

    async def _write(self, socket: WebSocket, message: Message) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await socket.send_json(message)

    async def _receive(self, socket: WebSocket, sender: asyncio.Task[None]) -> None:
        while not sender.done():
            heard = asyncio.create_task(socket.receive())
            await asyncio.wait({heard, sender}, return_when=asyncio.FIRST_COMPLETED)
            if not heard.done():
                heard.cancel()
                return
            if heard.result()["type"] == "websocket.disconnect":
                return
