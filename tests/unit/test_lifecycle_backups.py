"""Backups without Docker: which are kept, what a killed command leaves, what scripts refuse."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from compose.lifecycle import __main__ as command
from compose.lifecycle import (
    archives,
    backups,
    journal,
    owner,
    recovery,
    releases,
    restore,
    retention,
    scripts,
    status,
    working,
)
from compose.lifecycle import (
    database as bot_database,
)
from compose.lifecycle import (
    deployment as deployment_module,
)
from compose.lifecycle.deployment import API, Deployment
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal
from compose.lifecycle.releases import Manifest
from compose.lifecycle.state import DeployState, RestoreState
from compose.release import Release
from gate.errors import BAD_INPUT, MachineError, UsageError

NOW = datetime.now(UTC)
KEY = "ab" * 32
PLAIN = b"SQLite format 3\0 what nobody may read"


@pytest.fixture
def place(tmp_path: Path) -> Deployment:
    return Deployment("p", (), tmp_path / ".env", tmp_path / "state")


def made(place: Deployment, when: datetime, kind: str = "", end: str = "") -> str:
    """A backup by its name alone."""
    name = f"backup-{when:%Y%m%d-%H%M%S}-0f62{f'-{kind}' if kind else ''}.tar.gz{end}"
    (backups.folder(place) / name).touch()
    return name


def left(place: Deployment) -> set[str]:
    return {path.name for path in backups.listed(place)}


def deployed(place: Deployment, *given: tuple[str, int, str | None]) -> None:
    """Manifests of releases: tag, schema, backup."""
    for tag, schema, backup in given:
        one = Manifest(tag, "1", "abc", {API: f"sha256:{tag}"}, "", schema, backup, None, "then")
        journal.write_json(place.state / "releases" / f"{tag}.json", asdict(one))
    journal.write_json(place.state / "order.json", [tag for tag, _, _ in given])


# B3, D12: retention


def test_backups_named_in_the_future_push_nothing_out_and_are_said(
    place: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    future = {made(place, datetime(2099, 1, day + 1, tzinfo=UTC)) for day in range(14)}
    real = {made(place, NOW - timedelta(days=day)) for day in range(2, 12)}
    assert "no backup of the last day" in (status.old_backup(place) or "")
    newest = backups.folder(place) / made(place, NOW)
    backups.prune(place, newest)
    assert left(place) == future | real | {newest.name}
    assert backups.newest(place) == newest
    assert "14 backups are named after a time that has not come" in capsys.readouterr().err
    assert status.old_backup(place) is None


def test_what_was_just_made_stays_though_the_clock_is_far_behind(place: Deployment) -> None:
    for day in range(100):
        made(place, NOW - timedelta(days=day))
    newest = backups.folder(place) / made(place, datetime(1970, 1, 1, tzinfo=UTC))
    backups.prune(place, newest, only_last=1)
    assert newest.is_file()


def test_a_name_that_is_not_ours_is_never_pruned_nor_newest(place: Deployment) -> None:
    names = ("backup-before-migration.tar.gz", "backup-99999999-999999-0f62.tar.gz")
    for name in names:
        (backups.folder(place) / name).touch()
    backups.prune(place, only_last=1)
    assert left(place) == set(names)
    assert backups.newest(place) is None


def test_a_copied_backup_is_as_old_as_its_name(place: Deployment) -> None:
    made(place, NOW - timedelta(days=3))  # its file is of now
    assert "no backup of the last day" in (status.old_backup(place) or "")


def test_a_busy_day_pushes_no_night_out(place: Deployment) -> None:
    nights = {made(place, NOW - timedelta(days=day)) for day in range(14)}
    day = [made(place, NOW - timedelta(minutes=number), "update") for number in range(40)]
    backups.prune_of_commands(place)
    assert nights <= left(place)
    assert set(day[:7]) <= left(place)
    backups.prune(place)
    assert nights <= left(place)
    assert len(left(place)) < 14 + 12


def test_nights_get_fewer_with_their_age(place: Deployment) -> None:
    for day in range(200):
        made(place, NOW - timedelta(days=day))
    backups.prune(place)
    ages = sorted(
        (NOW - when).days for one in backups.listed(place) if (when := retention.made_at(one))
    )
    assert ages[:14] == list(range(14))
    assert 14 < len(ages) <= 14 + 8
    assert 42 <= ages[-1] <= 56


def test_a_command_prunes_only_what_commands_made(place: Deployment) -> None:
    nights = {made(place, NOW - timedelta(days=day)) for day in range(60)}
    backups.prune_of_commands(place)
    assert left(place) == nights


def test_what_a_rollback_or_an_unfinished_command_needs_is_never_pruned(place: Deployment) -> None:
    old = [made(place, NOW - timedelta(days=400 + number), "update") for number in range(6)]
    for number in range(30):
        made(place, NOW - timedelta(hours=number), "update")
        made(place, NOW - timedelta(hours=number))
    # c brought a newer schema: a rollback to a or b needs what was made before it.
    deployed(place, ("a", 1, old[0]), ("b", 1, old[1]), ("c", 2, old[2]), ("d", 2, old[3]))
    state = RestoreState(archive="x", before=str(backups.folder(place) / old[4]))
    Journal.begin(recovery.journal_path(place), state)
    backups.prune(place, only_last=1)
    assert set(old[2:5]) <= left(place)
    assert not {old[0], old[1], old[5]} & left(place)
    earlier = releases.load(place, "a")
    newer = releases.backup_to_go_back_with(place, earlier)
    assert newer
    assert newer.backup == old[2]


@pytest.mark.parametrize("end", ["", ".enc"])
def test_a_kind_is_read_from_the_name(end: str) -> None:
    old, new = (Path(f"backup-20261129-151525-0f62{kind}.tar.gz{end}") for kind in ("", "-update"))
    assert (retention.kind_of(old), retention.kind_of(new)) == (retention.MANUAL, "update")
    assert retention.made_at(old) == retention.made_at(new)


# B7: keys first, nothing plain left


@pytest.mark.parametrize(
    "words", [["backup"], ["restore", "x"], ["deploy"], ["update"], ["rollback"]]
)
@pytest.mark.parametrize("content", [None, "short", "zz" * 32])
def test_a_key_that_is_none_is_refused_before_any_work(
    place: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    content: str | None,
) -> None:
    key = tmp_path / "key"
    if content:
        key.write_text(content)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("there was work"))
    options = ["--state", str(place.state), "--key-file", str(key)]
    assert command.main([*words, *options]) == BAD_INPUT
    assert not place.state.exists()


def test_nothing_plain_is_on_the_disk_while_an_archive_is_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, out, key = tmp_path / "work" / "files", tmp_path / "backups", tmp_path / "key"
    for folder in (stage, out):
        folder.mkdir(parents=True)
    key.write_text(KEY)
    (stage / "data.sqlite3").write_bytes(PLAIN + os.urandom(3_000_000))
    seen: list[bytes] = []

    def full(_: int) -> None:
        seen.extend(path.read_bytes() for path in out.iterdir())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        archives.pack(stage, out / "backup-x.tar.gz.enc", {"rows": {}}, str(key))
    assert len(seen) == 1
    assert seen[0].startswith(archives.MAGIC)
    assert not list(out.iterdir())


@pytest.mark.parametrize("size", [0, 1, archives.CHUNK, 2 * archives.CHUNK, 3 * archives.CHUNK + 7])
def test_a_sealed_archive_opens_at_every_size(tmp_path: Path, size: int) -> None:
    stage, out, key = tmp_path / "work" / "files", tmp_path / "out", tmp_path / "key"
    for folder in (stage, out):
        folder.mkdir(parents=True)
    key.write_text(KEY)
    content = os.urandom(size)
    (stage / "data").write_bytes(content)
    archives.pack(stage, tmp_path / "a", {"rows": {}}, str(key))
    archives.unpack(tmp_path / "a", out, str(key))
    assert (out / "data").read_bytes() == content


def test_an_archive_that_would_fill_the_disk_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, out = tmp_path / "work" / "files", tmp_path / "out"
    for folder in (stage, out):
        folder.mkdir(parents=True)
    (stage / "data").write_bytes(bytes(5 << 20))
    archives.pack(stage, tmp_path / "a", {"rows": {}}, None)
    monkeypatch.setattr(archives, "RESERVE", 1 << 60)
    with pytest.raises(MachineError, match="Expected room to unpack a"):
        archives.unpack(tmp_path / "a", out, None)


def killed(place: Deployment, code: str) -> None:
    """Run some work in a working folder up to `waits`, and kill it there."""
    script = f"""
