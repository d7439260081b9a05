"""Take the database to another schema: python -m breakout_bot.migrate --to N.

Run by the version that made the newer schema, with the bot stopped, before an older one is started:

    docker compose stop breakout-bot-api
    docker compose run --rm --no-deps breakout-bot-api python -m breakout_bot.migrate --to 1

Going down drops what the older version has no place for. Back up first.
"""

import argparse
import os
import sqlite3
import sys
from pathlib import Path

from breakout_bot.data import FILE
from breakout_bot.database import DatabaseError
from breakout_bot.schema import SCHEMA_VERSION, migrate, version


def _open_alone(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise DatabaseError(f"expected a database at {path}; set DATA_DIR or --data-dir")
    connection = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    try:
        # Leaving WAL mode is what SQLite allows to nobody but the only one who has the file open.
        connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as error:
        connection.close()
        raise DatabaseError(f"{path} is in use ({error}): stop the bot first") from None
    return connection


def change(path: Path, to: int) -> tuple[int, int]:
    """Migrate a database that nobody uses; give the version before and after."""
    connection = _open_alone(path)
    try:
        before = version(connection)
        if before > SCHEMA_VERSION:
            raise DatabaseError(
                f"{path} has schema {before}, this version knows {SCHEMA_VERSION}: "
                "run the version that made it"
            )
        migrate(connection, to)
        return before, version(connection)
    finally:
        connection.close()


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, migrate, say what was done."""
    parser = argparse.ArgumentParser(prog="python -m breakout_bot.migrate")
    folder = os.environ.get("DATA_DIR", "").strip() or "/data"
    parser.add_argument("--data-dir", type=Path, default=Path(folder), help="default: DATA_DIR")
    parser.add_argument("--to", type=int, choices=range(1, SCHEMA_VERSION + 1), required=True)
    wanted = parser.parse_args(arguments)
    try:
        before, after = change(wanted.data_dir / FILE, wanted.to)
    except (DatabaseError, sqlite3.Error) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"schema {before} -> {after}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
