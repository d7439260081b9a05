"""Failure switches: how a disposable stack's exchange is made to misbehave on purpose.

They stand between the network and the exchange, so that a client sees a real failure. A restart of
the exchange ends every drill.
"""

import asyncio
import random
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

WITNESS = "X-Witness"
"""A request with this header is not drilled: tests look on through it."""
LOOPBACK = "127.0.0.1"
NEVER_DRILLED = ("/drills", "/log")
Share = Annotated[float, Field(ge=0, le=1)]


class Drills(BaseModel):
    """Every switch; what is left out of a request is off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency_ms: float = Field(default=0, ge=0, le=60_000)
    status_429: Share = 0
    hang: bool = False
    cut: bool = False
    reject: bool = False
    halted: tuple[str, ...] = ()
    partial_fill: Share = 1
    clock_offset_seconds: float = Field(default=0, ge=-1e7, le=1e7)
    freeze_feed: bool = False
    volatility: float = Field(default=1, ge=0, le=100)


class NewDrills(Drills):
    """The switches to set, and price moves that happen once, now, in percent."""

    moves: dict[str, Annotated[float, Field(gt=-100, le=1000)]] = {}


class Switches:
    """The drills in force."""

    def __init__(self) -> None:
        self.now = Drills()
        self._changed = asyncio.Event()

    def set(self, drills: Drills) -> None:
        """Replace every drill; requests that hang go on."""
        self.now = Drills(**drills.model_dump(include=set(Drills.model_fields)))
        self._changed.set()
        self._changed = asyncio.Event()

    async def another(self) -> None:
        """Wait until the drills are changed."""
        await self._changed.wait()


class Drilled:
    """Delays, refuses, hangs or cuts what comes over the network."""

    def __init__(self, app: ASGIApp, switches: Switches) -> None:
        self._app = app
        self._switches = switches
        self._chance = random.Random("drills")  # noqa: S311 - a drill should repeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or not."""
        if scope["type"] != "http" or _spared(scope):
            return await self._app(scope, receive, send)
        await self._hold()
        if self._switches.now.cut:
            return await _cut(send)
        if self._chance.random() < self._switches.now.status_429:
            body = {"detail": "too many requests (drill)", "status_code": 429}
            return await JSONResponse(body, 429, {"Retry-After": "1"})(scope, receive, send)
        return await self._app(scope, receive, send)

    async def _hold(self) -> None:
        while self._switches.now.hang:
            await self._switches.another()
        if self._switches.now.latency_ms:
            await asyncio.sleep(self._switches.now.latency_ms / 1000)


def _spared(scope: Scope) -> bool:
    own = bool(scope["client"]) and scope["client"][0] == LOOPBACK
    return own or scope["path"] in NEVER_DRILLED or WITNESS in Headers(scope=scope)


async def _cut(send: Send) -> None:
    # A promise of ten bytes that never come: the server closes the connection over it.
    head = [(b"content-length", b"10")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
