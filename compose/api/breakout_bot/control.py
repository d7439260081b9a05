"""The engine's control record: kept in the database, so that it holds over restarts.

Two API containers of one deployment share the file, so the file and not a process's memory says
which state the engine is in.
"""

import sqlite3
import time
from dataclasses import dataclass

from breakout_bot.database import transaction
from breakout_bot.states import TRADING, Command, State, next_state


@dataclass(frozen=True, slots=True)
class Control:
    """What the engine was last told; the version grows with every change."""

    version: int
    state: State
    preset: str
    mode: str
    started_at: float | None
    liquidating: bool
    reason: str


def _read(connection: sqlite3.Connection) -> Control:
    row = connection.execute("SELECT * FROM control WHERE id = 1").fetchone()
    return Control(
        version=int(row["version"]),
        state=State(row["state"]),
        preset=row["preset"],
        mode=row["mode"],
        started_at=row["started_at"],
        liquidating=bool(row["liquidating"]),
        reason=row["reason"],
    )


def read(connection: sqlite3.Connection) -> Control:
    """Read the record."""
    return _read(connection)


def create(connection: sqlite3.Connection, preset: str, mode: str) -> Control:
    """Make the record of a new deployment, IDLE, unless there is one."""
    with transaction(connection):
        connection.execute(
            "INSERT OR IGNORE INTO control VALUES (1, 1, ?, ?, ?, NULL, 0, 'new deployment')",
            (State.IDLE.value, preset, mode),
        )
    return _read(connection)


def apply(
    connection: sqlite3.Connection,
    command: Command,
    reason: str,
    preset: str | None = None,
    mode: str | None = None,
) -> Control:
    """Carry out a command on the record, or raise WrongState and change nothing."""
    with transaction(connection):
        before = _read(connection)
        state = next_state(before.state, command)
        started_at = before.started_at if state in TRADING else None
        if command is Command.START:
            started_at = time.time()
        liquidating = before.liquidating or command in (Command.STOP, Command.EMERGENCY_STOP)
        connection.execute(
            "UPDATE control SET version = version + 1, state = ?, preset = ?, mode = ?,"
            " started_at = ?, liquidating = ?, reason = ? WHERE id = 1",
            (
                state.value,
                preset or before.preset,
                mode or before.mode,
                started_at,
                liquidating,
                reason,
            ),
        )
        return _read(connection)


def liquidated(connection: sqlite3.Connection) -> Control:
    """Note that nothing is left to cancel or close."""
    with transaction(connection):
        connection.execute("UPDATE control SET version = version + 1, liquidating = 0 WHERE id = 1")
        return _read(connection)