import sys
from pathlib import Path
from compose.lifecycle import archives, working
from compose.lifecycle.deployment import Deployment
place = Deployment("p", (), Path("x"), Path(sys.argv[1]))
def waits(*_):
    print("waits", flush=True)
    sys.stdin.read()
with working.folder(place) as folder:
    (folder / "data.sqlite3").write_bytes(b"SQLite format 3")
    {code}
    waits()
"""
    words = [sys.executable, "-c", script, str(place.state)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"waits\n"
        assert not working.abandoned(place), "what a living process works in is left alone"
        process.send_signal(signal.SIGKILL)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Docker's part of clearing up, written down in place of being done."""
    done: list[str] = []
    monkeypatch.setattr(working, "remove_helpers", lambda name: done.append(f"helpers {name[:5]}"))
    monkeypatch.setattr(backups, "clear_volumes", lambda _: done.append("volumes"))
    monkeypatch.setattr(restore, "clear_scratch", lambda _, note: done.append(f"scratch {note}"))
    return done


@pytest.mark.parametrize(
    ("code", "scratch"),
    [
        ("", []),
        (
            "archives._write = waits;"
            " archives.pack(folder, place.state / 'backups' / 'backup-1.tar.gz', {}, None)",
            [],
        ),
        ("working.note(folder, 'p-scratch-1 tag')", ["scratch p-scratch-1 tag"]),
    ],
)
def test_the_next_command_removes_what_a_killed_one_left(
    place: Deployment, quiet: list[str], code: str, scratch: list[str]
) -> None:
    backups.folder(place)
    killed(place, code)
    recovery.clear(place)
    assert quiet == ["helpers work-", *scratch, "volumes"]
    rest = {path.name for path in place.state.rglob("*") if path.is_file()}
    assert rest == {"lock"}
    recovery.clear(place)
    assert quiet == ["helpers work-", *scratch, "volumes"], "there is nothing more to do"


