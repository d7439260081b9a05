"""Positions, trades and signals as the database keeps them, and what they add up to in R."""

import sqlite3
from dataclasses import dataclass

from breakout_bot.database import transaction


@dataclass(frozen=True, slots=True)
class Position:
    """An open long position with its stop and target; the fee is that of the whole entry."""

    id: str
    symbol: str
    quantity: float
    entry_price: float
    stop_price: float
    target_price: float
    opened_at: float
    opened_quantity: float
    entry_fee: float = 0.0

    def result_r(self, quantity: float, price: float, fee: float) -> float:
        """Give what selling a part brings after fees, in units of the whole initial risk."""
        risk = self.opened_quantity * (self.entry_price - self.stop_price)
        paid = fee + self.entry_fee * quantity / self.opened_quantity
        return (quantity * (price - self.entry_price) - paid) / risk

    def r(self, price: float) -> float:
        """Say how many times the initial risk the position is up at a price."""
        return (price - self.entry_price) / (self.entry_price - self.stop_price)


@dataclass(frozen=True, slots=True)
class Trade:
    """A position, or a part of one, that was sold, and its result in R after fees."""

    id: str
    symbol: str
    quantity: float
    entry_price: float
    exit_price: float
    opened_at: float
    closed_at: float
    r: float
    reason: str


def open_positions(connection: sqlite3.Connection) -> list[Position]:
    """List the open positions, oldest first."""
    rows = connection.execute("SELECT * FROM positions ORDER BY opened_at")
    return [Position(**dict(row)) for row in rows]


def _insert(connection: sqlite3.Connection, table: str, row: Position | Trade) -> None:
    names = row.__slots__
    connection.execute(
        f"INSERT INTO {table} ({', '.join(names)})"  # noqa: S608 - our own names
        f" VALUES ({', '.join('?' * len(names))})",
        [getattr(row, name) for name in names],
    )


def add_position(connection: sqlite3.Connection, position: Position) -> None:
    """Remember a position, in the caller's transaction."""
    _insert(connection, "positions", position)


def adopt_position(connection: sqlite3.Connection, position: Position) -> None:
    """Remember a position that no order of ours explains."""
    with transaction(connection):
        add_position(connection, position)


def add_trade(connection: sqlite3.Connection, trade: Trade) -> None:
    """Remember what was sold, in the caller's transaction."""
    _insert(connection, "trades", trade)


def add_signal(
    connection: sqlite3.Connection, at: float, symbol: str, price: float, level: float
) -> None:
    """Remember a breakout that was seen."""
    with transaction(connection):
        connection.execute(
            "INSERT INTO signals (at, symbol, price, level) VALUES (?, ?, ?, ?)",
            (at, symbol, price, level),
        )


def count_signals(connection: sqlite3.Connection) -> int:
    """Count all breakouts seen."""
    return int(connection.execute("SELECT COUNT(*) FROM signals").fetchone()[0])


def closed_trades(connection: sqlite3.Connection) -> list[Trade]:
    """List the closed trades, oldest first."""
    rows = connection.execute("SELECT * FROM trades ORDER BY closed_at, id")
    return [Trade(**dict(row)) for row in rows]


def last_of(connection: sqlite3.Connection, symbol: str) -> Trade | None:
    """Give the newest trade of a symbol."""
    query = "SELECT * FROM trades WHERE symbol = ? ORDER BY closed_at DESC, rowid DESC LIMIT 1"
    row = connection.execute(query, (symbol,)).fetchone()
    return Trade(**dict(row)) if row else None


def newest(connection: sqlite3.Connection) -> int:
    """Number of the newest trade: trades are only added, so the same number is the same list."""
    return int(connection.execute("SELECT MAX(rowid) FROM trades").fetchone()[0] or 0)


@dataclass(frozen=True, slots=True)
class Result:
    """What a list of results adds up to."""

    trades: int = 0
    wins: int = 0
    total_r: float = 0.0
    day_r: float = 0.0
    max_drawdown_r: float = 0.0
    consecutive_losses: int = 0
    gained_r: float = 0.0
    lost_r: float = 0.0


def summarise(results: list[tuple[float, float]], day_start: float) -> Result:
    """Add up (closed at, R) pairs, oldest first."""
    total = peak = drawdown = 0.0
    losses = 0
    for _, r in results:
        total += r
        peak = max(peak, total)
        drawdown = max(drawdown, peak - total)
        losses = losses + 1 if r < 0 else 0
    return Result(
        trades=len(results),
        wins=sum(r > 0 for _, r in results),
        total_r=total,
        day_r=sum(r for at, r in results if at >= day_start),
        max_drawdown_r=drawdown,
        consecutive_losses=losses,
        gained_r=sum(r for _, r in results if r > 0),
        lost_r=-sum(r for _, r in results if r < 0),
    )


def result(connection: sqlite3.Connection, day_start: float) -> Result:
    """Add up all closed trades."""
    rows = connection.execute("SELECT closed_at, r FROM trades ORDER BY closed_at, id")
    return summarise([(float(row[0]), float(row[1])) for row in rows], day_start)
