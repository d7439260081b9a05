"""Update and rollback: the new colour beside the old one, verified, then switched to."""

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from compose.lifecycle import backups, building, judge, proxy, releases, verify
from compose.lifecycle.deployment import (
    API,
    COLOURED,
    FRONTEND,
    Deployment,
    ask,
    docker,
    health,
    holds_within,
    inspected,
    last_log_line,
    name_of,
    remove,
)
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal, new_id, read_json, write_json
from compose.lifecycle.state import ReleaseState, UpdateOptions, UpdateState
from compose.lifecycle.steps import Step, StepName
from compose.release import Release
from gate.containers import Container
from gate.errors import MachineError
from gate.machine.console import say
from gate.target import Target, Trust

READY_SECONDS = 60.0
PAGE_SECONDS = 10.0
SCRAPED_SECONDS = 15.0
"""Three scrapes: who is not seen by then is for the smoke stage to tell."""
SWITCH_SECONDS = 15.0
DRAIN_SECONDS = 20.0
"""Longer than the proxy lets any request stand still; docs/drain.md has all limits."""
STOP_SECONDS = 30
LEASE_SECONDS = 20.0
MIGRATE_LIMIT = 120.0
LOOK_SECONDS = 0.5
RETAINED = "kept.json"
TRADING = ("RUNNING", "PAUSED")


