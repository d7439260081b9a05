"""Orders, fills, positions, the fence against old engines, and the log that nothing can change."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Side = Literal["buy", "sell"]
OrderType = Literal["market", "limit", "stop"]
LOG_LIMIT = 200_000


class FencedOut(Exception):
    """The order carries a fencing token older than one already seen."""

    def __init__(self, token: int, highest: int) -> None:
        super().__init__(
            f"fencing token {token} is older than {highest}: another engine holds the lease"
        )


@dataclass(slots=True)
class Order:
    """One order as the exchange knows it."""

    id: str
    client_id: str
    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    quantity: float
    price: float | None
    fencing_token: int
    status: Literal["open", "filled", "cancelled"]
    created_at: float
    fill_price: float | None = None
    closed_at: float | None = None


@dataclass(slots=True)
class Position:
    """What one client holds of one symbol; a negative quantity is short."""

    client_id: str
    symbol: str
    quantity: float
    entry_price: float


def crosses(order: Order, price: float) -> bool:
    """Tell whether the market's price fills the order."""
    if order.type == "market" or order.price is None:
        return True
    falling = (order.type == "limit") == (order.side == "buy")
    return price <= order.price if falling else price >= order.price


class Book:
    """The exchange's state; every change leaves a line in the log."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.positions: dict[tuple[str, str], Position] = {}
        self.tokens: dict[str, int] = {}
        self.log: list[dict[str, Any]] = []
        self._by_client_id: dict[tuple[str, str], str] = {}

    def fence(self, client_id: str, token: int, at: float) -> None:
        """Refuse a token older than the newest one; remember a newer one."""
        highest = self.tokens.get(client_id, 0)
        if token < highest:
            self._note(at, "order_refused", client_id=client_id, token=token, highest=highest)
            raise FencedOut(token, highest)
        self.tokens[client_id] = token

    def known(self, client_id: str, client_order_id: str) -> Order | None:
        """Give the order already placed under the client's own id."""
        order_id = self._by_client_id.get((client_id, client_order_id))
        return self.orders[order_id] if order_id else None

    def place(self, order: Order, price: float) -> Order:
        """Take the order in; a market order is filled at once."""
        self.fence(order.client_id, order.fencing_token, order.created_at)
        self.orders[order.id] = order
        self._by_client_id[(order.client_id, order.client_order_id)] = order.id
        self._note(order.created_at, "order_accepted", **asdict(order))
        if crosses(order, price):
            self._fill(order, price, order.created_at)
        return order

    def match(self, prices: dict[str, float], at: float) -> None:
        """Fill every open order that the prices have reached."""
        for order in [one for one in self.orders.values() if one.status == "open"]:
            if crosses(order, prices[order.symbol]):
                self._fill(order, prices[order.symbol], at)

    def cancel(self, order_id: str, at: float) -> Order:
        """Cancel an order; one that is no longer open stays as it is. KeyError when unknown."""
        order = self.orders[order_id]
        if order.status == "open":
            order.status, order.closed_at = "cancelled", at
            self._note(at, "order_cancelled", id=order.id, client_id=order.client_id)
        return order

    def close(self, client_id: str, symbol: str, price: float, at: float) -> Position:
        """Close a position at market and give what it was. KeyError when there is none."""
        position = self.positions.pop((client_id, symbol))
        self._note(
            at,
            "position_closed",
            client_id=client_id,
            symbol=symbol,
            quantity=position.quantity,
            entry_price=position.entry_price,
            price=price,
        )
        return position

    def _fill(self, order: Order, price: float, at: float) -> None:
        order.status, order.fill_price, order.closed_at = "filled", price, at
        self._note(at, "order_filled", id=order.id, client_id=order.client_id, price=price)
        signed = order.quantity if order.side == "buy" else -order.quantity
        self._move(order.client_id, order.symbol, signed, price)

    def _move(self, client_id: str, symbol: str, signed: float, price: float) -> None:
        held = self.positions.get((client_id, symbol))
        before, entry = (held.quantity, held.entry_price) if held else (0.0, price)
        after = round(before + signed, 12)
        if after == 0:
            self.positions.pop((client_id, symbol), None)
            return
        if before * signed > 0:
            entry = (entry * before + price * signed) / after
        elif before * after < 0:
            entry = price
        self.positions[(client_id, symbol)] = Position(client_id, symbol, after, entry)

    def _note(self, at: float, event: str, **what: Any) -> None:
        # The cap only guards the memory: a full log refuses to forget the past.
        if len(self.log) >= LOG_LIMIT:
            raise RuntimeError(f"the order log is full at {LOG_LIMIT} lines: restart the exchange")
        self.log.append({"seq": len(self.log) + 1, "time": at, "event": event, **what})
