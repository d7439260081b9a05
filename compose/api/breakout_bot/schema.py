"""The database's schema, step by step, each with its way back.

A newer version of the bot migrates up by itself when it starts. An older version refuses a newer
schema, so before a rollback the newer one takes its steps back: `python -m breakout_bot.migrate`.
"""

import sqlite3
from typing import NamedTuple


class Step(NamedTuple):
    """From one schema version to the next, and back."""

    up: str
    down: str


STEPS = (
    Step(
        up="""
        CREATE TABLE control (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            version INTEGER NOT NULL, state TEXT NOT NULL, preset TEXT NOT NULL, mode TEXT NOT NULL,
            started_at REAL, liquidating INTEGER NOT NULL, reason TEXT NOT NULL
        );
        CREATE TABLE positions (
            id TEXT PRIMARY KEY, symbol TEXT NOT NULL UNIQUE, quantity REAL NOT NULL,
            entry_price REAL NOT NULL, stop_price REAL NOT NULL, target_price REAL NOT NULL,
            opened_at REAL NOT NULL
        );
        CREATE TABLE trades (
            id TEXT PRIMARY KEY, symbol TEXT NOT NULL, quantity REAL NOT NULL,
            entry_price REAL NOT NULL, exit_price REAL NOT NULL, opened_at REAL NOT NULL,
            closed_at REAL NOT NULL, r REAL NOT NULL, reason TEXT NOT NULL
        );
        CREATE INDEX trades_closed_at ON trades (closed_at);
        CREATE TABLE signals (
            id INTEGER PRIMARY KEY, at REAL NOT NULL, symbol TEXT NOT NULL, price REAL NOT NULL,
            level REAL NOT NULL
        );
        CREATE TABLE presets (name TEXT PRIMARY KEY, body TEXT NOT NULL);
        CREATE TABLE notes (name TEXT PRIMARY KEY, body TEXT NOT NULL);
        CREATE TABLE probes (instance TEXT PRIMARY KEY, at REAL NOT NULL);
        """,
        down="""
        DROP TABLE control; DROP TABLE positions; DROP TABLE trades; DROP TABLE signals;
        DROP TABLE presets; DROP TABLE notes; DROP TABLE probes;
        """,
    ),
    Step(  # every order is written down before it is sent; results are after fees
        up="""
        CREATE TABLE orders (
            client_order_id TEXT PRIMARY KEY, exchange_id TEXT, position_id TEXT,
            symbol TEXT NOT NULL, side TEXT NOT NULL, kind TEXT NOT NULL, quantity REAL NOT NULL,
            stop_percent REAL, target_r REAL, reason TEXT NOT NULL,
            sent_at REAL NOT NULL, valid_until REAL NOT NULL, status TEXT NOT NULL,
            filled_quantity REAL NOT NULL DEFAULT 0, fill_price REAL, fee REAL NOT NULL DEFAULT 0,
            closed_at REAL
        );
        CREATE INDEX orders_pending ON orders (status) WHERE status = 'sent';
        CREATE INDEX trades_symbol ON trades (symbol, closed_at);
        ALTER TABLE positions ADD COLUMN opened_quantity REAL NOT NULL DEFAULT 0;
        ALTER TABLE positions ADD COLUMN entry_fee REAL NOT NULL DEFAULT 0;
        UPDATE positions SET opened_quantity = quantity;
        """,
        down="""
        DROP TABLE orders;
        DROP INDEX trades_symbol;
        ALTER TABLE positions DROP COLUMN opened_quantity;
        ALTER TABLE positions DROP COLUMN entry_fee;
        """,
    ),
)
SCHEMA_VERSION = len(STEPS)


def version(connection: sqlite3.Connection) -> int:
    """Give the schema version that the file has; 0 for a new one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, to: int = SCHEMA_VERSION) -> None:
    """Go up or down to a version this code knows; each step happens as a whole or not at all."""
    while (now := version(connection)) != to:
        script, after = (STEPS[now].up, now + 1) if now < to else (STEPS[now - 1].down, now - 1)
        # executescript commits first, so the script carries its own transaction.
        whole = f"BEGIN IMMEDIATE;{script};PRAGMA user_version={after};COMMIT;"
        try:
            connection.executescript(whole)
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
