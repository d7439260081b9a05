"""The command for the database: consistent copies, replacing without a trace, honest readings."""

import io
import json
import sqlite3
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest
from breakout_bot import control, data
from breakout_bot.database import Database
from breakout_bot.schema import SCHEMA_VERSION
from breakout_bot.states import Command

HUGE = str(1 << 60)


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SCRATCH", tmp_path / "scratch.sqlite3")
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / data.FILE


@pytest.fixture
def database(path):
    made = Database(path)
    made.now(lambda db: control.create(db, "balanced", "paper"))
    yield made
    made.close()


class Streams:
    """Standard input and output as bytes."""

    def __init__(self, monkeypatch, given=b""):
        self.out = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(given)))
        monkeypatch.setattr(
            sys, "stdout", SimpleNamespace(buffer=self.out, write=lambda text: self._write(text))
        )

    def _write(self, text):
        self.out.write(text.encode())


def ran(path, *words):
    return data.main(["--file", str(path), *words])


def state(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT state, reason FROM control").fetchone()


def test_a_snapshot_has_what_was_written_last_and_leaves_nothing_beside(
    database, path, tmp_path, monkeypatch
):
    database.now(lambda db: db.execute("INSERT INTO notes VALUES ('a', 'b')"))
    assert path.with_name(f"{path.name}-wal").stat().st_size  # what a plain copy would miss
    for name in (".snapshot", ".snapshot-journal"):  # of a version before
        (path.parent / name).write_bytes(b"SQLite")
    streams = Streams(monkeypatch)
    assert ran(path, "snapshot", "--free", HUGE) == 0
    copy = tmp_path / "received"
    copy.write_bytes(streams.out.getvalue())
    assert data.describe(copy)["rows"]["notes"] == 1
    assert not list(path.parent.glob(".*"))


def test_a_snapshot_of_a_damaged_file_is_the_file_as_it_is(path, monkeypatch):
    path.write_bytes(b"SQLite format 3\0 but damaged" * 1000)
    streams = Streams(monkeypatch)
    assert ran(path, "snapshot", "--free", HUGE) == 0
    assert streams.out.getvalue() == path.read_bytes()


def test_no_database_is_made_by_a_look_at_none(path, capsys):
    assert ran(path, "exists") == data.MISSING
    assert ran(path, "snapshot", "--free", HUGE) == 1
    assert "there is no database" in capsys.readouterr().err
    assert ran(path, "schema") == 1
    assert "unable to open" in capsys.readouterr().err
    assert not list(path.parent.iterdir())


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    "words", [("--free", HUGE, "--reserve", HUGE), ("--free", "1000"), ("--free", "0")]
)
def test_a_copy_that_would_fill_the_disk_is_not_begun(path, capsys, words):
    assert ran(path, "snapshot", *words) == 1
    assert "MB free for a copy, got" in capsys.readouterr().err
    assert not data.SCRATCH.exists()


@pytest.mark.usefixtures("database")
def test_a_copy_lands_in_the_folder_that_is_named(path, tmp_path):
    assert ran(path, "copy", str(tmp_path)) == 0
    assert data.describe(tmp_path / data.FILE)["rows"]["control"] == 1


def replaced(path, content, monkeypatch, size=None):
    Streams(monkeypatch, content)
    return ran(path, "replace", str(len(content) if size is None else size))


def test_a_database_is_replaced_without_the_log_of_the_former_one(path, tmp_path, monkeypatch):
    Database(path).close()
    other = tmp_path / "other.sqlite3"
    Database(other).close()
    with closing(sqlite3.connect(other)) as db, db:
        db.execute("INSERT INTO notes VALUES ('from', 'backup')")
        db.execute("PRAGMA journal_mode=DELETE")
    for end in data.BESIDE:
        path.with_name(f"{path.name}{end}").write_bytes(b"of the former one")
    assert replaced(path, other.read_bytes(), monkeypatch) == 0
    assert [one.name for one in path.parent.iterdir()] == [data.FILE]
    assert data.describe(path)["rows"]["notes"] == 1


@pytest.mark.usefixtures("database")
def test_what_is_cut_off_on_its_way_replaces_nothing(path, monkeypatch, capsys):
    before = {one: one.read_bytes() for one in path.parent.iterdir()}
    assert replaced(path, b"SQLite format 3", monkeypatch, size=1000) == 1
    assert "cut off; what was there stays" in capsys.readouterr().err
    assert {one: one.read_bytes() for one in path.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("now", "then", "after"),
    [
        ([Command.EMERGENCY_STOP], [Command.START], "EMERGENCY"),
        ([], [Command.START], "IDLE"),
        ([Command.START, Command.PAUSE], [Command.START], "PAUSED"),
        ([Command.START], [Command.EMERGENCY_STOP], "EMERGENCY"),
        ([Command.START], [], "IDLE"),
    ],
)
def test_restored_data_make_an_engine_no_more_active(path, tmp_path, monkeypatch, now, then, after):
    other = tmp_path / "other.sqlite3"
    for place, commands in ((path, now), (other, then)):
        made = Database(place)
        made.now(lambda db: control.create(db, "balanced", "paper"))
        for command in commands:
            made.now(lambda db, one=command, at=place: control.apply(db, one, at.name))
        made.close()
    with closing(sqlite3.connect(other)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
    assert replaced(path, other.read_bytes(), monkeypatch) == 0
    assert state(path)[0] == after


def test_data_replace_a_database_that_cannot_be_read(path, tmp_path, monkeypatch):
    other = tmp_path / "other.sqlite3"
    Database(other).close()
    with closing(sqlite3.connect(other)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
    path.write_bytes(b"damaged" * 1000)
    assert replaced(path, other.read_bytes(), monkeypatch) == 0
    assert data.describe(path)["schema"] == SCHEMA_VERSION


def read(path, command, capsys):
    assert ran(path, command) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("database")
def test_readings_are_json(path, capsys):
    assert ran(path, "exists") == 0
    assert read(path, "schema", capsys) == SCHEMA_VERSION
    assert read(path, "known-schema", capsys) == SCHEMA_VERSION
    assert read(path, "orders", capsys) == []
    described = read(path, "describe", capsys)
    assert described["schema"] == SCHEMA_VERSION
    assert described["rows"].items() >= {"control": 1, "orders": 0}.items()


def test_settled_are_all_tables_but_those_that_the_bot_writes_by_itself(database, path, capsys):
    database.now(lambda db: db.execute("CREATE TABLE extra (x)"))
    assert set(read(path, "settled", capsys)) == {"presets", "extra", "schema"}
    with closing(sqlite3.connect(path)) as db:
        assert set(data._tables(db)) >= data.BY_ITSELF


@pytest.mark.parametrize("content", [b"SQLite format 3\0 but damaged" * 1000, b"x" * 4096])
def test_a_file_that_is_not_sound_is_told_apart(path, capsys, content):
    path.write_bytes(content)
    assert ran(path, "describe") == data.UNSOUND
    assert "cannot be read" in capsys.readouterr().err
