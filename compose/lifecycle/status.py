"""What runs against what should run, and drift."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from compose.lifecycle import backups, building, deploy, owner, proxy, recovery, releases, retention
from compose.lifecycle.deployment import COLOURED, PROXY, Deployment, name_of
from compose.lifecycle.errors import Rejected
from gate.containers import Container
from gate.errors import UsageError
from reports.words import listed

YOUNG = timedelta(hours=26)


def report(deployment: Deployment) -> tuple[list[str], list[str]]:
    """Give lines for people, and what is not as it should be."""
    (present, damage), wanted = _current(deployment), "nothing was deployed yet"
    if damage:
        wanted = "what was deployed is not known"
    if present:
        wanted = f"{present.version} ({present.revision[:12]}), tag {present.tag}"
        wanted += f", since {present.deployed}"
    lines = [f"{deployment.project}: {wanted}"]
    for container in deployment.containers():
        if not container.one_shot:
            state = (
                f"{container.state}, {container.health}" if container.health else container.state
            )
            lines.append(f"  {name_of(container):44} {state:22} {container.image}")
    newest = backups.newest(deployment)
    lines.append(f"  newest backup: {newest.name if newest else 'none'}")
    for warning in (old_backup(deployment), backups.misdated(deployment), no_way_back(deployment)):
        if warning:
            lines.append(f"  {warning}")
    return lines, list(_drift(deployment))


def _current(deployment: Deployment) -> tuple[releases.Manifest | None, str | None]:
    """Give what should run, or why that cannot be read: what runs is shown all the same."""
    try:
        return releases.current(deployment), None
    except (Rejected, UsageError) as damaged:
        return None, str(damaged)


def _drift(deployment: Deployment) -> Iterator[str]:
    try:
        unfinished = recovery.unfinished_command(deployment)
    except Rejected as damaged:
        unfinished = str(damaged)
    present, damage = _current(deployment)
    yield from filter(None, (unfinished, damage))
    if present is None:
        return
    for service in deploy.without_container(deployment):
        yield f"{service} has no container: `compose/start.sh` makes one"
    yield from deploy.lost_volumes(deployment)
    containers = deployment.containers()
    yield from _wrong_containers(deployment, present, containers)
    yield from _of_another_folder(deployment, containers)
    if releases.config_hash(deployment) != present.config:
        yield "settings or compose files were changed since the last deploy: run deploy to use them"


def _of_another_folder(deployment: Deployment, containers: Sequence[Container]) -> Iterator[str]:
    """Name folders of others that containers mount: once such a one is gone they do not start."""
    here = deployment.files[0].parent.resolve()
    folders = {container.labels.get(owner.FOLDER_LABEL, "") for container in containers}
    for folder in sorted(folders):
        if folder and Path(folder).resolve() != here:
            yield f"containers have files of {folder}: `compose/deploy.sh` makes them anew"


def _wrong_containers(
    deployment: Deployment, present: releases.Manifest, containers: Sequence[Container]
) -> Iterator[str]:
    running = [container for container in containers if container.state == "running"]
    for service in sorted(
        {container.service for container in containers if not container.one_shot}
    ):
        mine = [container for container in running if container.service == service]
        if not mine:
            yield f"{service} does not run: `compose/start.sh` starts it"
        if len(mine) > 1:
            yield f"{len(mine)} containers of {service} run: one is expected"
        for container in mine:
            wanted = present.images.get(service)
            # An update leaves the other services' containers, and with them their images.
            if service in COLOURED and wanted and container.image_id != wanted:
                yield f"{service} runs {container.image}, expected tag {present.tag}"
            if container.health not in ("healthy", None):
                yield f"{service} is {container.health}"
    front = [container for container in running if container.service == PROXY]
    if front and proxy.serving(deployment) == "image":
        yield "the proxy serves the configuration of its image, not of a release"


def no_way_back(deployment: Deployment) -> str | None:
    """Warn when a rollback would miss images: `docker image prune -a` takes what nothing runs."""
    try:
        tags = releases.history(deployment)
        before = releases.load(deployment, tags[-2]) if len(tags) > 1 else None
    except (Rejected, UsageError):
        return None  # told once already, as what is damaged
    gone = building.missing(before.release) if before else []
    if not (before and gone):
        return None
    return (
        f"no way back to {before.version} ({before.revision[:12]}), for there is no {listed(gone)}:"
        " a deploy from a checkout of that revision makes them"
    )


def old_backup(deployment: Deployment) -> str | None:
    """Warn when the newest backup is old, by its name: a copied file is younger."""
    newest = backups.newest(deployment)
    made = retention.made_at(newest) if newest else None
    if made and datetime.now(UTC) - made < YOUNG:
        return None
    return "no backup of the last day: `compose/backup.sh` makes one"
