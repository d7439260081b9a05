"""Backups: a consistent copy of data, Redis and settings while the engine writes."""

import shutil
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compose.lifecycle import archives, database, journal, releases, retention, scripts, working
from compose.lifecycle.deployment import API, Deployment, capture, docker, feed
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal, new_id, now
from compose.lifecycle.state import ReleaseState
from gate.errors import MachineError, UsageError
from gate.machine.commands import image_exists, run
from gate.machine.console import say
from gate.settings import is_secret, quoted

LIMIT = 300.0
REDIS, OLD_REDIS = "redis.aof", "redis.rdb"
"""What Redis holds: a base with commands after it; of old its base alone. Redis reads both."""
BOT, REDIS_USER = "10001:10001", "999:999"
"""Users that the data belong to."""


def folder(deployment: Deployment) -> Path:
    """Give the folder of a deployment's backups."""
    path = deployment.state / "backups"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def make(deployment: Deployment, key_file: str | None = None, kind: str = retention.MANUAL) -> Path:
    """Back up; the archive's path. Raises `MachineError`, `Rejected` for data that is not sound."""
    if key_file:
        archives.key_from(key_file)  # refused before any work
    name = f"backup-{new_id()}{f'-{kind}' if kind else ''}.tar.gz{'.enc' if key_file else ''}"
    path = folder(deployment) / name
    with working.folder(deployment) as stage:
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


def prune(
    deployment: Deployment, just_made: Path | None = None, only_last: int | None = None
) -> None:
    """Remove what retention does not keep; never what was just made or may be gone back with."""
    wanted = needed(deployment) | ({just_made.name} if just_made else set())
    old = retention.superfluous(listed(deployment), wanted, datetime.now(UTC), only_last)
    _remove(old)
    if warning := misdated(deployment):
        say(f"  ! {warning}")


def prune_of_commands(deployment: Deployment) -> None:
    """Remove what commands made for themselves, as far as retention does not keep it.

    Only that: how many of their own people keep is what `backup` is told.
    """
    made = [path for path in listed(deployment) if retention.kind_of(path) in retention.COMMANDS]
    _remove(retention.superfluous(made, needed(deployment), datetime.now(UTC)))


def _remove(old: list[Path]) -> None:
    for path in old:
        path.unlink(missing_ok=True)
    if old:
        say(f"    {len(old)} older backups are not kept: {', '.join(path.name for path in old)}")


def needed(deployment: Deployment) -> set[str]:
    """Name the backups that an unfinished command or a rollback may want."""
    unfinished = Journal.find(deployment.state / journal.FILE)
    values = vars(unfinished.state).values() if unfinished else ()
    named = {Path(value).name for value in values if isinstance(value, str)}
    return named | releases.backups_to_go_back_with(deployment)


def misdated(deployment: Deployment) -> str | None:
    """Say which backups are named after a time that has not come; None when none is."""
    future = retention.of_the_future(listed(deployment), datetime.now(UTC))
    if not future:
        return None
    return (
        f"{len(future)} backups are named after a time that has not come ({future[-1].name}): the"
        " clock was wrong then, or is now (`timedatectl`); they are never pruned and count as no"
        f" backup of today: look at them and remove them by hand, in {folder(deployment)}"
    )


def newest(deployment: Deployment) -> Path | None:
    """Give the newest backup by the time in its name; those of the future do not count."""
    known = retention.until_now(listed(deployment), datetime.now(UTC))
    return known[-1] if known else None


def set_aside(deployment: Deployment, key_file: str | None, kind: str) -> None:
    """Back up what is about to be replaced by older data, as far as that can be done."""
    try:
        path = make(deployment, key_file, kind)
    except (MachineError, Rejected) as error:
        say(f"    what is there now cannot be backed up: {error}")
    else:
        say(f"    what is there now is kept in {path.name}")


def listed(deployment: Deployment) -> list[Path]:
    """List its backups, the newest last."""
    return sorted(folder(deployment).glob("backup-*.tar.gz*"))


def find(deployment: Deployment, word: str) -> Path:
    """Find the backup that a name or path means. Raises `UsageError`."""
    path = Path(word).resolve()
    if "/" not in word and (known := folder(deployment) / word).is_file():
        path = known
    if not path.is_file():
        raise UsageError(f"expected a backup of {folder(deployment)} or a path, got {word!r}")
    return path


def has_data(deployment: Deployment) -> bool:
    """Tell whether there is a database: asked of its volume, for containers go with a `down`."""
    if not deployment.has_volume("data"):
        return False
    done = run(["docker", *_bot(deployment, "exists")], LIMIT)
    if done.code not in (0, database.MISSING):
        raise MachineError(f"Expected to look into {deployment.volume('data')}, but: {done.text}")
    return done.ok


def snapshot(deployment: Deployment, path: Path) -> None:
    """Copy the database with SQLite's backup API, whether or not the bot runs or has containers."""
    require_data(deployment)
    free = str(shutil.disk_usage(path.parent).free)
    name = working.name_of(path.parent)
    command = _bot(deployment, "snapshot", "--free", free, *database.RESERVED, name=name)
    capture(["docker", *command], path, LIMIT)


