"""Orders, fills, positions and the fence against old engines.

The book changes only through lines of its journal: a restarted exchange reads the same lines and is
the same exchange.
"""

import uuid
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, NoReturn

from paper_exchange.journal import Entry, Journal
from paper_exchange.orders import (
    DUST,
    MAKER_FEE,
    MINIMUM_USD,
    TAKER_FEE,
    Order,
    Position,
    Rejected,
)

KEPT_ORDERS = 20_000
DEPTH_USD = 250_000.0
_ORDER_FIELDS = frozenset(field.name for field in fields(Order))
_IDENTITY = ("id", "client_id", "client_order_id", "symbol")


def _about(order: Order) -> dict[str, str]:
    return {name: getattr(order, name) for name in _IDENTITY}


class Book:
    """The exchange's state. `share` is how much of an order one tick fills at most, from 0 to 1."""

    def __init__(self, journal: Journal, share: Callable[[], float] = lambda: 1.0) -> None:
        self.orders: dict[str, Order] = {}
        self.open: dict[str, Order] = {}
        self.positions: dict[tuple[str, str], Position] = {}
        self.tokens: dict[str, int] = {}
        self._journal = journal
        self._share = share
        self._used_usd: dict[str, float] = {}
        self._by_client_id: dict[tuple[str, str], str] = {}
        for entry in journal.every():
            self._apply(entry)

    def known(self, client_id: str, client_order_id: str) -> Order | None:
        """Give the order already placed under the client's own id."""
        order_id = self._by_client_id.get((client_id, client_order_id))
        return self.orders[order_id] if order_id else None

    def fence(self, client_id: str, token: int, at: float) -> None:
        """Refuse a token older than the newest one; remember a newer one."""
        highest = self.tokens.get(client_id, 0)
        if token < highest:
            reason = f"token {token} is older than {highest}: another engine holds the lease"
            self.reject(Rejected("fenced", reason), at, client_id=client_id, fencing_token=token)
        if token > highest:
            self._note(at, "fence_raised", client_id=client_id, fencing_token=token)

    def place(self, order: Order, price: float) -> Order:
        """Take the order in, or raise Rejected. What a market order cannot fill is cancelled."""
        at = order.created_at
        self.fence(order.client_id, order.fencing_token, at)
        self._refuse_nonsense(order, price)
        self._note(at, "order_accepted", **asdict(order))
        placed = self.orders[order.id]
        self._fill(placed, price, at, TAKER_FEE)
        if placed.type == "market" and placed.status == "open":
            self.cancel(placed.id, at, "nobody took the rest")
        return placed

    def _refuse_nonsense(self, order: Order, price: float) -> None:
        held = self.positions.get((order.client_id, order.symbol))
        if order.reduce_only:
            if held is None or held.quantity * order.signed > 0:
                self._reject_order(
                    order, Rejected("nothing_to_reduce", f"no position in {order.symbol} to reduce")
                )
            order.quantity = min(order.quantity, abs(held.quantity))
        elif order.quantity * (order.price or price) < MINIMUM_USD:
            self._reject_order(
                order, Rejected("too_small", f"an order is at least {MINIMUM_USD:g} USD")
            )

    def _reject_order(self, order: Order, why: Rejected) -> NoReturn:
        self.reject(why, order.created_at, **asdict(order))

    def reject(self, why: Rejected, at: float, **what: Any) -> NoReturn:
        """Leave a line for what was not taken, and raise the reason."""
        wanted = ("client_id", "client_order_id", "symbol", "side", "fencing_token", "reduce_only")
        seen = {name: what[name] for name in wanted if name in what}
        self._note(at, "order_rejected", **seen, code=why.code, reason=str(why))
        raise why

    def match(self, prices: dict[str, float], at: float) -> None:
        """Begin a tick: fill the open orders that the prices have reached."""
        self._used_usd.clear()
        for order in list(self.open.values()):
            self._fill(order, prices[order.symbol], at, MAKER_FEE)

    def cancel(self, order_id: str, at: float, reason: str = "by the client") -> Order:
        """Cancel an order; one that is no longer open stays as it is. KeyError when unknown."""
        order = self.orders[order_id]
        if order.status == "open":
            self._note(at, "order_cancelled", **_about(order), reason=reason)
        return order

    def flatten(self, client_id: str, prices: dict[str, float], at: float) -> dict[str, list[Any]]:
        """Shut out the client's engines, cancel its orders, close positions that have a price."""
        self.fence(client_id, self.tokens.get(client_id, 0) + 1, at)
        mine = [order for order in self.open.values() if order.client_id == client_id]
        cancelled = [self.cancel(order.id, at, "flattened") for order in mine]
        closing = [
            self.place(self._closing(one, at), prices[one.symbol])
            for one in list(self.positions.values())
            if one.client_id == client_id and one.symbol in prices
        ]
        left = [one for one in self.positions.values() if one.client_id == client_id]
        return {"cancelled": cancelled, "orders": closing, "positions": left}

    def _closing(self, position: Position, at: float) -> Order:
        identity = uuid.uuid4().hex
        return Order(
            id=identity,
            client_id=position.client_id,
            client_order_id=f"flatten-{identity}",
            symbol=position.symbol,
            side="sell" if position.quantity > 0 else "buy",
            type="market",
            quantity=abs(position.quantity),
            price=None,
            reduce_only=True,
            fencing_token=self.tokens[position.client_id],
            status="open",
            created_at=at,
        )

    def _fill(self, order: Order, price: float, at: float, fee: float) -> None:
        if not order.crosses(price):
            return
        depth = DEPTH_USD - self._used_usd.get(order.symbol, 0.0)
        wanted = min(order.remaining, self._most(order)) * self._share()
        quantity = round(min(wanted, depth / price), 8)
        if quantity <= DUST:
            return
        self._used_usd[order.symbol] = DEPTH_USD - depth + quantity * price
        self._note(
            at,
            "order_filled",
            **_about(order),
            side=order.side,
            reduce_only=order.reduce_only,
            quantity=quantity,
            price=price,
            fee=round(quantity * price * fee, 8),
            remaining=round(order.remaining - quantity, 8),
        )

    def _most(self, order: Order) -> float:
        """How much the order may fill: one that only reduces never turns a position around."""
        if not order.reduce_only:
            return order.remaining
        held = self.positions.get((order.client_id, order.symbol))
        return max(0.0, -held.quantity * order.signed) if held else 0.0

    def _note(self, at: float, event: str, **what: Any) -> None:
        self._apply(self._journal.append(at, event, what))

    def _apply(self, entry: Entry) -> None:
        if entry["event"] == "order_accepted":
            self._add(Order(**{name: entry[name] for name in _ORDER_FIELDS}))
        elif entry["event"] == "order_filled":
            self._take(self.orders[entry["id"]], entry)
        elif entry["event"] == "order_cancelled":
            self._end(self.orders[entry["id"]], "cancelled", entry["time"])
        elif entry["event"] == "fence_raised":
            self.tokens[entry["client_id"]] = entry["fencing_token"]

    def _add(self, order: Order) -> None:
        self.orders[order.id] = self.open[order.id] = order
        self._by_client_id[(order.client_id, order.client_order_id)] = order.id
        oldest = next(iter(self.orders.values()))
        if len(self.orders) > KEPT_ORDERS and oldest.status != "open":
            del self.orders[oldest.id]
            del self._by_client_id[(oldest.client_id, oldest.client_order_id)]

    def _take(self, order: Order, fill: Entry) -> None:
        quantity, price = fill["quantity"], fill["price"]
        order.take(quantity, price, fill["fee"])
        place = (order.client_id, order.symbol)
        held = self.positions.setdefault(place, Position(*place, 0.0, price))
        held.add(quantity * order.signed, price)
        if abs(held.quantity) <= DUST:
            del self.positions[place]
        if order.remaining <= DUST:
            self._end(order, "filled", fill["time"])

    def _end(self, order: Order, status: Any, at: float) -> None:
        order.status, order.closed_at = status, at
        self.open.pop(order.id, None)
