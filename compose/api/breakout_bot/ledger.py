"""The order ledger: every order is written down before it is sent, and settled once.

An answer that is lost (a hang, a cut, kill -9) leaves a row that is still `sent`; the exchange is
then asked under the order's own id, so no fill is forgotten and none is counted twice.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

from breakout_bot.database import transaction
from breakout_bot.trades import Position, Trade, add_position, add_trade

DUST = 1e-9
Kind = Literal["entry", "exit", "flatten"]
Order = dict[str, Any]
"""An order as the exchange gives it."""


@dataclass(frozen=True, slots=True)
class Intent:
    """An order that is about to be sent; an entry carries the plan for its position."""

    client_order_id: str
    position_id: str
    symbol: str
    side: Literal["buy", "sell"]
    kind: Kind
    quantity: float
    sent_at: float
    valid_until: float
    """By the exchange's clock; later it is not taken any more."""
    reason: str
    stop_percent: float | None = None
    target_r: float | None = None


_COLUMNS = tuple(Intent.__slots__)
_INSERT = (
    f"INSERT OR IGNORE INTO orders ({', '.join(_COLUMNS)}, status)"  # noqa: S608 - our own names
    f" VALUES ({', '.join(':' + name for name in _COLUMNS)}, 'sent')"
)


def _insert(connection: sqlite3.Connection, intent: Intent) -> None:
    connection.execute(_INSERT, {name: getattr(intent, name) for name in _COLUMNS})


def send(connection: sqlite3.Connection, intent: Intent) -> None:
    """Write down that the order is about to be sent."""
    with transaction(connection):
        _insert(connection, intent)


def pending(connection: sqlite3.Connection) -> list[Intent]:
    """List the orders whose end is not known, oldest first."""
    rows = connection.execute("SELECT * FROM orders WHERE status = 'sent' ORDER BY sent_at")
    return [Intent(**{name: row[name] for name in _COLUMNS}) for row in rows]


def refuse(connection: sqlite3.Connection, client_order_id: str, reason: str, at: float) -> None:
    """Note that the exchange did not take the order."""
    with transaction(connection):
        connection.execute(
            "UPDATE orders SET status = 'refused', reason = ?, closed_at = ?"
            " WHERE client_order_id = ? AND status = 'sent'",
            (reason, at, client_order_id),
        )


def settle(connection: sqlite3.Connection, intent: Intent, order: Order, at: float) -> bool:
    """Note how the order ended and change the position; False when that was done already."""
    with transaction(connection):
        return _settle(connection, intent, order, at)


def _settle(connection: sqlite3.Connection, intent: Intent, order: Order, at: float) -> bool:
    ended = connection.execute(
        "UPDATE orders SET status = ?, exchange_id = ?, filled_quantity = ?, fill_price = ?,"
        " fee = ?, closed_at = ? WHERE client_order_id = ? AND status = 'sent'",
        (
            order["status"],
            order["id"],
            order["filled_quantity"],
            order["fill_price"],
            order["fee"],
            at,
            intent.client_order_id,
        ),
    )
    if not ended.rowcount:
        return False
    if order["filled_quantity"] > DUST:
        change = _open if intent.kind == "entry" else _reduce
        change(connection, intent, order, at)
    return True


def _open(connection: sqlite3.Connection, intent: Intent, order: Order, at: float) -> None:
    price, quantity = float(order["fill_price"]), float(order["filled_quantity"])
    risk = price * (intent.stop_percent or 0) / 100
    add_position(
        connection,
        Position(
            id=intent.position_id,
            symbol=intent.symbol,
            quantity=quantity,
            entry_price=price,
            stop_price=price - risk,
            target_price=price + risk * (intent.target_r or 0),
            opened_at=at,
            opened_quantity=quantity,
            entry_fee=float(order["fee"]),
        ),
    )


def _reduce(connection: sqlite3.Connection, intent: Intent, order: Order, at: float) -> None:
    row = connection.execute(
        "SELECT * FROM positions WHERE id = ?", (intent.position_id,)
    ).fetchone()
    if row is None:
        return
    position, sold = Position(**dict(row)), float(order["filled_quantity"])
    price, fee = float(order["fill_price"]), float(order["fee"])
    left = round(position.quantity - sold, 8)
    if left > DUST:
        connection.execute("UPDATE positions SET quantity = ? WHERE id = ?", (left, position.id))
    else:
        connection.execute("DELETE FROM positions WHERE id = ?", (position.id,))
    add_trade(
        connection,
        Trade(
            id=intent.client_order_id,
            symbol=position.symbol,
            quantity=sold,
            entry_price=position.entry_price,
            exit_price=price,
            opened_at=position.opened_at,
            closed_at=at,
            r=position.result_r(sold, price, fee),
            reason=intent.reason,
        ),
    )


def flattened(connection: sqlite3.Connection, orders: list[Order], reason: str, at: float) -> None:
    """Note the orders with which the exchange closed what was held; known ones change nothing."""
    with transaction(connection):
        held = connection.execute("SELECT symbol, id FROM positions")
        ids = dict(map(tuple, held.fetchall()))
        for order in orders:
            intent = Intent(
                client_order_id=order["client_order_id"],
                position_id=ids.get(order["symbol"], ""),
                symbol=order["symbol"],
                side=order["side"],
                kind="flatten",
                quantity=order["quantity"],
                sent_at=at,
                valid_until=at,
                reason=reason,
            )
            _insert(connection, intent)
            _settle(connection, intent, order, at)


def dissolve(
    connection: sqlite3.Connection, position: Position, price: float, reason: str, at: float
) -> None:
    """End a position that the exchange does not hold, at the last known price."""
    order = {"filled_quantity": position.quantity, "fill_price": price, "fee": 0.0}
    intent = Intent(
        client_order_id=f"{position.id}-gone",
        position_id=position.id,
        symbol=position.symbol,
        side="sell",
        kind="exit",
        quantity=position.quantity,
        sent_at=at,
        valid_until=at,
        reason=reason,
    )
    with transaction(connection):
        _reduce(connection, intent, order, at)