@dataclass
class Update:
    """One update, described by its journal alone, so that any process can go on with it."""

    deployment: Deployment
    journal: Journal[UpdateState]
    trust: ClassVar[Trust] = "verify"

    @property
    def state(self) -> UpdateState:
        """What the steps know of each other."""
        return self.journal.state

    @property
    def options(self) -> UpdateOptions:
        """How careful it is."""
        return self.state.options

    @property
    def release(self) -> Release:
        """What is updated to."""
        return self.state.release

    @property
    def folder(self) -> str:
        """The new release's proxy configuration."""
        return self.state.id

    @property
    def old_ids(self) -> list[str]:
        """The containers of the old colour."""
        return list(self.state.old.values())

    def old(self, service: str) -> str:
        """Give the old colour's container of a service."""
        return self.state.old[service]

    def new(self, service: str) -> Container:
        """Find the new colour's container of a service. Raises `Rejected` when there is none."""
        containers = [
            container
            for container in self.deployment.containers(service)
            if container.id not in self.old_ids
        ]
        if not containers:
            raise Rejected(f"there is no container of the new {service}")
        return containers[-1]

    def steps(self) -> list[Step]:
        """List every step, in order."""
        version = f"{self.release.version} ({self.release.revision[:12]})"
        canary = f"{self.options.canary:g} % for {self.options.canary_seconds:g} s, then judged"
        every = [
            Step(
                StepName.IMAGES,
                f"build or pull {version} while the old release serves",
                self.images,
            ),
            Step(
                StepName.BACKUP,
                "data, settings and manifest, while the engine writes",
                self.back_up,
            ),
            Step(StepName.START, "the new colour beside the old one", self.start, self.undo_start),
            Step(StepName.READY, "until the new API is healthy", self.ready),
            Step(
                StepName.VERIFY,
                "smoke stage on the new colour, without traffic",
                self.check,
                self.undo_check,
            ),
            Step(StepName.CANARY, canary, self.canary, self.undo_canary),
            Step(StepName.SWITCH, "the proxy to the new colour", self.switch, self.undo_switch),
            Step(
                StepName.CONFIRM, f"through the proxy, for {self.options.watch:g} s", self.confirm
            ),
            Step(
                StepName.HAND_OVER,
                "drain the old colour, stop it, its engine's lease to the new one",
                self.hand_over,
                self.undo_hand_over,
                final=True,
            ),
            Step(StepName.RETIRE, "the old colour; write the release manifest", self.retire),
        ]
        left_out = {StepName.BACKUP} if not self.options.backup else set()
        left_out |= {StepName.CANARY} if not self.options.canary else set()
        return [step for step in every if step.name not in left_out]

    # The steps

    def back_up(self) -> None:
        """Back the data up as they are."""
        key_file = self.options.key_file
        self.state.backup = backups.make(self.deployment, key_file, self.journal.command).name

    def images(self) -> None:
        """Get all images of the release onto this machine."""
        building.provide(self.deployment, self.release)

    def start(self) -> None:
        """Start a second container of each coloured service."""
        scale = [word for service in COLOURED for word in ("--scale", f"{service}=2")]
        flags = ["--no-recreate", "--no-build", "--pull", "never"]
        self.state.new_schema = building.schema(self.release)
        self.journal.save()
        remove_others(self.deployment, self.old_ids)
        # Not `up`: that starts the old colour too, where a rollback has stopped it, and a newer
        # release would take the data up to its own schema again.
        self.deployment.compose("create", *flags, *scale, *COLOURED, release=self.release)
        docker("start", *(self.new(service).id for service in COLOURED))

    def undo_start(self) -> None:
        """Leave only the old colour's containers, and data that it can read."""
        downgrade_schema(self.deployment, self.release, self.journal)
        remove_others(self.deployment, self.old_ids)
        if self.state.stopped:
            self.restart_old()

    def restart_old(self) -> None:
        """Start the old bot again, well or not. Raises `MachineError` when it does not."""
        docker("start", self.old(API))
        answers(self.old(API))

    def ready(self) -> None:
        """Wait until it is healthy, and not by way of a crash."""
        seen = holds_within(
            lambda: health(self.alive(API).id).get("status") == "healthy", READY_SECONDS
        )
        if not seen:
            raise Rejected(f"the new API is not healthy after {READY_SECONDS:g} s")
        holds_within(self.page_answers, PAGE_SECONDS)
        where = self.entrance()
        holds_within(lambda: verify.scraped(where, API, self.scraped_since), SCRAPED_SECONDS)

    @property
    def scraped_since(self) -> str:
        """When the scrape has to have begun that is waited for: at any time, for one always ran."""
        return ""

    def entrance(self) -> Target:
        """Give the deployment as its users see it."""
        return verify.target(self.deployment, proxy.live(self.deployment), self.trust)

    def page_answers(self) -> bool:
        """Ask the page itself: Docker's first look at it comes only after its whole interval."""
        page = f"{name_of(self.alive(FRONTEND))}:3000"
        return ask(self.alive(API).id, "/", page)[0] == 200

    def alive(self, service: str) -> Container:
        """Find the new colour's container. Raises `Rejected` when it has crashed."""
        container = self.new(service)
        if container.state in ("exited", "dead", "restarting") or container.restarts:
            # While it runs again, Docker knows no exit code of the time before.
            how = f"exit code {container.exit_code}" if container.exit_code else "and runs again"
            raise Rejected(f"the new {service} crashed, {how}: {last_log_line(container)}")
        return container

    def check(self) -> None:
        """Ask for the smoke stage's verdict on the new colour, through a proxy of its own."""
        self.prepare()
        with verify.entry(self.deployment, self.release, self.folder, self.trust) as where:
            verdict = verify.smoke(self.deployment, where, self.release)
        self.state.verdict = verdict

    def prepare(self) -> None:
        """Prepare the new release's proxy configuration, with the new colour behind it."""
        proxy.prepare(self.deployment, self.release, self.folder, self.new(API), self.new(FRONTEND))

    def undo_check(self) -> None:
        """Remove every trace of the new proxy."""
        remove([verify.entry_name(self.deployment)])
        proxy.forget(self.deployment, self.folder)

    def canary(self) -> None:
        """Send a part of the requests to the new colour, and judge both."""
        split = f"{self.folder}-canary"
        old = self.state.folder
        proxy.split(self.deployment, old, split, self.new(API), self.options.canary)
        since = f"{time.time():.3f}"
        proxy.switch(self.deployment, split)
        ends = time.monotonic() + self.options.canary_seconds
        while time.monotonic() < ends:
            self.alive(API)
            time.sleep(LOOK_SECONDS)
        entries = proxy.access_log(self.deployment, since)
        new, before = (
            judge.upstream_stats(entries, proxy.address(api))
            for api in (self.new(API), *inspected([self.old(API)]))
        )
        say(f"    new colour {new.requests} requests, old {before.requests}")
        if reason := judge.canary_regression(new, before):
            raise Rejected(f"canary: {reason}")

    def undo_canary(self) -> None:
        """Send all requests to the old colour again."""
        self.undo_switch()
        proxy.forget(self.deployment, f"{self.folder}-canary")

    def switch(self) -> None:
        """Send requests to the new colour from now on."""
        proxy.switch(self.deployment, self.folder)

    def undo_switch(self) -> None:
        """Send requests to the old colour again; those that the new one has are let finish."""
        old = self.state.folder
        if proxy.serving(self.deployment) != old:
            proxy.switch(self.deployment, old)
            for container in self.deployment.containers(API):
                if container.id not in self.old_ids and container.state == "running":
                    proxy.await_drained(self.deployment, container.id, DRAIN_SECONDS)

    def confirm(self) -> None:
        """Watch that the new colour answers through the proxy, and goes on doing so."""
        where = self.entrance()
        started = health(self.alive(API).id).get("started_at")

        def look() -> dict[str, Any]:
            return verify.look(where, "/api/health")

        if not holds_within(
            lambda: started and look().get("started_at") == started, SWITCH_SECONDS
        ):
            raise Rejected("the proxy does not lead to the new API after the switch")
        ends = time.monotonic() + self.options.watch
        while time.monotonic() < ends:
            self.alive(API)
            if look().get("status") not in ("healthy", "degraded"):
                raise Rejected("the new API is not well any more, a moment after the switch")
            time.sleep(LOOK_SECONDS)

    def hand_over(self) -> None:
        """Let requests in flight finish, stop the old engine, and wait for the new one's lease."""
        if not proxy.await_drained(self.deployment, self.old(API), DRAIN_SECONDS):
            say(f"    some requests are still in flight after {DRAIN_SECONDS:g} s")
        docker("stop", "--time", str(STOP_SECONDS), self.old(API))
        new = self.alive(API).id
        if not holds_within(lambda: trades_if_told(new), LEASE_SECONDS):
            raise Rejected(f"the new engine did not take the lease within {LEASE_SECONDS:g} s")

    def undo_hand_over(self) -> None:
        """Let the old colour serve and trade again."""
        downgrade_schema(self.deployment, self.release, self.journal)
        docker("start", *self.old_ids)
        self.restart_old()

    def retire(self) -> None:
        """Stop what is left of the old colour, keep it or not, and say what runs now."""
        for container in inspected(self.old_ids):
            docker("stop", "--time", str(STOP_SECONDS), container.id)
        releases.record(self.deployment, self.state)
        for folder in (self.state.folder, f"{self.folder}-canary"):
            proxy.forget(self.deployment, folder)
        retain_containers(self.deployment, self.old_ids, self.options.keep_minutes)


