"""What an order and a position are, and why an order may be turned away."""

from dataclasses import dataclass
from typing import Literal

Side = Literal["buy", "sell"]
OrderType = Literal["market", "limit", "stop"]
Code = Literal[
    "fenced",
    "expired",
    "unknown_symbol",
    "no_price",
    "too_small",
    "nothing_to_reduce",
    "rejected",
]
STATUS_OF: dict[Code, int] = {
    "fenced": 409,
    "expired": 410,
    "unknown_symbol": 404,
    "no_price": 422,
    "too_small": 422,
    "nothing_to_reduce": 409,
    "rejected": 422,
}
TAKER_FEE = 0.0005
MAKER_FEE = 0.0002
MINIMUM_USD = 10.0
DUST = 1e-9


class Rejected(Exception):
    """The order is not taken; the code says why to programs, the text to people."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.status = STATUS_OF[code]


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
    reduce_only: bool
    fencing_token: int
    status: Literal["open", "filled", "cancelled"]
    created_at: float
    filled_quantity: float = 0.0
    fill_price: float | None = None
    """Average over all fills."""
    fee: float = 0.0
    closed_at: float | None = None

    @property
    def remaining(self) -> float:
        """What is not filled yet."""
        return round(self.quantity - self.filled_quantity, 8)

    @property
    def signed(self) -> int:
        """1 for a buy, -1 for a sale."""
        return 1 if self.side == "buy" else -1

    def crosses(self, market: float) -> bool:
        """Tell whether the market's price fills the order."""
        if self.type == "market" or self.price is None:
            return True
        falling = (self.type == "limit") == (self.side == "buy")
        return market <= self.price if falling else market >= self.price

    def take(self, quantity: float, price: float, fee: float) -> None:
        """Add one fill."""
        filled = self.filled_quantity + quantity
        before = self.filled_quantity * (self.fill_price or 0.0)
        self.fill_price = round((before + quantity * price) / filled, 8)
        self.filled_quantity = round(filled, 8)
        self.fee = round(self.fee + fee, 8)


@dataclass(slots=True)
class Position:
    """What one client holds of one symbol; a negative quantity is short."""

    client_id: str
    symbol: str
    quantity: float
    entry_price: float

    def add(self, signed: float, price: float) -> None:
        """Buy (above 0) or sell (below 0) some more."""
        before, after = self.quantity, round(self.quantity + signed, 8)
        if before * signed > 0:
            self.entry_price = (self.entry_price * before + price * signed) / after
        elif before * after < 0:
            self.entry_price = price
        self.quantity = after
