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
    inspected,
    last_log_line,
    until,
    unwell,
)
from compose.lifecycle.journal import Journal
from compose.lifecycle.state import DeployState
from compose.lifecycle.steps import Step, StepName
from compose.lifecycle.trouble import Refused
from compose.lifecycle.update import answers, schema_taken_back
from compose.release import Release
from gate.containers import ROLE_LABEL, Container
from gate.machine.console import say
from gate.target import Target

READY_SECONDS = 90.0
CRASHES = 8
"""Restarts after which nothing better is waited for: some 25 s of Docker's growing pauses."""
SCRAPE_SECONDS = 20.0


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
        """Every step, in order."""
        what = f"{self.release.version} ({self.release.revision[:12]})"
        every = [
            Step(StepName.IMAGES, f"build or pull {what}", self.images),
            Step(StepName.BACKUP, "data, settings and manifest", self.back_up),
            Step(StepName.START, "create and start every service", self.start, self.unstart),
            Step(StepName.READY, "until every service answers", self.ready),
            Step(StepName.VERIFY, "smoke stage through the proxy", self.check),
            Step(StepName.RECORD, "write the release manifest", self.record, final=True),
        ]
        if not self.state.had_data:
            return [one for one in every if one.name != StepName.BACKUP]
        return every

    def back_up(self) -> None:
        """Data as they were before; a deploy that failed early may have left none."""
        if not backups.has_data(self.deployment):
            return say("    there are no data yet")
        archive = backups.make(self.deployment, self.state.key_file, "deploy")
        self.state.backup = archive.name
        return self.journal.save()

    def images(self) -> None:
        """All images, on this machine."""
        building.provide(self.deployment, self.release)

    def start(self) -> None:
        """Every service, created anew where it has changed."""
        self.state.new_schema = building.schema(self.release)
        self.journal.save()
        flags = ["--detach", "--no-build", "--pull", "missing"]
        self.deployment.compose("up", *flags, release=self.release)
        _serve(self.deployment, self.release, self.state.id)

    def unstart(self) -> None:
        """What ran before, or nothing; volumes always stay. Raises `MachineError`."""
        before = releases.current(self.deployment)
        ran = self.state.had_data if self.state.ran is None else self.state.ran
        if before is None and ran:
            say("    what ran before is written down nowhere: the new containers stay")
            return
        if before is None:
            self.deployment.compose("down", release=self.release)
            return
        schema_taken_back(self.deployment, self.release, self.journal)
        # With the settings that it ran with: those of now may be why it is undone.
        kept = self.deployment.kept_settings
        former = replace(self.deployment, env_file=kept) if kept.is_file() else self.deployment
        bring_up(former, before.release, f"{self.state.id}-before")

    def ready(self) -> None:
        """Every container healthy. Raises `Refused` naming the first that is not."""
        _await_well(self.deployment.newest)
        where = seen_by(self.deployment)
        until(lambda: verify.scraped(where), SCRAPE_SECONDS)

    def check(self) -> None:
        """The smoke stage's verdict."""
        where = seen_by(self.deployment)
        self.state.verdict = verify.smoke(self.deployment, where, self.release)
        self.journal.save()

    def record(self) -> None:
        """What runs now is what should run."""
        releases.record(self.deployment, self.state)


def bring_up(deployment: Deployment, release: Release, folder: str) -> None:
    """Bring up a release that is on this machine, served by a proxy configuration of this name."""
    deployment.compose("up", "--detach", "--no-build", release=release)
    _serve(deployment, release, folder)
    answers(deployment.container(API).id)


def _serve(deployment: Deployment, release: Release, folder: str) -> None:
    """The proxy with a release's configuration, and the containers of now behind it."""
    api, front = (deployment.container(one) for one in (API, FRONTEND))
    proxy.prepare(deployment, release, folder, api, front)
    proxy.switch(deployment, folder)


def seen_by(deployment: Deployment) -> Target:
    """The deployment as its users see it."""
    return verify.target(deployment, proxy.live(deployment))


def start(containers: Sequence[Container]) -> None:
    """Start what was deployed and stopped, until it is well. Raises `Refused`."""
    if not containers:
        raise Refused("nothing is deployed here: `compose/deploy.sh` deploys")
    ids = [one.id for one in containers]
    docker("start", *ids)
    _await_well(lambda: inspected(ids))


def without_container(deployment: Deployment, *, one_shots: bool = True) -> list[str]:
    """List the services that compose would run here, and of which there is no container."""
    there = {one.service for one in deployment.containers()}
    return [
        name
        for name, one in deployment.services(running(deployment)).items()
        if name not in there
        and (one_shots or (one.get("labels") or {}).get(ROLE_LABEL) != "one-shot")
    ]


def _await_well(look: Callable[[], Sequence[Container]]) -> None:
    """Wait until all are healthy, or one crashes again and again. Raises `Refused` with its log."""
    began = time.monotonic()

    def decided() -> bool:
        seen = look()
        return not unwell(seen) or any(one.restarts >= CRASHES for one in seen)

    until(decided, READY_SECONDS)
    for one in look():
        if state := unwell([one]).get(one.service):
            seconds = time.monotonic() - began
            raise Refused(f"{one.service} is {state} after {seconds:.0f} s: {last_log_line(one)}")


def stop(deployment: Deployment) -> None:
    """Stop every service; containers and data stay."""
    deployment.compose("stop", "--timeout", "30", release=running(deployment))


def running(deployment: Deployment) -> Release:
    """The release that should run, for compose commands that need its variables."""
    present = releases.current(deployment)
    return present.release if present else Release("0.0.0", "unknown", "latest")
