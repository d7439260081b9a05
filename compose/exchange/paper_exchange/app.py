"""The exchange over HTTP."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as AnyHTTPException

from paper_exchange import settings as environment
from paper_exchange.book import Book, FencedOut, Order, OrderType, Side
from paper_exchange.market import HISTORY, Market

ClientId = Annotated[str, Query(min_length=1, max_length=64)]


class NewOrder(BaseModel):
    """An order as a client sends it."""

    model_config = ConfigDict(extra="forbid")

    client_id: str = Field(min_length=1, max_length=64)
    client_order_id: str = Field(min_length=1, max_length=64)
    symbol: str
    side: Side
    type: OrderType = "market"
    quantity: float = Field(gt=0, lt=1e12, allow_inf_nan=False)
    price: float | None = Field(default=None, gt=0, lt=1e12, allow_inf_nan=False)
    fencing_token: int = Field(ge=0, lt=2**53)


class Exchange:
    """The market, the book and the task that moves both."""

    def __init__(self, settings: environment.Settings) -> None:
        self.settings = settings
        self.started_at = time.time()
        self.book = Book()
        self.market = Market(
            dict(environment.SYMBOLS), settings.seed, settings.tick_seconds, settings.candle_ticks
        )
        self.market.prefill(self.started_at)

    async def run(self) -> None:
        """Advance the market for ever, without drifting behind the clock."""
        due = time.monotonic()
        while True:
            due += self.settings.tick_seconds
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            now = time.time()
            self.market.step(now)
            self.book.match(self.market.prices(), now)

    def health(self) -> dict[str, Any]:
        """Say who this is and whether the feed still moves."""
        age = time.time() - self.market.time
        moving = age < max(5.0, 5 * self.settings.tick_seconds)
        return {
            "status": "healthy" if moving else "unhealthy",
            "service": "exchange",
            "version": self.settings.version,
            "revision": self.settings.revision,
            "time": time.time(),
            "started_at": self.started_at,
            "sequence": self.market.sequence,
            "feed_age_seconds": round(age, 3),
        }

    def order(self, order_id: str) -> Order:
        """Find an order or answer 404."""
        try:
            return self.book.orders[order_id]
        except KeyError:
            raise HTTPException(404, f"no order {order_id!r} here") from None

    def place(self, new: NewOrder) -> Order:
        """Take a new order, or give the one already placed under the same client order id."""
        price = self.price(new.symbol)
        if new.type != "market" and new.price is None:
            raise HTTPException(422, f"a {new.type} order needs a price")
        known = self.book.known(new.client_id, new.client_order_id)
        if known is not None:
            return known
        order = Order(
            id=uuid.uuid4().hex, status="open", created_at=time.time(), **new.model_dump()
        )
        try:
            return self.book.place(order, price)
        except FencedOut as error:
            raise HTTPException(409, str(error)) from None

    def price(self, symbol: str) -> float:
        """Find a symbol's price or answer 404."""
        try:
            return self.market.price(symbol)
        except KeyError:
            raise HTTPException(404, f"no symbol {symbol!r} here; see /prices") from None


def _add_market(app: FastAPI, exchange: Exchange) -> None:
    @app.get("/health")
    async def health() -> JSONResponse:
        """Tell whether the feed moves."""
        body = exchange.health()
        return JSONResponse(body, 200 if body["status"] == "healthy" else 503)

    @app.get("/time")
    async def now() -> dict[str, float]:
        """Tell the time."""
        return {"time": time.time()}

    @app.get("/prices")
    async def prices() -> dict[str, Any]:
        """Give every price and the number of the tick it belongs to."""
        market = exchange.market
        return {"time": market.time, "sequence": market.sequence, "prices": market.prices()}

    @app.get("/candles/{symbol}")
    async def candles(
        symbol: str, limit: Annotated[int, Query(ge=1, le=HISTORY)] = 100
    ) -> dict[str, Any]:
        """Give a symbol's newest candles, oldest first; the last one is still open."""
        exchange.price(symbol)
        return {"symbol": symbol, "candles": exchange.market.candles(symbol, limit)}


def _add_orders(app: FastAPI, exchange: Exchange) -> None:
    book = exchange.book

    @app.post("/orders", status_code=201)
    async def place(new: NewOrder) -> dict[str, Any]:
        """Place an order; the same client order id twice is the same order."""
        return asdict(exchange.place(new))

    @app.get("/orders")
    async def orders(client_id: ClientId | None = None, status: str | None = None) -> list[Any]:
        """List orders, newest first, of one client or all, of one status or all."""
        return [
            asdict(order)
            for order in reversed(book.orders.values())
            if client_id in (None, order.client_id) and status in (None, order.status)
        ]

    @app.delete("/orders/{order_id}")
    async def cancel(order_id: str) -> dict[str, Any]:
        """Cancel an order."""
        exchange.order(order_id)
        return asdict(book.cancel(order_id, time.time()))


def _add_positions(app: FastAPI, exchange: Exchange) -> None:
    book = exchange.book

    @app.get("/positions")
    async def positions(client_id: ClientId | None = None) -> list[Any]:
        """List open positions, of one client or all."""
        return [asdict(p) for p in book.positions.values() if client_id in (None, p.client_id)]

    @app.post("/positions/{symbol}/close")
    async def close(symbol: str, client_id: ClientId) -> dict[str, Any]:
        """Close a position at market."""
        price = exchange.price(symbol)
        try:
            position = book.close(client_id, symbol, price, time.time())
        except KeyError:
            raise HTTPException(404, f"{client_id!r} holds no {symbol}") from None
        return {**asdict(position), "exit_price": price}

    @app.post("/fence")
    async def fence(client_id: ClientId, token: Annotated[int, Query(ge=0)]) -> dict[str, int]:
        """Shut out every engine whose fencing token is older than this one."""
        try:
            book.fence(client_id, token, time.time())
        except FencedOut as error:
            raise HTTPException(409, str(error)) from None
        return {"token": token}

    @app.get("/log")
    async def log(
        after: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=10000)] = 1000
    ) -> dict[str, Any]:
        """Give the log's lines after a sequence number."""
        return {"entries": book.log[after : after + limit], "last_seq": len(book.log)}


def create_app(settings: environment.Settings) -> FastAPI:
    """Build the application around one exchange."""
    exchange = Exchange(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(exchange.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app = FastAPI(title="Paper exchange", version=settings.version, lifespan=lifespan)
    app.state.exchange = exchange

    @app.exception_handler(AnyHTTPException)
    async def as_json(_: Request, error: AnyHTTPException) -> JSONResponse:
        body = {"detail": error.detail, "status_code": error.status_code}
        return JSONResponse(body, error.status_code)

    _add_market(app, exchange)
    _add_orders(app, exchange)
    _add_positions(app, exchange)
    return app