def read_state(deployment: Deployment, release: Release, options: UpdateOptions) -> UpdateState:
    """Read what an update starts from."""
    return UpdateState(
        id=new_id(),
        release=release,
        old={service: deployment.container(service).id for service in COLOURED},
        folder=proxy.serving(deployment),
        options=options,
    )


def answers(api: str) -> None:
    """Wait for an API's first answer, whatever it is. Raises `MachineError` without one."""
    if not holds_within(lambda: ask(api, "/api/health")[0], READY_SECONDS):
        raise MachineError(
            f"Expected the former {API} to answer within {READY_SECONDS:g} s, but it does not:"
            f" read `docker logs {api[:12]}`, then give this command again."
        )


def downgrade_schema(
    deployment: Deployment, newer: Release, journal: Journal[ReleaseState]
) -> None:
    """Take data that the new release has migrated down to the schema of the one that should run.

    The bot is stopped for that. An older release refuses a newer schema when it starts.
    """
    present = releases.current(deployment)
    if present is None or journal.state.new_schema <= present.schema:
        return
    if backups.schema(deployment) <= present.schema:  # it did not come to its migration
        return
    say(f"    data of a newer schema: down to {present.schema} again")
    journal.state.stopped = True
    journal.save()
    backups.stop(deployment, API)
    migrate(deployment, newer, present.schema)


def migrate(deployment: Deployment, newer: Release, to: int) -> None:
    """Take the data down to a schema by the release that knows the way; the bot must be stopped."""
    volume = f"{deployment.volume('data')}:/data"
    flags = ["--rm", "--network", "none", "--user", "10001:10001", "-v", volume]
    program = ["/venv/bin/python", "-m", "breakout_bot.migrate", "--to", str(to)]
    docker("run", *flags, releases.image(API, newer), *program, limit=MIGRATE_LIMIT)


def trades_if_told(api: str) -> bool:
    """Tell whether an engine that should trade holds the lease."""
    status, body = ask(api, "/api/engine/status")
    with suppress(ValueError, TypeError, KeyError):
        engine = json.loads(body) if status == 200 else {}
        return engine["state"] not in TRADING or bool(engine["leaseHeld"])
    return False


def remove_others(deployment: Deployment, wanted: list[str]) -> None:
    """Remove every container of the coloured services that is not wanted."""
    for service in COLOURED:
        for container in deployment.containers(service):
            if container.id not in wanted:
                if container.state == "running":
                    docker("stop", "--time", str(STOP_SECONDS), container.id)
                remove([container.id])


def retain_containers(deployment: Deployment, ids: list[str], minutes: float) -> None:
    """Keep stopped containers for a while, or remove them now."""
    if minutes <= 0:
        return remove(ids)
    until_then = datetime.now(UTC) + timedelta(minutes=minutes)
    return write_json(
        deployment.state / RETAINED, {"containers": ids, "until": until_then.isoformat()}
    )


def purge_retained(deployment: Deployment) -> None:
    """Remove the containers that an update has kept, once their time is over."""
    path = deployment.state / RETAINED
    remedy = "remove it; `docker ps --all` shows the stopped containers that it was about"
    kept = read_json(path, _retained, remedy)
    if kept and kept[0] < datetime.now(UTC):
        remove(kept[1])
        path.unlink()


def _retained(content: dict[str, Any]) -> tuple[datetime, list[str]]:
    until = datetime.fromisoformat(content["until"]).astimezone(UTC)
    return until, list(content["containers"])
