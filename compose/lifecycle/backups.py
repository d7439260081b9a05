"""Backups: a consistent copy of data, Redis and settings while the engine writes."""

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from compose.lifecycle import archives, releases
from compose.lifecycle.deployment import API, Deployment, capture, docker, feed
from compose.lifecycle.journal import new_id, now
from compose.lifecycle.trouble import BadInput, Refused
from compose.machine.console import MachineError, say
from compose.settings import is_secret, quoted

LIMIT = 300.0
KEPT = 14
DATABASE = "breakout-bot.sqlite3"
REDIS = "redis.rdb"
SNAPSHOT = """
import os, shutil, sqlite3, sys
new = '/data/.snapshot'
for end in ('', '-wal', '-shm', '-journal'):
    if os.path.exists(new + end): os.remove(new + end)
source, copy = sqlite3.connect('/data/breakout-bot.sqlite3', timeout=10), sqlite3.connect(new)
source.backup(copy)
copy.execute('PRAGMA journal_mode=DELETE')
copy.close(); source.close()
with open(new, 'rb') as file: shutil.copyfileobj(file, sys.stdout.buffer)
os.remove(new)
"""
SCHEMA = """
import sqlite3
data = sqlite3.connect('file:/data/breakout-bot.sqlite3?mode=rw', uri=True, timeout=10)
print(data.execute('PRAGMA user_version').fetchone()[0])
"""
PUT_DATA = """
import contextlib, os, shutil, sqlite3, sys
os.chdir('/data')
present, new = 'breakout-bot.sqlite3', '.restored'
for end in ('-wal', '-shm', '-journal'):
    with contextlib.suppress(FileNotFoundError): os.remove(new + end)
with open(new, 'wb') as file: shutil.copyfileobj(sys.stdin.buffer, file)
def engine(path):
    with contextlib.suppress(sqlite3.Error), contextlib.closing(
        sqlite3.connect(f'file:{path}?mode=rw', uri=True)
    ) as data:
        return data.execute('SELECT state, liquidating, started_at, reason FROM control').fetchone()
calm = ('EMERGENCY', 'IDLE', 'PAUSED', 'RUNNING')
now, then = engine(present), engine(new)
if now and then and calm.index(now[0]) < calm.index(then[0]):
    with contextlib.closing(sqlite3.connect(new)) as data, data:
        data.execute(
            'UPDATE control SET version = version + 1, state = ?, liquidating = ?, started_at = ?,'
            ' reason = ?', now
        )
with open(new, 'rb') as file: os.fsync(file.fileno())
for end in ('-wal', '-shm', '-journal'):
    with contextlib.suppress(FileNotFoundError): os.remove(present + end)
os.replace(new, present)
os.sync()
"""
PUT_REDIS = (  # appendonly is on: Redis then reads its data from there and from nowhere else
    "cd /data && rm -rf appendonlydir && mkdir appendonlydir && cd appendonlydir"
    " && cat > appendonly.aof.1.base.rdb"
    " && echo 'file appendonly.aof.1.base.rdb seq 1 type b' > appendonly.aof.manifest && sync"
)


def folder(deployment: Deployment) -> Path:
    """Where the backups of a deployment are."""
    path = deployment.state / "backups"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def make(deployment: Deployment, key_file: str | None = None) -> Path:
    """Back up; the archive's path. Raises `MachineError`, `Refused` for data that is not sound."""
    path = folder(deployment) / f"backup-{new_id()}.tar.gz{'.enc' if key_file else ''}"
    with tempfile.TemporaryDirectory(dir=deployment.state) as name:
        stage = Path(name)
        snapshot(deployment, stage / "data.sqlite3")
        copy_redis(deployment, stage)
        (stage / "settings.env").write_text(_settings(deployment, with_secrets=bool(key_file)))
        present = releases.current(deployment)
        about = {
            "id": path.name,
            "made": now(),
            "project": deployment.project,
            "release": asdict(present) if present else None,
            **contents(stage / "data.sqlite3"),
        }
        archives.pack(stage, path, about, key_file)
    return path


def prune(deployment: Deployment, kept: int) -> None:
    """Remove all but the newest, and the one that the present release is rolled back with."""
    present = releases.current(deployment)
    for old in listed(deployment)[:-kept]:
        if present is None or old.name != present.backup:
            old.unlink()


def set_aside(deployment: Deployment, key_file: str | None) -> None:
    """Back up what is about to be replaced by older data, as far as that can be done."""
    try:
        path = make(deployment, key_file)
    except (MachineError, Refused) as error:
        say(f"    what is there now cannot be backed up: {error}")
    else:
        say(f"    what is there now is kept in {path.name}")


