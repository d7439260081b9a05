"""Planting: one fault in one stack, shown to be there, and taken back."""

import asyncio
import json
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path

from gate.containers import containers
from gate.errors import MachineError, WaitError
from gate.machine.commands import run
from gate.ready import POLL_SECONDS, Problem
from gate.stack import BUILD_LIMIT, Stack
from gate.target import Target
from gate.wait import wait_until
from gate.wire import Wire, WireError
from reports.events import FaultPlanted
from tests.faults.fault import BEFORE, Fault
from tests.faults.planters import ACTIONS, IN_COMPOSE, LIMIT, NotPlanted, container, drop_images

WELL_SECONDS = 60.0
HASH_LABEL = "com.docker.compose.config-hash"


class Planting:
    """Puts a fault into a stack: `before` it starts, or `now` that it runs; then `undo`."""

    phase = "planting"
    words = "planting the fault"

    def __init__(self, stack: Stack, fault: Fault) -> None:
        self.stack = stack
        self.fault = fault
        self.services: list[str] = []
        """Services that the fault's compose files change."""
        self._folder = stack.folder / "fault"
        self._files: list[Path] = []
        self._acts = ExitStack()

    def before(self) -> None:
        """Change what the stack is started from, where the fault says so. Raises `NotPlanted`."""
        if self.fault.when == BEFORE:
            self._put_on()

    def now(self) -> list[Problem]:
        """Plant what acts on a running stack; returns what does not come up again for it.

        Raises `NotPlanted`.
        """
        problems: list[Problem] = []
        if self.fault.overrides and self.fault.when != BEFORE:
            self._put_on()
            problems = self.recreate()
        for part in self.fault.actions:
            self._acts.enter_context(ACTIONS[part.kind](self.stack, part))
        return problems

    def recreate(self) -> list[Problem]:
        """Create the changed services anew; returns what does not come up for it."""
        self._up()
        self.shown()
        return self.stack.ready(self.stack.target())

    def shown(self) -> None:
        """Show that the containers are those of the changed files. Raises `NotPlanted`."""
        wanted = self._hashes()
        for service in self.services:
            seen = self._running(service)
            if seen not in (None, wanted[service]):
                raise NotPlanted(f"expected {service} to run with the fault, but it runs without")

    def end(self) -> None:
        """Take the fault back, unless the stack goes with it. Raises `NotPlanted`."""
        if self.stack.is_attached:
            self.undo()
            return
        with suppress(MachineError):
            self._acts.close()
        drop_images(self.stack)

    def event(self) -> FaultPlanted:
        """Return the event that tells which fault is planted."""
        return FaultPlanted(self.fault.id, self.fault.title)

    def undo(self) -> None:
        """Take everything back, show it, and wait until all is well. Raises `NotPlanted`."""
        try:
            self._acts.close()
        finally:
            for file in self._files:
                self.stack.remove_override(file)
            if self.services:
                self._up()
                self.shown()
            shutil.rmtree(self._folder, ignore_errors=True)
            drop_images(self.stack)
        wait_until_well(self.stack, WELL_SECONDS)

    def _put_on(self) -> None:
        self._folder.mkdir(mode=0o755)
        # The containers' users have to be able to read what is mounted from here.
        self.stack.folder.chmod(0o711)
        before = self._hashes()
        for number, part in enumerate(self.fault.overrides):
            if part.kind == "override":
                text = str(part["yaml"])
            else:
                piece = IN_COMPOSE[part.kind](self.stack, self._folder, part)
                text = json.dumps({"services": {part["service"]: piece}})
            file = self._folder / f"{number}.yaml"
            file.write_text(text, encoding="utf-8")
            self.stack.add_override(file)
            self._files.append(file)
            if part.kind == "patch" and not part["file"].startswith("/"):
                self.stack.compose.run("build", part["service"], limit=BUILD_LIMIT)
        after = self._hashes()
        self.services = [name for name in after if after[name] != before.get(name)]
        if not self.services:
            raise NotPlanted(f"expected {self.fault.id} to change a service, but it changes none")

    def _hashes(self) -> dict[str, str]:
        # Also services whose profile is off: their files are judged all the same.
        lines = self.stack.compose.run("--profile", "*", "config", "--hash", "*").splitlines()
        return dict(line.split() for line in lines)

    def _running(self, service: str) -> str | None:
        """The hash of what a container was made from; None where there is none."""
        form = f'{{{{index .Config.Labels "{HASH_LABEL}"}}}}'
        done = run(["docker", "inspect", "--format", form, container(self.stack, service)], LIMIT)
        return done.out.strip() if done.ok else None

    def _up(self) -> None:
        services = [one for one in self.services if one not in self.stack.unavailable]
        if services:
            # Not with --no-deps: compose counts what a service depends on into its hash.
            # With new anonymous volumes: a service made anew keeps its old ones otherwise.
            words = ["up", "--detach", "--no-build", "--pull", "never", "--renew-anon-volumes"]
            self.stack.compose.run(*words, *services)


def wait_until_well(stack: Stack, limit: float) -> None:
    """Wait until nothing is left of a fault: all healthy, all scraped. Raises `NotPlanted`."""

    def wrong() -> str | None:
        return asyncio.run(_not_well(stack, stack.target()))

    try:
        wait_until(wrong, limit, "the stack to be well", lambda one: not one, every=POLL_SECONDS)
    except WaitError as late:
        raise NotPlanted(str(late)) from None


async def _not_well(stack: Stack, target: Target) -> str | None:
    """What is not well yet; None when all is."""
    try:
        async with Wire(target, stack.credentials, lambda _: None) as wire:
            found = (await containers(wire, stack.project)).values()
            health = (await wire.http("/api/health")).json()
            targets = (await wire.http("/api/v1/targets?state=active", "prometheus")).json()
    except (WireError, ValueError) as error:
        return str(error)
    ill = [one.service for one in found if not one.one_shot and one.health != "healthy"]
    down = [one["scrapeUrl"] for one in targets["data"]["activeTargets"] if one["health"] != "up"]
    if health.get("status") != "healthy":
        ill.append(f"health says {health.get('status')}")
    return ", ".join([*ill, *down]) or None
