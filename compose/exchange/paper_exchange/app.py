"""The exchange over HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from paper_exchange.drills import Drilled, Drills, NewDrills
from paper_exchange.exchange import Exchange, NewOrder
from paper_exchange.market import HISTORY
from paper_exchange.orders import Order, Rejected
from paper_exchange.settings import Settings

ClientId = Annotated[str, Query(min_length=1, max_length=64)]
Candles = Annotated[int, Query(ge=1, le=HISTORY)]
Limit = Annotated[int, Query(ge=1, le=10_000)]


def _add_market(app: FastAPI, exchange: Exchange) -> None:
    market, clock = exchange.market, exchange.clock

    @app.get("/health")
    async def health() -> JSONResponse:
        """Tell whether the feed moves."""
        body = exchange.health()
        return JSONResponse(body, 200 if body["status"] == "healthy" else 503)

    @app.get("/time")
    async def now() -> dict[str, float]:
        """Tell the time and how fast it goes."""
        return {"time": clock.now(), "time_scale": clock.scale}

    @app.get("/prices")
    async def prices() -> dict[str, Any]:
        """Give every price, the number of the tick it belongs to, and the time now."""
        time = {"time": clock.now(), "time_scale": clock.scale}
        return {**time, "sequence": market.sequence, "prices": market.prices()}

    @app.get("/candles")
    async def all_candles(limit: Candles = 100) -> JSONResponse:
        """Give every symbol's newest candles in one answer."""
        every = {name: market.candles(name, limit) for name in market.symbols}
        return JSONResponse({"candles": every})  # as it is: FastAPI would look at each number

    @app.get("/candles/{symbol}")
    async def candles(symbol: str, limit: Candles = 100) -> dict[str, Any]:
        """Give a symbol's newest candles, oldest first; the last one is still open."""
        if symbol not in market.symbols:
            raise HTTPException(404, f"no symbol {symbol!r} here; see /prices")
        return {"symbol": symbol, "candles": market.candles(symbol, limit)}


def _add_orders(app: FastAPI, exchange: Exchange) -> None:
    book = exchange.book

    @app.post("/orders", status_code=201)
    async def place(new: NewOrder) -> dict[str, Any]:
        """Place an order; the same client order id twice is the same order."""
        return asdict(exchange.place(new))

    @app.get("/orders")
    async def orders(
        client_id: ClientId | None = None,
        client_order_id: str | None = None,
        status: str | None = None,
        limit: Limit = 500,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> list[Any]:
        """List orders, newest first; every parameter that is given narrows the list."""
        found = [
            order
            for order in reversed(book.orders.values())
            if client_id in (None, order.client_id)
            and client_order_id in (None, order.client_order_id)
            and status in (None, order.status)
        ]
        return [asdict(order) for order in found[offset : offset + limit]]

    def known(order_id: str) -> Order:
        if order_id not in book.orders:
            raise HTTPException(404, f"no order {order_id!r} here")
        return book.orders[order_id]

    @app.get("/orders/{order_id}")
    async def one(order_id: str) -> dict[str, Any]:
        """Give one order."""
        return asdict(known(order_id))

    @app.delete("/orders/{order_id}")
    async def cancel(order_id: str) -> dict[str, Any]:
        """Cancel an order."""
        known(order_id)
        return asdict(book.cancel(order_id, exchange.clock.now()))


def _add_positions(app: FastAPI, exchange: Exchange) -> None:
    book = exchange.book

    @app.get("/positions")
    async def positions(client_id: ClientId | None = None) -> list[Any]:
        """List open positions, of one client or all."""
        return [asdict(p) for p in book.positions.values() if client_id in (None, p.client_id)]

    @app.post("/flatten")
    async def flatten(client_id: ClientId, valid_until: float | None = None) -> dict[str, Any]:
        """Fence the client's engines off, cancel its orders, close its positions; say what is left.

        It needs no fencing token: leaving the market must never wait for a lease.
        """
        done = exchange.flatten(client_id, valid_until)
        lists = {name: done[name] for name in ("cancelled", "orders", "positions")}
        return {**done, **{name: [asdict(one) for one in every] for name, every in lists.items()}}

    @app.post("/fence")
    async def fence(client_id: ClientId, token: Annotated[int, Query(ge=0)]) -> dict[str, int]:
        """Shut out every engine whose fencing token is older than this one."""
        book.fence(client_id, token, exchange.clock.now())
        return {"token": token}

    @app.get("/log")
    async def log(after: Annotated[int, Query(ge=0)] = 0, limit: Limit = 1000) -> dict[str, Any]:
        """Give the log's lines after a sequence number; for tests, the bot never asks."""
        journal = exchange.journal
        return {"entries": journal.after(after, limit), "last_seq": journal.last_seq}


def _add_drills(app: FastAPI, exchange: Exchange) -> None:
    @app.get("/drills")
    async def drills() -> Drills:
        """Say which drills are on."""
        return exchange.switches.now

    @app.put("/drills")
    async def drill(new: NewDrills) -> Drills:
        """Replace all drills with these."""
        try:
            exchange.drill(new)
        except KeyError as error:
            raise HTTPException(404, f"no symbol {error.args[0]!r} here; see /prices") from None
        return exchange.switches.now

    @app.delete("/drills")
    async def end() -> Drills:
        """End every drill; prices stay where they are."""
        exchange.drill(NewDrills())
        return exchange.switches.now


def create_app(settings: Settings) -> FastAPI:
    """Build the application around one exchange. Raises SettingsError for a bad DATA_DIR."""
    exchange = Exchange(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(exchange.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        exchange.close()

    app = FastAPI(title="Paper exchange", version=settings.version, lifespan=lifespan)
    app.state.exchange = exchange

    @app.exception_handler(AnyHTTPException)
    async def as_json(_: Request, error: AnyHTTPException) -> JSONResponse:
        body = {"detail": error.detail, "status_code": error.status_code}
        return JSONResponse(body, error.status_code)

    @app.exception_handler(Rejected)
    async def rejected(_: Request, error: Rejected) -> JSONResponse:
        body = {"detail": str(error), "status_code": error.status, "code": error.code}
        return JSONResponse(body, error.status)

    _add_market(app, exchange)
    _add_orders(app, exchange)
    _add_positions(app, exchange)
    if settings.drills:
        _add_drills(app, exchange)
        app.add_middleware(Drilled, switches=exchange.switches)
    return app
