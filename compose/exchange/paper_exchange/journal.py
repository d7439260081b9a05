"""The order log on disk: lines are added and never changed, and survive kill -9 and a recreate.

SQLite in WAL mode takes a line in some 30 µs, so it is written where the order is decided: what the
exchange has answered is in the log.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    seq INTEGER PRIMARY KEY, time REAL NOT NULL, event TEXT NOT NULL, body TEXT NOT NULL
);
CREATE TRIGGER IF NOT EXISTS log_is_never_changed BEFORE UPDATE ON log
    BEGIN SELECT RAISE(ABORT, 'the order log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS log_is_never_cut BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'the order log is append-only'); END;
CREATE TABLE IF NOT EXISTS prices (symbol TEXT PRIMARY KEY, price REAL NOT NULL);
"""

Entry = dict[str, Any]


def _entry(row: tuple[int, float, str, str]) -> Entry:
    return {"seq": row[0], "time": row[1], "event": row[2], **json.loads(row[3])}


class Journal:
    """One file; `:memory:` keeps nothing."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)

    @property
    def last_seq(self) -> int:
        """Number of the newest line; 0 for an empty log."""
        return int(self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM log").fetchone()[0])

    def append(self, time: float, event: str, body: dict[str, Any]) -> Entry:
        """Add one line and give it back with its number."""
        written = self._db.execute(
            "INSERT INTO log (time, event, body) VALUES (?, ?, ?)", (time, event, json.dumps(body))
        )
        return {"seq": written.lastrowid, "time": time, "event": event, **body}

    def every(self) -> Iterator[Entry]:
        """Give all lines, oldest first."""
        yield from map(_entry, self._db.execute("SELECT * FROM log ORDER BY seq"))

    def after(self, seq: int, limit: int) -> list[Entry]:
        """Give the lines after a number, oldest first."""
        query = "SELECT * FROM log WHERE seq > ? ORDER BY seq LIMIT ?"
        return [_entry(row) for row in self._db.execute(query, (seq, limit))]

    def save_prices(self, prices: dict[str, float]) -> None:
        """Remember the prices, so that a restart does not make the market jump."""
        self._db.executemany("REPLACE INTO prices VALUES (?, ?)", prices.items())

    def prices(self) -> dict[str, float]:
        """Give the prices last remembered."""
        return dict(self._db.execute("SELECT symbol, price FROM prices").fetchall())

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
