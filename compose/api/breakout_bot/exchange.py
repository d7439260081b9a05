"""The exchange, over HTTP: every call has a time limit, every failure one kind of exception."""

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from breakout_bot.ledger import Intent
from breakout_bot.settings import BOT_ID

LIMIT_SECONDS = 1.6
"""An emergency stop must answer within 2 s, also over an exchange that takes one for each call."""
KEEP_SECONDS = 2.0
"""Servers close idle connections after a while, uvicorn after 5 s, which is as long as httpx keeps
them: a call that leaves just then fails, and an order may not be sent twice."""


class ExchangeError(Exception):
    """The exchange did not do what was asked; status is 0 when it did not answer."""

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    @property
    def refused(self) -> bool:
        """Tell whether it is certain that nothing was done."""
        return 400 <= self.status < 500


@dataclass(frozen=True, slots=True)
class Prices:
    """Every price at one tick of the feed, and the exchange's clock."""

    sequence: int
    time: float
    time_scale: float
    prices: dict[str, float]


def _error(method: str, path: str, answer: httpx.Response) -> ExchangeError:
    try:
        body = answer.json()
    except ValueError:
        body = {}
    found = body if isinstance(body, dict) else {}
    detail = str(found.get("detail", answer.text))[:200]
    message = f"the exchange refused {method} {path}: {detail}"
    return ExchangeError(message, answer.status_code, str(found.get("code", "")))


class Exchange:
    """A client of the exchange under the bot's own id."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(keepalive_expiry=KEEP_SECONDS)
        self._http = httpx.AsyncClient(base_url=url, timeout=LIMIT_SECONDS, limits=limits)
        self.errors = 0
        self.latency_ms = 0.0
        self.average_ms = 0.0

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        began = time.monotonic()
        try:
            answer = await self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            self.errors += 1
            kind = type(error).__name__
            raise ExchangeError(f"the exchange does not answer {path} ({kind})") from None
        self._measure((time.monotonic() - began) * 1000)
        if answer.is_error:
            self.errors += answer.is_server_error
            raise _error(method, path, answer)
        try:
            return answer.json()
        except ValueError:
            self.errors += 1
            raise ExchangeError(f"the exchange answered {path} with no JSON", 502) from None

    def _measure(self, milliseconds: float) -> None:
        self.latency_ms = milliseconds
        self.average_ms = self.average_ms * 0.95 + milliseconds * 0.05 or milliseconds

    async def health(self) -> dict[str, Any]:
        """Ask how the exchange is."""
        body = await self._call("GET", "/health")
        return dict(body)

    async def prices(self) -> Prices:
        """Give the feed's tick number, every price and the time there."""
        body = await self._call("GET", "/prices")
        prices = {name: float(price) for name, price in body["prices"].items()}
        return Prices(
            int(body["sequence"]), float(body["time"]), float(body.get("time_scale", 1)), prices
        )

    async def candles(self, symbol: str, limit: int) -> list[dict[str, float]]:
        """Give a symbol's newest candles, oldest first."""
        body = await self._call("GET", f"/candles/{symbol}", params={"limit": limit})
        return list(body["candles"])

    async def orders(
        self, status: str | None = None, limit: int = 500, offset: int = 0
    ) -> list[dict[str, Any]]:
        """List this bot's orders, newest first."""
        params: dict[str, str | int] = {"client_id": BOT_ID, "limit": limit, "offset": offset}
        if status:
            params["status"] = status
        return list(await self._call("GET", "/orders", params=params))

    async def all_candles(self, limit: int) -> dict[str, list[dict[str, float]]]:
        """Give every symbol's newest candles in one answer: ten calls would hold up the loop."""
        body = await self._call("GET", "/candles", params={"limit": limit})
        return dict(body["candles"])

    async def order(self, order_id: str) -> dict[str, Any] | None:
        """Find one of this bot's orders under the exchange's id."""
        try:
            found = dict(await self._call("GET", f"/orders/{quote(order_id, safe='')}"))
        except ExchangeError as error:
            if error.status == 404:
                return None
            raise
        return found if found["client_id"] == BOT_ID else None

    async def find(self, client_order_id: str) -> dict[str, Any] | None:
        """Find one of this bot's orders under the id that it gave it."""
        params = {"client_id": BOT_ID, "client_order_id": client_order_id}
        found = list(await self._call("GET", "/orders", params=params))
        return found[0] if found else None

    async def positions(self) -> list[dict[str, Any]]:
        """List this bot's positions."""
        return list(await self._call("GET", "/positions", params={"client_id": BOT_ID}))

    async def place(self, intent: Intent, token: int) -> dict[str, Any]:
        """Place an order at market under the lease's fencing token; a sale never sells short."""
        order = {
            "client_id": BOT_ID,
            "client_order_id": intent.client_order_id,
            "symbol": intent.symbol,
            "side": intent.side,
            "quantity": intent.quantity,
            "reduce_only": intent.side == "sell",
            "fencing_token": token,
            "valid_until": intent.valid_until,
        }
        return dict(await self._call("POST", "/orders", json=order))

    async def cancel(self, order_id: str) -> dict[str, Any]:
        """Cancel an order."""
        return dict(await self._call("DELETE", f"/orders/{order_id}"))

    async def flatten(self, valid_until: float) -> dict[str, Any]:
        """Shut out every engine's orders, cancel all, close all at market, in one call."""
        params: dict[str, str | float] = {"client_id": BOT_ID, "valid_until": valid_until}
        return dict(await self._call("POST", "/flatten", params=params))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()
