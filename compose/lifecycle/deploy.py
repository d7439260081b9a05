"""Deploy, start and stop a whole deployment; an update of a running one is update.py's."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from compose.lifecycle import backups, building, proxy, releases, verify
from compose.lifecycle.deployment import (
    API,
    FRONTEND,
    Deployment,
    docker,
    holds_within,
    inspected,
    last_log_line,
    remove,
    unhealthy_services,
)
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal
from compose.lifecycle.state import DeployState
from compose.lifecycle.steps import Step, StepName
from compose.lifecycle.update import answers, downgrade_schema
from compose.release import Release
from gate.containers import Container
from gate.errors import UsageError
from gate.machine.console import say
from gate.target import Target
from reports.words import listed

READY_SECONDS = 90.0
CRASHES = 8
"""Restarts after which nothing better is waited for: some 25 s of Docker's growing pauses."""
SCRAPE_SECONDS = 20.0
UNKNOWN = Release("0.0.0", "unknown", "latest")
NOTHING = "nothing is deployed here: `compose/deploy.sh` deploys"


@dataclass
class Deploy:
    """One deploy, described by its journal alone."""

    deployment: Deployment
    journal: Journal[DeployState]

    @property
    def state(self) -> DeployState:
        """What the steps know of each other."""
        return self.journal.state

    @property
    def release(self) -> Release:
        """What is deployed."""
        return self.state.release

    def steps(self) -> list[Step]:
        """List every step, in order."""
        version = f"{self.release.version} ({self.release.revision[:12]})"
        every = [
            Step(StepName.IMAGES, f"build or pull {version}", self.images),
            Step(StepName.BACKUP, "data, settings and manifest", self.back_up),
            Step(StepName.START, "create and start every service", self.start, self.undo_start),
            Step(StepName.READY, "until every service answers", self.ready),
            Step(StepName.VERIFY, "smoke stage through the proxy", self.check),
            Step(StepName.RECORD, "write the release manifest", self.record, final=True),
        ]
        if not self.state.had_data:
            return [step for step in every if step.name != StepName.BACKUP]
        return every

    def back_up(self) -> None:
        """Back the data up as they are; a deploy that failed early may have left none."""
        if not backups.has_data(self.deployment):
            say("    there are no data yet")
            return
        self.state.backup = backups.make(self.deployment, self.state.key_file, "deploy").name

    def images(self) -> None:
        """Get all images onto this machine."""
        building.provide(self.deployment, self.release)

    def start(self) -> None:
        """Start every service, created anew where it has changed."""
        self.state.new_schema = building.schema(self.release)
        self.journal.save()
        flags = ["--detach", "--no-build", "--pull", "missing"]
        self.deployment.compose("up", *flags, release=self.release)
        _serve(self.deployment, self.release, self.state.id)

    def undo_start(self) -> None:
        """Bring back what ran before, or nothing; volumes always stay. Raises `MachineError`."""
        before = releases.current(self.deployment)
        ran = self.state.had_data if self.state.ran is None else self.state.ran
        if before is None and ran:
            say("    what ran before is written down nowhere: the new containers stay")
            return
        if before is None:
            self.deployment.compose("down", release=self.release)
            return
        downgrade_schema(self.deployment, self.release, self.journal)
        # With the settings that it ran with: those of now may be why it is undone.
        bring_up(former(self.deployment), before.release, f"{self.state.id}-before")

    def ready(self) -> None:
        """Wait until every container is healthy. Raises `Rejected` naming the first that is not."""
        _wait_until_healthy(self.deployment.newest)
        where = seen_by(self.deployment)
        holds_within(lambda: verify.scraped(where), SCRAPE_SECONDS)

    def check(self) -> None:
        """Ask for the smoke stage's verdict."""
        where = seen_by(self.deployment)
        self.state.verdict = verify.smoke(self.deployment, where, self.release)

    def record(self) -> None:
        """Write down that what runs now is what should run."""
        releases.record(self.deployment, self.state)


def bring_up(deployment: Deployment, release: Release, folder: str, *flags: str) -> None:
    """Bring up a release that is on this machine, served by a proxy configuration of this name."""
    deployment.compose("up", "--detach", "--no-build", *flags, release=release)
    _serve(deployment, release, folder)
    answers(deployment.container(API).id)