def test_what_a_former_version_left_is_removed_too(place: Deployment, quiet: list[str]) -> None:
    folder = backups.folder(place)
    (folder / ".backup-1.tar.gz.enc.new").write_bytes(PLAIN)
    (folder / ".backup-1.tar.gz.enc.new.locked").write_bytes(PLAIN)
    (place.state / "tmpab_cd12f").mkdir()
    (place.state / "tmpab_cd12f" / "data.sqlite3").write_bytes(PLAIN)
    kept = made(place, NOW)
    recovery.clear(place)
    assert quiet == ["volumes"]
    assert {path.name for path in place.state.rglob("*")} == {"backups", kept, "lock"}


@pytest.mark.usefixtures("quiet")
def test_what_cannot_be_cleared_stops_no_command(
    place: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Deployment) -> None:
        raise MachineError("Expected an image")

    killed(place, "")
    monkeypatch.setattr(backups, "clear_volumes", fails)
    recovery.clear(place)
    assert working.abandoned(place), "the next command goes on with it"
    assert not list(place.state.rglob("data.sqlite3")), "but nothing plain waits for that"


# B8: what is copied is not endangered


def ran(
    script: str, folder: Path, *words: str, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    text = script.replace("/data", str(folder)).replace("/tmp/copy", str(folder / "copy"))
    program = ["sh", "-ec"] if script == scripts.PUT_REDIS else [sys.executable, "-c"]
    command = [*program, text, *(["put"] if program[0] == "sh" else []), *words]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=30)


def append_only(folder: Path) -> None:
    (folder / "appendonlydir").mkdir()
    parts = (
        ("1.base.rdb", "h"),
        ("2.base.rdb", "b"),
        ("1.incr.aof", "h"),
        ("2.incr.aof", "i"),
        ("3.incr.aof", "i"),
    )
    lines = []
    for name, kind in parts:
        if kind != "h":  # of the past: it may be gone already
            (folder / "appendonlydir" / f"appendonly.aof.{name}").write_text(f"<{name}>")
        lines.append(f"file appendonly.aof.{name} seq 1 type {kind} startoffset 0\n")
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("".join(lines))


def test_redis_is_copied_from_its_file_without_asking_it(tmp_path: Path) -> None:
    append_only(tmp_path)
    done = ran(scripts.COPY_REDIS, tmp_path, str(1 << 40))
    assert done.stdout == b"<2.base.rdb><2.incr.aof><3.incr.aof>"
    put = tmp_path / "other"
    put.mkdir()
    again = ran(scripts.PUT_REDIS, put, str(len(done.stdout)), given=done.stdout)
    assert again.returncode == 0, again.stderr
    assert ran(scripts.COPY_REDIS, put, str(1 << 40)).stdout == done.stdout
    assert [path.name for path in put.iterdir()] == ["appendonlydir"]


def test_a_redis_without_a_file_is_no_trouble(tmp_path: Path) -> None:
    done = ran(scripts.COPY_REDIS, tmp_path, str(1 << 40))
    assert (done.returncode, done.stdout) == (0, b"")