def listed(deployment: Deployment) -> list[Path]:
    """Its backups, the newest last."""
    return sorted(folder(deployment).glob("backup-*.tar.gz*"))


def find(deployment: Deployment, word: str) -> Path:
    """The backup that a name or path means. Raises `BadInput`."""
    found = Path(word) if "/" in word else folder(deployment) / word
    if not found.is_file():
        raise BadInput(f"expected a backup of {folder(deployment)} or a path, got {word!r}")
    return found


def snapshot(deployment: Deployment, path: Path) -> None:
    """Copy the database with SQLite's backup API, whether or not the bot runs."""
    capture(["docker", *_on_the_data(deployment, SNAPSHOT)], path, LIMIT)


def schema(deployment: Deployment) -> int:
    """The schema version of the data, whether or not the bot runs."""
    return int(docker(*_on_the_data(deployment, SCHEMA)).strip())


def _on_the_data(deployment: Deployment, script: str) -> list[str]:
    """`docker run` of a script beside the bot, with the bot's own image, user and data."""
    _, image = _api(deployment)
    flags = ["--rm", "--network", "none", "--user", "10001:10001", "--memory", "256m"]
    volume = ["-v", f"{deployment.volume('data')}:/data"]
    return ["run", *flags, *volume, "--entrypoint", "/venv/bin/python", image, "-c", script]


def contents(path: Path) -> dict[str, Any]:
    """Schema version and row counts of a database file. Raises `Refused` when it is not sound."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as data:
            (sound,) = data.execute("PRAGMA integrity_check").fetchone()
            (version,) = data.execute("PRAGMA user_version").fetchone()
            tables = data.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            rows = {
                name: data.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608
                for (name,) in sorted(tables)
            }
    except sqlite3.Error as error:
        raise Refused(f"the copy of the database cannot be read: {error}") from None
    if sound != "ok":
        raise Refused(f"the copy of the database is not sound: {sound}")
    return {"schema": version, "rows": rows}


def _api(deployment: Deployment) -> tuple[str, str]:
    found = deployment.containers(API)
    if not found:
        raise MachineError(
            f"Expected a container of {API} in {deployment.project}, but there is none;"
            " `compose/deploy.sh` makes one."
        )
    return found[-1].id, found[-1].image_id


def copy_redis(deployment: Deployment, folder: Path) -> None:
    """Copy what Redis holds into a folder; without a running Redis say that there is no copy."""
    running = [one for one in deployment.containers("redis") if one.state == "running"]
    if not running:
        say("    Redis does not run: the backup is without its lease, cache and events")
        return
    # By way of a file: to standard output redis-cli adds a mark that no Redis reads.
    script = (
        'REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli --rdb /tmp/copy.rdb >&2'
        " && cat /tmp/copy.rdb && rm /tmp/copy.rdb"
    )
    capture(["docker", "exec", running[-1].id, "sh", "-c", script], folder / REDIS, LIMIT)


def _settings(deployment: Deployment, with_secrets: bool) -> str:
    """The settings; secrets are left blank in an archive that anybody could read."""
    lines = []
    for name, value in sorted(deployment.values.items()):
        shown = value if with_secrets or not is_secret(name) else ""
        lines.append(f"{name}={quoted(shown)}\n")
    return "".join(lines)


def put_data(deployment: Deployment, path: Path) -> None:
    """Replace the database; the bot must be stopped. No `-wal` of the former one stays.

    The engine is then no more active than it was: who restores data of a time when it traded does
    not undo an emergency stop, nor start one that was stopped.
    """
    _, image = _api(deployment)
    program = ["/venv/bin/python", image, "-c", PUT_DATA]
    _put(program, "10001:10001", f"{deployment.volume('data')}:/data", path)


def put_redis(deployment: Deployment, folder: Path) -> None:
    """Replace what Redis holds, where a backup has a copy of it; it must be stopped."""
    path = folder / REDIS
    if not path.is_file():
        return
    image = deployment.containers("redis")[-1].image_id
    program = ["sh", image, "-ec", PUT_REDIS]
    _put(program, "999:999", f"{deployment.volume('redis-data')}:/data", path)


def _put(program: list[str], user: str, volume: str, path: Path) -> None:
    command = ["docker", "run", "--rm", "--interactive", "--network", "none", "--user", user]
    feed([*command, "--memory", "128m", "-v", volume, "--entrypoint", *program], path, LIMIT)


def stop(deployment: Deployment, *services: str) -> None:
    """Stop every container of these services."""
    ids = [one.id for name in services for one in deployment.containers(name)]
    if ids:
        docker("stop", "--time", "30", *ids)