def _serve(deployment: Deployment, release: Release, folder: str) -> None:
    """Give the proxy a release's configuration, with the containers of now behind it."""
    api, front = (deployment.container(service) for service in (API, FRONTEND))
    proxy.prepare(deployment, release, folder, api, front)
    proxy.switch(deployment, folder)


def seen_by(deployment: Deployment) -> Target:
    """Give the deployment as its users see it."""
    return verify.target(deployment, proxy.live(deployment))


def start(containers: Sequence[Container]) -> None:
    """Start what was deployed and stopped, until it is well. Raises `Rejected`."""
    if not containers:
        raise Rejected(NOTHING)
    ids = [container.id for container in containers]
    docker("start", *ids)
    _wait_until_healthy(lambda: inspected(ids))


def without_container(deployment: Deployment) -> list[str]:
    """List the services that compose would run here, and of which no container can be started."""
    unusable = {container.id for container in without_network(deployment)}
    there = {one.service for one in deployment.containers() if one.id not in unusable}
    return [name for name in deployment.services(running(deployment)) if name not in there]


def without_network(deployment: Deployment) -> list[Container]:
    """List what ended and has lost a network, as `docker network prune` takes it meanwhile."""
    there = set(docker("network", "ls", "--quiet", "--no-trunc").split())
    return [
        container
        for container in deployment.containers()
        if container.state == "exited" and not there.issuperset(container.network_ids)
    ]


def to_make_anew(deployment: Deployment) -> list[str]:
    """List the services whose container is gone, as `docker container prune` takes what ended.

    Raises `Rejected` where only a deploy or a restore brings them back.
    """
    present = releases.current(deployment)
    if present is None or not (lacking := without_container(deployment)):
        return []
    if lost := lost_volumes(deployment):
        raise Rejected(f"{lost[0]}; nothing was started")
    if releases.config_hash(former(deployment)) != present.config:
        raise Rejected(
            f"expected a container of {listed(lacking)}, got none, and compose files that were"
            " changed since the last deploy: `compose/deploy.sh` makes it from those"
        )
    if gone := building.missing(present.release):
        raise Rejected(
            f"expected an image for {listed(lacking)}, whose container is gone too, got no"
            f" {gone[0]}: `compose/deploy.sh` makes both"
        )
    return lacking


def make_anew(deployment: Deployment, folder: str) -> None:
    """Make the containers that are gone, with the settings that the release ran with.

    What is there stays as it is: what was changed since is for a deploy.
    """
    remove([container.id for container in without_network(deployment)])
    bring_up(former(deployment), running(deployment), folder, "--no-recreate", "--pull", "never")


def former(deployment: Deployment) -> Deployment:
    """Give the deployment with the settings that its release was taken with."""
    kept = deployment.kept_settings
    return replace(deployment, env_file=kept) if kept.is_file() else deployment


def lost_volumes(deployment: Deployment) -> list[str]:
    """Say which data of a deployed release are gone: `docker volume prune` takes unused ones."""
    if releases.current(deployment) is None:
        return []
    return [
        f"expected the volume {deployment.volume(name)}, got none: `compose/deploy.sh` begins with"
        f" {begins}, then `compose/restore.sh` brings a backup's back"
        for name, begins in {"data": "empty data", "redis-data": "an empty Redis"}.items()
        if not deployment.has_volume(name)
    ]


def _wait_until_healthy(look: Callable[[], Sequence[Container]]) -> None:
    """Wait until all are healthy. Raises `Rejected` with the log of one that crashes repeatedly."""
    began = time.monotonic()

    def decided() -> bool:
        seen = look()
        return not unhealthy_services(seen) or any(
            container.restarts >= CRASHES for container in seen
        )

    holds_within(decided, READY_SECONDS)
    for container in look():
        if state := unhealthy_services([container]).get(container.service):
            seconds = time.monotonic() - began
            raise Rejected(
                f"{container.service} is {state} after {seconds:.0f} s: {last_log_line(container)}"
            )


def stop(deployment: Deployment) -> None:
    """Stop every service; containers and data stay. A damaged state folder is no reason not to."""
    try:
        release = running(deployment)
    except (Rejected, UsageError) as damaged:
        say(f"  ! {damaged}")
        release = UNKNOWN
    deployment.compose("stop", "--timeout", "30", release=release)


def running(deployment: Deployment) -> Release:
    """Give the release that should run, for compose commands that need its variables."""
    present = releases.current(deployment)
    return present.release if present else UNKNOWN
