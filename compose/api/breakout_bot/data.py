"""Copy, replace and read the database from outside: python -m breakout_bot.data COMMAND.

For backups, restores and audits, whether or not the bot runs:

    docker compose run --rm --no-deps breakout-bot-api python -m breakout_bot.data describe

Only Python's own library, of 3.11: a checkout runs this text also by the Python of a release that
is older than the command, and of the host.
"""

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = "breakout-bot.sqlite3"
SCRATCH = Path("/tmp/copy.sqlite3")  # noqa: S108 (the container's)
BESIDE = ("-wal", "-shm", "-journal")
"""Endings of the files that SQLite keeps beside a database."""
RECEIVED = ".restored"
LOCK_SECONDS = 10.0
MISSING, UNSOUND = 9, 3
"""Exit codes of `exists` for no database, of `describe` for one that cannot be used."""
BY_ITSELF = frozenset({"probes", "notes", "signals", "trades", "positions", "orders", "control"})
"""Tables that the bot changes without being told."""
LEAST_ACTIVE_FIRST = ("EMERGENCY", "IDLE", "PAUSED", "RUNNING")


class DataError(Exception):
    """The command cannot be carried out; the sentence says why."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


def check_room(folder: Path, size: int, reserve: int, free: int | None = None) -> None:
    """Raise `DataError` unless a copy fits: a disk that a backup fills is full for the bot, too."""
    free = shutil.disk_usage(folder).free if free is None else free
    if free < size + reserve:
        raise DataError(
            f"expected {size + reserve >> 20} MB free for a copy, got {free >> 20} MB:"
            " give some back, see docs/runbooks/disk-full.md"
        )


def copy(path: Path, to: Path) -> Path:
    """Copy a database by SQLite's backup, also while it is written; the path of what to read.

    That is the file itself where it is not sound: whoever receives it looks.
    """
    if not path.is_file():
        raise DataError(f"there is no database at {path}")
    try:
        with (
            contextlib.closing(_opened(path)) as live,
            contextlib.closing(sqlite3.connect(to)) as new,
        ):
            new.execute("PRAGMA synchronous=OFF")
            live.backup(new)
            new.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        return path
    return to


def _opened(path: Path, mode: str = "rw") -> sqlite3.Connection:
    # Not "ro" where the bot may run: a database in WAL mode is read by way of an index beside it.
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS)


def snapshot(path: Path, free: int, reserve: int) -> None:
    """Write a consistent copy to standard output. `free` bytes are left where that leads."""
    for end in ("", *BESIDE):  # of a version that copied beside the live file
        path.with_name(f".snapshot{end}").unlink(missing_ok=True)
    parts = (path, path.with_name(f"{path.name}-wal"))
    size = sum(part.stat().st_size for part in parts if part.is_file())
    check_room(SCRATCH.parent, 2 * size, reserve)  # most often that is the same disk
    check_room(SCRATCH.parent, 2 * size, reserve, free)
    with copy(path, SCRATCH).open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)


def replace(path: Path, size: int, reserve: int) -> None:
    """Replace the database by `size` bytes of standard input; the bot must be stopped.

    The engine is then no more active than it was, and no log of the former database stays.
    """
    new = path.with_name(RECEIVED)
    for end in ("", *BESIDE):
        new.with_name(f"{RECEIVED}{end}").unlink(missing_ok=True)
    check_room(path.parent, size, reserve)
    with new.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    if new.stat().st_size != size:
        new.unlink()
        raise DataError(f"expected {size} bytes, but they were cut off; what was there stays")
    keep_engine_down(path, new)
    with new.open("rb") as file:
        os.fsync(file.fileno())
    for end in BESIDE:
        path.with_name(f"{path.name}{end}").unlink(missing_ok=True)
    new.replace(path)
    os.sync()


def keep_engine_down(present: Path, new: Path) -> None:
    """Let the new database's engine be no more active than the present one's."""
    now, then = _engine(present), _engine(new)
    if not now or not then:
        return
    if LEAST_ACTIVE_FIRST.index(now[0]) < LEAST_ACTIVE_FIRST.index(then[0]):
        with contextlib.closing(sqlite3.connect(new)) as data, data:
            data.execute(
                "UPDATE control SET version = version + 1, state = ?, liquidating = ?,"
                " started_at = ?, reason = ?",
                now,
            )


def _engine(path: Path) -> tuple[Any, ...] | None:
    """What a database says of the engine; None where it says nothing or cannot be read."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_opened(path)) as data:
        row: tuple[Any, ...] | None = data.execute(
            "SELECT state, liquidating, started_at, reason FROM control"
        ).fetchone()
        return row
    return None