def test_a_copy_that_would_fill_the_disk_is_not_begun(tmp_path: Path) -> None:
    append_only(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = ran(scripts.COPY_REDIS, tmp_path, str(archives.RESERVE))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"MB free for a copy, got 64 MB" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as data, data:
        data.execute("CREATE TABLE t (a)")
        data.execute("INSERT INTO t VALUES (1)")


def test_redis_data_that_are_cut_off_on_their_way_replace_nothing(tmp_path: Path) -> None:
    append_only(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = ran(scripts.PUT_REDIS, tmp_path, "1000", given=PLAIN)
    assert done.returncode == 1
    assert b"cut off; what was there stays" in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_copy_that_is_not_sound_is_refused_and_one_that_is_counted(tmp_path: Path) -> None:
    database(tmp_path / "sound")
    assert backups.contents(tmp_path / "sound") == {"schema": 0, "rows": {"t": 1}}
    (tmp_path / "damaged").write_bytes(b"SQLite format 3\0 but damaged" * 1000)
    with pytest.raises(Rejected, match=r"the copy of the database cannot be read: \w+"):
        backups.contents(tmp_path / "damaged")


@pytest.mark.parametrize("has_command", [True, False])
def test_an_image_without_the_command_is_given_the_text_of_this_checkout(
    tmp_path: Path, has_command: bool
) -> None:
    """An older release has to be backed up, too, before an update and after a rollback."""
    database(tmp_path / "data.sqlite3")
    package = tmp_path / "breakout_bot"
    package.mkdir()
    (package / "__init__.py").touch()
    if has_command:
        (package / "data.py").write_text("import sys; print('its own', sys.argv[1:])")
    _, _, image, *words = bot_database.program("image", "--file", "data.sqlite3", "schema")
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env=os.environ | {"PYTHONPATH": ""},
    )
    own = "its own ['--file', 'data.sqlite3', 'schema']"
    assert (image, done.stdout.strip()) == ("image", own if has_command else "0")


# B2: data are asked of volumes


@pytest.fixture
def down(place: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """After a `docker compose down`: volumes, and no container."""
    monkeypatch.setattr(Deployment, "containers", lambda *_: [])
    listed = "other_data\np_data\np_redis-data\n"
    monkeypatch.setattr(deployment_module, "docker", lambda *_, **__: listed)
    monkeypatch.setattr(owner, "require", lambda _: None)
    return place


def test_a_deploy_after_a_down_backs_up(
    down: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_preflight", lambda *_: None)
    monkeypatch.setattr(command, "wanted", lambda: Release("1", "abc", "tag"))
    words = ["deploy", "--dry-run", "--project", "p", "--state", str(down.state)]
    assert command.main(words) == 0
    shown = capsys.readouterr().err
    assert shown.index("images") < shown.index("backup") < shown.index("start ")
    assert command.main(["deploy", "--dry-run", "--project", "q", "--state", str(down.state)]) == 0
    assert "backup" not in capsys.readouterr().err


def test_data_are_looked_at_with_an_image_that_is_still_there(
    down: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    here: set[str] = set()
    monkeypatch.setattr(backups, "image_exists", here.__contains__)
    with pytest.raises(MachineError, match="there is none of a release that ran here"):
        backups.image(down)
    deployed(down, ("a", 1, None), ("b", 1, None))
    state = DeployState(release=Release("2", "def", "new"), had_data=True)
    Journal.begin(recovery.journal_path(down), state)
    for name in ("breakout-bot/api:new", "breakout-bot/api:a", "sha256:b"):  # the better, the later
        here.add(name)
        assert backups.image(down) == name


def test_a_restore_after_a_down_makes_the_containers_first(
    down: Deployment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "backup.tar.gz"
    stage = tmp_path / "work" / "files"
    stage.mkdir(parents=True)
    database(stage / "data.sqlite3")
    about = {"made": "then", "rows": {"t": 1}}
    archives.pack(stage, archive, about, None)
    words = ["restore", str(archive), "--dry-run", "--project", "p", "--state", str(down.state)]
    assert command.main(words) == 1
    assert "nothing was deployed here yet" in capsys.readouterr().err
    deployed(down, ("a", 1, None))
    assert command.main(words) == 0
    assert "1. create" in capsys.readouterr().err


def test_a_restore_over_data_that_are_not_sound_goes_on(
    down: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copied(_: Deployment, path: Path) -> None:
        path.write_bytes(b"SQLite format 3\0 but damaged" * 1000)

    monkeypatch.setattr(backups, "has_data", lambda _: True)
    monkeypatch.setattr(backups, "snapshot", copied)
    monkeypatch.setattr(backups, "copy_redis", lambda *_: None)
    monkeypatch.setattr(working, "remove_helpers", lambda _: None)
    state = RestoreState(archive="x")
    one = restore.Restore(down, Journal.begin(recovery.journal_path(down), state))
    one.back_up()
    assert state.before is None
    one.undo_put()  # there is nothing: what was restored stays
    assert not left(down)


def test_a_refused_key_leaves_no_folder(place: Deployment, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        backups.make(place, str(tmp_path / "nope"))
    assert not place.state.exists()
