"""Positions, trades and signals as the database keeps them, and what they add up to in R."""

import sqlite3
from dataclasses import dataclass

from breakout_bot.database import transaction


@dataclass(frozen=True, slots=True)
class Position:
    """An open long position with its stop and target."""

    id: str
    symbol: str
    quantity: float
    entry_price: float
    stop_price: float
    target_price: float
    opened_at: float

    def r(self, price: float) -> float:
        """Say how many times the initial risk the position is up at a price."""
        return (price - self.entry_price) / (self.entry_price - self.stop_price)


@dataclass(frozen=True, slots=True)
class Trade:
    """A closed position and its result."""

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


def add_position(connection: sqlite3.Connection, position: Position) -> None:
    """Remember a position just opened."""
    with transaction(connection):
        connection.execute(
            "INSERT INTO positions VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                position.id,
                position.symbol,
                position.quantity,
                position.entry_price,
                position.stop_price,
                position.target_price,
                position.opened_at,
            ),
        )


def close_position(
    connection: sqlite3.Connection, position: Position, price: float, at: float, reason: str
) -> None:
    """Turn a position into a trade; a second time changes nothing."""
    with transaction(connection):
        connection.execute("DELETE FROM positions WHERE id = ?", (position.id,))
        connection.execute(
            "INSERT OR IGNORE INTO trades VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                position.id,
                position.symbol,
                position.quantity,
                position.entry_price,
                price,
                position.opened_at,
                at,
                position.r(price),
                reason,
            ),
        )


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