def schema(path: Path) -> int:
    """Give the schema version of a database."""
    with contextlib.closing(_opened(path)) as data:
        return int(data.execute("PRAGMA user_version").fetchone()[0])


def describe(path: Path) -> dict[str, Any]:
    """Give schema version and row counts. Raises `DataError` for what is not sound."""
    try:
        with contextlib.closing(_opened(path, "ro")) as data:
            (sound,) = data.execute("PRAGMA integrity_check").fetchone()
            (version,) = data.execute("PRAGMA user_version").fetchone()
            rows = {
                name: data.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608
                for name in _tables(data)
            }
    except sqlite3.Error as error:
        raise DataError(f"cannot be read: {error}", UNSOUND) from None
    if sound != "ok":
        raise DataError(f"is not sound: {sound}", UNSOUND)
    return {"schema": version, "rows": rows}


def _tables(data: sqlite3.Connection) -> list[str]:
    found = data.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return sorted(name for (name,) in found)


def orders(path: Path) -> list[dict[str, Any]]:
    """Give every order, as its row has it."""
    with contextlib.closing(_opened(path)) as data:
        data.row_factory = sqlite3.Row
        return [dict(row) for row in data.execute("SELECT * FROM orders")]


def settled(path: Path) -> dict[str, Any]:
    """Give the schema, and every row of the tables that change only when the bot is told to."""
    with contextlib.closing(_opened(path)) as data:
        rows = {
            name: data.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608
            for name in _tables(data)
            if name not in BY_ITSELF
        }
    return {**rows, "schema": schema(path)}


def known_schema() -> int:
    """Give the schema version that this version works with."""
    # Not on the host; by the one module in which every release has had it.
    from breakout_bot.database import SCHEMA_VERSION  # type: ignore[attr-defined]

    return int(SCHEMA_VERSION)


READERS: dict[str, Callable[[Path], Any]] = {
    "schema": schema,
    "describe": describe,
    "orders": orders,
    "settled": settled,
    "known-schema": lambda _: known_schema(),
}
"""Commands that print what they read, as JSON."""


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, carry it out; 1 with a sentence on standard error when it cannot."""
    parser = argparse.ArgumentParser(prog="python -m breakout_bot.data")
    folder = os.environ.get("DATA_DIR", "").strip() or "/data"
    parser.add_argument("--file", type=Path, default=Path(folder, FILE), help="default: DATA_DIR's")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("exists", *READERS):
        commands.add_parser(name)
    taking = commands.add_parser("snapshot", help="a consistent copy, to standard output")
    taking.add_argument("--free", type=int, required=True, help="bytes left where that leads")
    copying = commands.add_parser("copy", help="a consistent copy, to a file or folder")
    copying.add_argument("to", type=Path)
    putting = commands.add_parser("replace", help="by standard input; the bot must be stopped")
    putting.add_argument("size", type=int, help="bytes to expect")
    for one in (taking, putting):
        one.add_argument("--reserve", type=int, default=0, help="bytes that have to stay free")
    wanted = parser.parse_args(arguments)
    try:
        return _carry_out(wanted)
    except DataError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    except sqlite3.Error as error:
        sys.stderr.write(f"{wanted.file}: {error}\n")
        return 1


def _carry_out(wanted: argparse.Namespace) -> int:
    if wanted.command == "exists":
        return 0 if wanted.file.exists() else MISSING
    if wanted.command == "snapshot":
        snapshot(wanted.file, wanted.free, wanted.reserve)
    elif wanted.command == "copy":
        copy(wanted.file, wanted.to / FILE if wanted.to.is_dir() else wanted.to)
    elif wanted.command == "replace":
        replace(wanted.file, wanted.size, wanted.reserve)
    else:
        sys.stdout.write(json.dumps(READERS[wanted.command](wanted.file), default=str) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
