"""The database keeps what it was given, and notices when it cannot."""

import asyncio
import sqlite3

import pytest
from breakout_bot import control, migrate, presets, schema, trades
from breakout_bot.data import FILE
from breakout_bot.database import Database, DatabaseError, transaction
from breakout_bot.schema import SCHEMA_VERSION
from breakout_bot.states import Command, State, WrongState

POSITION = trades.Position("p", "BTCUSDT", 2.0, 100.0, 99.0, 102.0, 1000.0, 2.0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bot.sqlite3"


@pytest.fixture
def database(path):
    database = Database(path)
    yield database
    database.close()


def test_it_is_in_wal_mode_at_the_newest_schema(database):
    pragma = {name: f"PRAGMA {name}" for name in ("journal_mode", "user_version")}
    seen = {
        name: database.now(lambda db, sql=sql: db.execute(sql).fetchone()[0])
        for name, sql in pragma.items()
    }
    assert seen == {"journal_mode": "wal", "user_version": SCHEMA_VERSION}


def test_a_newer_schema_is_refused_with_what_to_do(path):
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(DatabaseError, match=r"schema 99 .* restore the backup"):
        Database(path)


def test_what_fails_inside_a_transaction_leaves_nothing(database):
    def work(db):
        with transaction(db):
            db.execute("INSERT INTO notes VALUES ('a', 'b')")
            raise sqlite3.OperationalError("planted")

    with pytest.raises(DatabaseError, match="planted"):
        database.now(work)
    assert database.now(lambda db: db.execute("SELECT COUNT(*) FROM notes").fetchone()[0]) == 0


def test_the_probe_notices_a_file_that_was_removed(database, path):
    asyncio.run(database.probe("me", 1.5, limit=2))
    path.unlink()
    with pytest.raises(DatabaseError, match="removed or replaced"):
        asyncio.run(database.probe("me", 2.5, limit=2))


def test_the_probe_notices_a_lock_that_is_never_given_back(database, path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError, match=r"within 0.2 s|locked"):
        asyncio.run(database.probe("me", 1.5, limit=0.2))
    other.close()


def test_control_survives_a_restart_and_refuses_what_the_table_refuses(path):
    first = Database(path)
    first.now(lambda db: control.create(db, "balanced", "paper"))
    first.now(lambda db: control.apply(db, Command.EMERGENCY_STOP, "drill"))
    first.close()
    second = Database(path)
    seen = second.now(lambda db: control.create(db, "other", "live"))
    assert (seen.state, seen.preset, seen.reason) == (State.EMERGENCY, "balanced", "drill")
    assert seen.liquidating
    with pytest.raises(WrongState):
        second.now(lambda db: control.apply(db, Command.START, "drill"))
    assert second.now(control.read) == seen
    second.close()


def test_a_step_down_keeps_the_trades_and_a_step_up_brings_the_rest_back(path):
    Database(path).close()
    assert migrate.change(path, 1) == (2, 1)
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO trades VALUES ('t', 'A', 1, 1, 2, 0, 1, 1.0, 'old')")
        db.execute("INSERT INTO positions VALUES ('p', 'B', 3, 1, 0.9, 2, 5)")
    db.close()
    again = Database(path)
    assert [trade.id for trade in again.now(trades.closed_trades)] == ["t"]
    (position,) = again.now(trades.open_positions)
    assert (position.quantity, position.opened_quantity) == (3, 3)
    again.close()


def test_a_database_in_use_is_not_migrated(database, path):
    with pytest.raises(DatabaseError, match="stop the bot first"):
        migrate.change(path, 1)
    assert database.now(schema.version) == SCHEMA_VERSION


def test_the_migration_command_says_what_it_did_or_what_it_wants(tmp_path, capsys):
    assert migrate.main(["--data-dir", str(tmp_path), "--to", "1"]) == 1
    assert "expected a database at" in capsys.readouterr().err
    Database(tmp_path / FILE).close()
    assert migrate.main(["--data-dir", str(tmp_path), "--to", "1"]) == 0
    assert capsys.readouterr().out == "schema 2 -> 1\n"


def test_presets_keep_what_was_changed_over_a_second_seeding(database):
    database.now(presets.seed)
    changed = presets.Preset(name="balanced", lookback=7)
    database.now(lambda db: presets.save(db, changed))
    database.now(presets.seed)
    assert database.now(lambda db: presets.find(db, "balanced")) == changed
    assert [one.name for one in database.now(presets.every)] == [
        "aggressive",
        "balanced",
        "conservative",
    ]


def test_results_add_up():
    result = trades.summarise([(10, 1.0), (20, -1.0), (110, -0.5), (120, 2.0)], day_start=100)
    assert (result.trades, result.wins, result.total_r, result.day_r) == (4, 2, 1.5, 1.5)
    assert (result.max_drawdown_r, result.consecutive_losses) == (1.5, 0)
    assert trades.summarise([(1, -1.0), (2, -1.0)], 0).consecutive_losses == 2
    assert trades.summarise([], 0) == trades.Result()
