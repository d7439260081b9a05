"""Adopt: take over on purpose what another folder deployed, with what is needed to manage it."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from compose.lifecycle import owner, recovery
from compose.lifecycle.deploy import running
from compose.lifecycle.deployment import PROXY, Deployment
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import deployment_lock, new_id
from compose.release import HERE
from gate.containers import Container
from gate.errors import MachineError
from gate.machine.console import say

SETTINGS = {
    "API_KEY": "API_KEY",
    "REDIS_PASSWORD": "REDIS_PASSWORD",
    "GF_SECURITY_ADMIN_PASSWORD": "GRAFANA_PASSWORD",
    "MODE": "MODE",
    "SERVER_NAME": "SERVER_NAME",
    "ALERT_WEBHOOK_URL": "ALERT_WEBHOOK_URL",
}
"""Variables of containers that come straight from a setting, and that setting."""
LEFT = ("lock", "reports", "target.toml", owner.ENGINE_FILE, owner.OWNER_FILE, "before-*", ".*")
"""Of a state folder, what only the former owner needs."""


def adopt(deployment: Deployment, dry_run: bool = False) -> None:
    """Take a deployment over, or only say so.

    Raises `Rejected` while something that it needs is not here.
    """
    former, mine = _former(deployment), owner.this_folder(deployment)
    is_there, changed = owner.is_there(deployment), owner.engine_changed(deployment)
    if not is_there and not former and not changed:
        raise Rejected("nothing is deployed here: `compose/deploy.sh` deploys")
    containers = deployment.containers()
    differing = [*_settings(deployment, containers), *_certificates(containers)]
    if differing:
        raise Rejected(
            f"expected what it runs with, got other {' and '.join(differing)};"
            f" {_copying(former, mine)}then give this command again. Nothing was changed"
        )
    theirs = _other_state(former, mine)
    if dry_run:
        copied = f", with what is in {theirs}" if theirs and is_there else ""
        say(f"{deployment.project}: from {former or 'nobody'} to {mine.folder}{copied}")
        return
    usable = theirs if theirs and theirs.is_dir() and os.access(theirs, os.W_OK) else None
    with (
        deployment_lock(deployment.state, "adopt"),
        deployment_lock(usable, "adopt") if usable else nullcontext(),
    ):
        if theirs and is_there:
            _take_state(theirs, deployment.state)
        elif changed and not is_there:
            _set_aside(deployment.state)  # releases of another engine
        owner.forget(deployment)
        owner.claim(deployment)
        if theirs and theirs.is_dir():
            owner.hand_over(theirs, mine)
    say(f"{deployment.project}: belongs to {mine.folder} now, before to {former or 'nobody'}")
    if unfinished := recovery.unfinished_command(deployment):
        say(f"  {unfinished}")
    say("  next: `compose/status.sh` shows what runs and what differs")


def _former(deployment: Deployment) -> owner.Owner | None:
    try:
        former = owner.find(deployment)
    except Rejected:
        return None  # data that nobody owns
    if former and not former.state:  # only containers told, of a deploy without --state
        former = replace(
            former, state=str(Path(former.folder, HERE.name, "releases", deployment.project))
        )
    return former


def _other_state(former: owner.Owner | None, mine: owner.Owner) -> Path | None:
    if former is None or Path(former.state).resolve() == Path(mine.state).resolve():
        return None
    return Path(former.state)


# What has to be here first


def _settings(deployment: Deployment, containers: list[Container]) -> Iterator[str]:
    """Name the settings that differ from what the containers were made with: never values."""
    if not containers:
        return
    try:
        text = deployment.compose("config", "--format", "json", release=running(deployment))
    except MachineError:  # most likely there are none
        yield f"settings in {deployment.env_file} (compose does not take them)"
        return
    services, differing = json.loads(text)["services"], set()
    for container in containers:
        made = dict(line.partition("=")[::2] for line in container.inspected["Config"]["Env"] or ())
        for name, value in (services.get(container.service, {}).get("environment") or {}).items():
            wanted = str(value or "").replace("$$", "$")
            if name in SETTINGS and name in made and made[name] != wanted:
                differing.add(SETTINGS[name])
    if differing:
        yield f"settings in {deployment.env_file} ({', '.join(sorted(differing))})"


def _certificates(containers: list[Container]) -> Iterator[str]:
    """Name the folder with the certificates, where it is another clone's: clients trust that CA."""
    mine = HERE / "tls"
    for container in containers:
        for mount in container.mounts if container.service == PROXY else ():
            source = Path(str(mount.get("Source")))
            bound = mount.get("Type") == "bind" and mount.get("Destination") == "/tls"
            if bound and source.resolve() != mine.resolve() and _differs(source, mine):
                yield f"certificates in {mine} than in {source}"
                return


def _differs(theirs: Path, mine: Path) -> bool:
    """Tell whether clients would see another certificate; False where theirs is gone."""
    try:
        crt = (theirs / "server.crt").read_bytes()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    here = mine / "server.crt"
    return not here.is_file() or here.read_bytes() != crt


def _copying(former: owner.Owner | None, mine: owner.Owner) -> str:
    if former is None or not Path(former.folder).is_dir():
        return "take them from a backup or from `docker inspect`, "
    theirs, here = Path(former.folder, HERE.name), Path(mine.folder, HERE.name)
    return f"`cp -a {theirs}/.env {theirs}/tls {here}/` as a user who may read both, "


# What comes along


def _take_state(theirs: Path, mine: Path) -> None:
    """Copy manifests, history, journal and backups; our own of before are set aside."""
    if not theirs.exists() and any((mine / name).is_file() for name in owner.TRACES):
        return  # a checkout that was moved, and its state with it
    if not _is_readable(theirs):
        say(
            f"  ! expected to read {theirs}, but it is gone or another user's: without its"
            " manifests and backups nothing can be rolled back to until the next deploy"
        )
        return
    _set_aside(mine)
    shutil.copytree(
        theirs,
        mine,
        ignore=shutil.ignore_patterns(*LEFT),
        copy_function=_link_or_copy,
        dirs_exist_ok=True,
    )
    say(f"  manifests, history and backups of {theirs} were copied to {mine}")


def _is_readable(folder: Path) -> bool:
    try:
        return stat.S_ISDIR(folder.stat().st_mode) and os.access(folder, os.R_OK | os.X_OK)
    except OSError:
        return False


def _set_aside(state: Path) -> None:
    """Keep what a state folder says of another deployment, out of the way."""
    kept = [path for path in state.iterdir() if path.name not in ("lock", "reports")]
    if not kept:
        return
    aside = state / f"before-{new_id()}"
    aside.mkdir(mode=0o700)
    for path in kept:
        if not path.name.startswith("before-"):
            path.rename(aside / path.name)
    say(f"  what was in {state} of an earlier deployment is in {aside.name} there")


def _link_or_copy(source: str, target: str) -> str:
    """Link backups, which are large and never change; copy what is on another disk."""
    if ".tar.gz" in source:
        try:
            os.link(source, target)
            return target
        except OSError:
            pass
    return str(shutil.copy2(source, target))