def require_data(deployment: Deployment) -> None:
    """Raise `MachineError` where there is no volume that could be backed up."""
    if not deployment.has_volume("data"):  # else `docker run` would make one that is not compose's
        raise MachineError(
            f"Expected a volume {deployment.volume('data')}, but there is none;"
            " `compose/deploy.sh` makes one."
        )


def schema(deployment: Deployment) -> int:
    """Read the schema version of the data, whether or not the bot runs."""
    return int(docker(*_bot(deployment, "schema")))


def _helper(
    deployment: Deployment,
    script: str,
    volume: str,
    *arguments: str,
    name: str = "",
    user: str = BOT,
) -> list[str]:
    """Give a `docker run` of a script on a volume, by the bot's Python and in memory of its own."""
    program = [database.PYTHON, image(deployment), "-c", script, *arguments]
    return ["run", *_limits(user, name), *_mounted(deployment, volume), "--entrypoint", *program]


def _bot(deployment: Deployment, *arguments: str, name: str = "") -> list[str]:
    """Give a `docker run` of the bot's command for its database on the volume."""
    program = database.program(image(deployment), *arguments)
    return ["run", *_limits(BOT, name), *_mounted(deployment, "data"), *program]


def _mounted(deployment: Deployment, volume: str) -> list[str]:
    # A new volume would get the owner that this image has for the folder, which is not Redis's.
    return ["-v", f"{deployment.volume(volume)}:/data:nocopy"]


def _limits(user: str, name: str) -> list[str]:
    label = ["--label", f"{working.LABEL}={name}"] if name else []
    return ["--rm", "--network", "none", "--user", user, "--memory", "256m", *label]


def image(deployment: Deployment) -> str:
    """Name an image of the bot that is on this machine, to look at data with.

    That of its container; after a `down` that of a release that ran, or that is being deployed.
    """
    containers = deployment.containers(API)
    if containers:
        return containers[-1].image_id
    unfinished = Journal.find(deployment.state / journal.FILE)
    state = unfinished.state if unfinished else None
    known = [releases.load(deployment, tag) for tag in reversed(releases.history(deployment))]
    names = [manifest.images[API] for manifest in known if API in manifest.images]
    names += [releases.image(API, manifest.release) for manifest in known]
    names += [releases.image(API, state.release)] if isinstance(state, ReleaseState) else []
    for name in names:
        if image_exists(name):
            return name
    raise MachineError(
        f"Expected an image of {API} to look at the data of {deployment.project} with, but there"
        " is none of a release that ran here; `compose/deploy.sh` makes one."
    )


def contents(path: Path) -> dict[str, Any]:
    """Read schema version and row counts of a database file. Raises `Rejected` if not sound."""
    return dict(database.read_copy(path))


def copy_redis(deployment: Deployment, folder: Path) -> None:
    """Copy what Redis holds into a folder, whether or not it runs; say so when it holds nothing.

    Its append-only file is read from the volume: a dump that Redis makes is a fork of it, within
    the memory that it is limited to. An end that is cut off in a command is left out when read.
    """
    path, name = folder / REDIS, working.name_of(folder)
    free = str(shutil.disk_usage(folder).free - (folder / "data.sqlite3").stat().st_size)
    if deployment.has_volume("redis-data"):
        command = _helper(
            deployment, scripts.COPY_REDIS, "redis-data", free, name=name, user=REDIS_USER
        )
        capture(["docker", *command], path, LIMIT)
    if not path.is_file() or not path.stat().st_size:
        path.unlink(missing_ok=True)
        say("    Redis has no append-only file: the backup is without its lease, cache and events")


def _settings(deployment: Deployment, with_secrets: bool) -> str:
    """Write the settings; secrets are left blank in an archive that anybody could read."""
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
    size = str(path.stat().st_size)
    program = database.program(image(deployment), "replace", size, *database.RESERVED)
    _put(deployment.volume("data"), BOT, program, path)


def put_redis(deployment: Deployment, folder: Path) -> None:
    """Replace what Redis holds, where a backup has a copy of it; it must be stopped."""
    for path in (folder / REDIS, folder / OLD_REDIS):
        if path.is_file():
            of_redis = deployment.containers("redis")[-1].image_id
            size = str(path.stat().st_size)
            program = ["--entrypoint", "sh", of_redis, "-ec", scripts.PUT_REDIS, "put", size]
            _put(deployment.volume("redis-data"), REDIS_USER, program, path)


def _put(volume: str, user: str, program: list[str], path: Path) -> None:
    limits = _limits(user, working.name_of(path.parent))
    command = ["docker", "run", "--interactive", *limits, "-v", f"{volume}:/data"]
    feed([*command, *program], path, LIMIT)


def clear_volumes(deployment: Deployment) -> None:
    """Remove what a killed command left in the volumes and in Redis's own `/tmp`."""
    for volume, user in (("data", BOT), ("redis-data", REDIS_USER)):
        if deployment.has_volume(volume):
            docker(*_helper(deployment, scripts.CLEAR, volume, user=user))
    for container in deployment.containers("redis"):
        if container.state == "running":  # of a version that had Redis dump into its own memory
            with suppress(MachineError):
                docker("exec", container.id, "rm", "-f", "/tmp/copy.rdb")  # noqa: S108 (the container's)


def stop(deployment: Deployment, *services: str) -> None:
    """Stop every container of these services."""
    ids = [container.id for name in services for container in deployment.containers(name)]
    if ids:
        docker("stop", "--time", "30", *ids)
