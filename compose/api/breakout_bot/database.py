"""SQLite in WAL mode, used from one worker thread so that the event loop never waits for a disk.

The library is Python's own sqlite3: aiosqlite would add the same one thread a connection without a
time limit on what waits in it, and an SQL toolkit would hide BEGIN IMMEDIATE, user_version and the
WAL pragmas, which are the whole of what safety needs here.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from breakout_bot.schema import SCHEMA_VERSION, migrate, version

T = TypeVar("T")
LIMIT_SECONDS = 2.0


class DatabaseError(Exception):
    """The database cannot be used; the sentence says why."""


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Hold the write lock for a block: all of it happens, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _upgrade(connection: sqlite3.Connection) -> None:
    found = version(connection)
    if found > SCHEMA_VERSION:
        raise DatabaseError(
            f"the database has schema {found} and this version knows {SCHEMA_VERSION}: "
            f"run the newer version, or let it go back first (python -m breakout_bot.migrate --to "
            f"{SCHEMA_VERSION}), or restore the backup made before the update"
        )
    migrate(connection)


class Database:
    """One file, one connection, one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database")
        try:
            self._connection = self._thread.submit(self._open).result(30)
            self._inode = path.stat().st_ino
        except (OSError, sqlite3.Error, TimeoutError) as error:
            self._thread.shutdown(wait=False)
            raise DatabaseError(
                f"DATA_DIR {path.parent} cannot hold the database ({error}): "
                "expected a folder that this user may write to; set DATA_DIR or its owner"
            ) from None
        except DatabaseError:
            self._thread.shutdown(wait=False)
            raise

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=1.0)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA busy_timeout=10000")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            _upgrade(connection)
            connection.execute("PRAGMA busy_timeout=1000")
        except BaseException:
            connection.close()
            raise
        return connection

    def now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the work and wait for it; for the start of the process, before there is a loop."""
        try:
            return self._thread.submit(work, self._connection).result(10)
        except (sqlite3.Error, TimeoutError) as error:
            raise DatabaseError(f"the database failed at the start: {error!r}") from None

    async def run(
        self, work: Callable[[sqlite3.Connection], T], *, limit: float = LIMIT_SECONDS
    ) -> T:
        """Do the work on the connection in the database's thread, within a time limit."""
        loop = asyncio.get_running_loop()
        job = loop.run_in_executor(self._thread, work, self._connection)
        try:
            async with asyncio.timeout(limit):
                return await job
        except TimeoutError:
            raise DatabaseError(f"the database did not answer within {limit:g} s") from None
        except sqlite3.Error as error:
            raise DatabaseError(f"the database failed: {error}") from None

    async def probe(self, instance: str, now: float, *, limit: float) -> None:
        """Write, read back, and make sure that the file is still the one that was opened."""

        def work(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.execute("REPLACE INTO probes VALUES (?, ?)", (instance, now))
            row = connection.execute("SELECT at FROM probes WHERE instance = ?", (instance,))
            if float(row.fetchone()[0]) != now:
                raise sqlite3.DatabaseError("a row read back is not the row written")
            if not self.path.exists() or self.path.stat().st_ino != self._inode:
                raise sqlite3.DatabaseError("the file was removed or replaced while in use")

        await self.run(work, limit=limit)

    def close(self) -> None:
        """Close the file; give up after a moment when the disk hangs."""
        with contextlib.suppress(TimeoutError, sqlite3.Error):
            self._thread.submit(self._connection.close).result(2)
        self._thread.shutdown(wait=False, cancel_futures=True)
