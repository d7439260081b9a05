"""The exchange, over HTTP: every call has a time limit, every failure one kind of exception."""

import time
from typing import Any

import httpx

from breakout_bot.settings import BOT_ID

LIMIT_SECONDS = 1.0


class ExchangeError(Exception):
    """The exchange did not do what was asked; status is 0 when it did not answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def _detail(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:200]
    return str(body.get("detail", body) if isinstance(body, dict) else body)[:200]


class Exchange:
    """A client of the exchange under the bot's own id."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=LIMIT_SECONDS)
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
            message = f"the exchange refused {method} {path}: {_detail(answer)}"
            raise ExchangeError(message, answer.status_code)
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

    async def prices(self) -> tuple[int, dict[str, float]]:
        """Give the feed's tick number and every price."""
        body = await self._call("GET", "/prices")
        return int(body["sequence"]), {name: float(price) for name, price in body["prices"].items()}

    async def candles(self, symbol: str, limit: int) -> list[dict[str, float]]:
        """Give a symbol's newest candles, oldest first."""
        body = await self._call("GET", f"/candles/{symbol}", params={"limit": limit})
        return list(body["candles"])

    async def orders(self, status: str | None = None) -> list[dict[str, Any]]:
        """List this bot's orders, newest first."""
        params = {"client_id": BOT_ID, **({"status": status} if status else {})}
        return list(await self._call("GET", "/orders", params=params))

    async def positions(self) -> list[dict[str, Any]]:
        """List this bot's positions."""
        return list(await self._call("GET", "/positions", params={"client_id": BOT_ID}))

    async def buy(self, symbol: str, quantity: float, order_id: str, token: int) -> dict[str, Any]:
        """Buy at market under the lease's fencing token."""
        order = {
            "client_id": BOT_ID,
            "client_order_id": order_id,
            "symbol": symbol,
            "side": "buy",
            "type": "market",
            "quantity": quantity,
            "fencing_token": token,
        }
        return dict(await self._call("POST", "/orders", json=order))

    async def cancel(self, order_id: str) -> dict[str, Any]:
        """Cancel an order."""
        return dict(await self._call("DELETE", f"/orders/{order_id}"))

    async def sell(self, symbol: str, quantity: float, order_id: str, token: int) -> dict[str, Any]:
        """Sell what is held at market under the lease's fencing token, never more."""
        order = {
            "client_id": BOT_ID,
            "client_order_id": order_id,
            "symbol": symbol,
            "side": "sell",
            "quantity": quantity,
            "reduce_only": True,
            "fencing_token": token,
        }
        return dict(await self._call("POST", "/orders", json=order))

    async def flatten(self) -> dict[str, Any]:
        """Shut out every engine's orders, cancel all, close all at market, in one call."""
        return dict(await self._call("POST", "/flatten", params={"client_id": BOT_ID}))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()
