"""A disposable stack with Testcontainers: start, say where it is, look at it, take it away.

Start-up never raises for a broken stack: what did not come up is evidence, collected before
anything is taken away. Only the machine's own failures raise `MachineError`.
"""

import asyncio
import json
import os
import secrets
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from testcontainers.compose import DockerCompose

from gate.containers import Container, containers, last_lines
from gate.errors import MachineError
from gate.hooks import Release, hooks
from gate.machine import docker
from gate.machine.builds import build_failure
from gate.machine.commands import completed, image_exists, run, variables_of
from gate.machine.limits import advised, machine_error
from gate.machine.modes import make_readable
from gate.model import model
from gate.ready import WHOLE_STACK, Problem, find_broken, wait_ready, wait_settled
from gate.sweep import PROJECT_PREFIX, RUN_LABEL, STARTED_LABEL, RunLock, runs_folder, sweep
from gate.target import Credentials, Target
from gate.wire import Wire

DOCKER_LIMIT = 5.0
COMPOSE_LIMIT = 120.0
BUILD_LIMIT = 1200.0
READY_LIMIT = 60.0
SETTLE_LIMIT = 20.0
LOG_LINES = 1000
DRILL_LIMIT = 60.0
NOT_TOLD = "not-told"
"""In place of a secret whose service does not run: compose files refuse a blank one."""
NO_DRILL = (124, 125)
"""Exit codes of `docker run` that come from us or Docker, not from the health check."""
GATE_LABELS = (RUN_LABEL, STARTED_LABEL)
Seen = TypeVar("Seen")


class ComposeError(MachineError):
    """A compose command failed; the text is the end of what it printed."""


@dataclass
class GateCompose(DockerCompose):
    """Testcontainers' compose with a project name, an environment and time limits of its own."""

    project: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @cached_property
    def compose_command_property(self) -> list[str]:
        """The head of every compose command of this project."""
        files = [item for name in self.compose_file_name or () for item in ("-f", name)]
        # An env file of its own: .env belongs to the deployed stack.
        return ["docker", "compose", "-p", self.project, "--env-file", os.devnull, *files]

    def start(self) -> None:
        """Create and start everything, without waiting and without asking a registry."""
        flags = ["--detach", "--no-build", "--pull", "never"]
        self._run_command([*self.compose_command_property, "up", *flags, *(self.services or ())])

    def stop(self, down: bool = True) -> None:
        """Take containers, networks and volumes away."""
        verb = ["down", "--volumes", "--remove-orphans", "--timeout", "5"] if down else ["stop"]
        self._run_command([*self.compose_command_property, *verb])

    def run(self, *arguments: str, limit: float = COMPOSE_LIMIT) -> str:
        """Run one compose command and return what it printed. Raises `ComposeError`."""
        done = self._run_command([*self.compose_command_property, *arguments], limit=limit)
        return done.stdout.decode(errors="replace")

    def _run_command(
        self, cmd: str | list[str], context: str | None = None, limit: float = COMPOSE_LIMIT
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            words, where = ([cmd] if isinstance(cmd, str) else cmd), Path(context or self.context)
            done = completed(words, limit, where, {**variables_of(words[0]), **self.environment})
        except subprocess.TimeoutExpired:
            raise ComposeError(f"no answer within {limit:g} s: {' '.join(cmd)}") from None
        if not done.ok:
            text = (done.out + done.err).strip()
            failure = build_failure(text, model().built) if "build" in cmd else None
            raise ComposeError(str(failure or "\n".join(text.splitlines()[-20:])))
        return subprocess.CompletedProcess(cmd, done.code, done.out.encode(), done.err.encode())


@dataclass(frozen=True)
class AttachedStack:
    """What has to be known of a stack that another process brought up, to use it."""

    credentials: Credentials
    started: str


def attach(run_id: str) -> AttachedStack:
    """The running stack of another run, read from its containers. Raises `MachineError`."""
    rows = model().secrets
    configs = {one.service: _config(run_id, one.service) for one in rows.values()}
    there = {service: config for service, config in configs.items() if config}
    if not there:
        raise MachineError(f"expected a running stack of run {run_id}, but Docker has none")
    told = {
        service: dict(line.split("=", 1) for line in config["Env"])
        for service, config in there.items()
    }
    known = {n: told.get(one.service, {}).get(one.told_as, NOT_TOLD) for n, one in rows.items()}
    return AttachedStack(Credentials(**known), next(iter(there.values()))["Labels"][STARTED_LABEL])


def _config(run_id: str, service: str) -> dict[str, Any] | None:
    name = f"{PROJECT_PREFIX}{run_id}-{service}-1"
    answer = run(["docker", "inspect", "--format", "{{json .Config}}", name], DOCKER_LIMIT)
    return dict(json.loads(answer.out)) if answer.ok else None


class Stack:
    """One disposable stack from its images to its removal. Use as a context manager.

    With `attached` it is one that another process brought up, and takes away.
    """

    def __init__(
        self,
        run_id: str,
        release: Release,
        overrides: Sequence[Path] = (),
        keep: bool = False,
        attached: AttachedStack | None = None,
    ) -> None:
        self.run_id = run_id
        self.project = f"{PROJECT_PREFIX}{run_id}"
        self.release = release
        self.keep = keep
        self.is_attached = attached is not None
        new = Credentials(*(secrets.token_urlsafe(24) for _ in range(3)))
        made = attached or AttachedStack(new, str(int(time.time())))
        self.credentials = made.credentials
        self.started = made.started
        self.unavailable = hooks().unavailable()
        self.folder = runs_folder() / run_id
        """A folder of this run's own, gone with the stack."""
        self._lock = None if attached else RunLock(run_id)
        files = [*model().files, model().folder / model().disposable, *overrides]
        self.compose = GateCompose(
            context=model().folder,
            compose_file_name=[str(file) for file in files],
            wait=False,
            project=self.project,
            environment=self._environment(),
        )

    def _environment(self) -> dict[str, str]:
        secrets, values = model().secrets, vars(self.credentials)
        here = [one for one in model().services.values() if one.name not in self.unavailable]
        return {
            **{secret.variable: values[name] or "" for name, secret in secrets.items()},
            "COMPOSE_PROFILES": ",".join(one.profile for one in here if one.profile),
            "COMPOSE_ANSI": "never",
            **model().environment,
            "GATE_RUN_ID": self.run_id,
            "GATE_STARTED": self.started,
            **hooks().environment(self.release),
        }

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def of(self, sources: Path) -> GateCompose:
        """Compose on another tree's compose folder, to build this stack's images from it."""
        files = [str(sources / name) for name in model().compose]
        return replace(self.compose, context=sources, compose_file_name=files)

    def add_override(self, file: Path) -> None:
        """One more compose file on top, from now on."""
        self._files([*(self.compose.compose_file_name or ()), str(file)])

    def remove_override(self, file: Path) -> None:
        """Without that compose file again, from now on."""
        self._files([name for name in self.compose.compose_file_name or () if name != str(file)])

    def _files(self, names: list[str]) -> None:
        self.compose.compose_file_name = names
        self.compose.__dict__.pop("compose_command_property", None)  # cached by its name

    def up(self) -> Problem | None:
        """Start every container. What compose could not start comes back as a `Problem`.

        Raises `MachineError` where the machine lacks something, such as an address pool.
        """
        make_readable(*(model().folder / name for name in model().mounted))
        try:
            self.compose.start()
        except ComposeError as error:
            if lacking := machine_error(str(error), "`docker compose up`"):
                raise lacking from None
            return Problem(WHOLE_STACK, "`docker compose up` failed", str(error))
        return None

    def target(self) -> Target:
        """Where the running stack is. Host ports change when a container is started again."""
        found = self._ask(containers)
        urls = dict(_addresses(found))
        entry = model().services[model().entry]
        plain = (
            found[entry.name].host_port(entry.plain_port)
            if entry.plain_port and entry.name in found
            else None
        )
        return Target(
            name="disposable",
            kind="disposable",
            urls=urls,
            unavailable=self.unavailable,
            ca_file=self.ca_file(),
            plain_http=f"http://localhost:{plain}" if plain else None,
            project=self.project,
            managed=True,
        )

    def _ask(self, look: Callable[[Wire], Awaitable[Seen]], target: Target | None = None) -> Seen:
        """Give what `look` sees over a wire of its own; without `target` that leads to Docker."""

        async def asked() -> Seen:
            to = target or Target("disposable", "disposable", project=self.project)
            async with Wire(to, self.credentials, lambda _: None) as wire:
                return await look(wire)

        return asyncio.run(asked())

    def ca_file(self) -> Path | None:
        """The CA that the stack made for itself at its first start, copied out of it."""
        path = self.folder / "ca.crt"
        if not path.exists() and model().ca:
            with suppress(ComposeError):
                self.compose.run("cp", str(model().ca), str(path))
        return path if path.exists() else None

    def ready(self, target: Target, limit: float = READY_LIMIT) -> list[Problem]:
        """Wait until every service answers a real request; what does not is returned."""
        return asyncio.run(wait_ready(target, self.credentials, limit))

    def broken(self, target: Target) -> list[Problem]:
        """Services that exited, restart or are unhealthy now."""
        return self._ask(find_broken, target)

    def settle(
        self, target: Target, broken: Set[str] = frozenset(), limit: float = SETTLE_LIMIT
    ) -> None:
        """Wait until Docker and Prometheus have looked once at every service that is not broken."""
        self._ask(lambda wire: wait_settled(wire, broken, limit), target)

    def health_drills(self) -> dict[str, int]:
        """Exit code of each service's health check in a container where nothing runs."""
        found = [one for one in self._ask(containers).values() if len(one.health_test) > 1]

        async def drill() -> list[int]:
            return await asyncio.gather(*(asyncio.to_thread(_drill, one) for one in found))

        return {one.service: code for one, code in zip(found, asyncio.run(drill()), strict=True)}

    def last_words(self) -> dict[str, str]:
        """The end of every container's log, its state and health output, by service."""
        return self._ask(self._last_words)

    async def _last_words(self, wire: Wire) -> dict[str, str]:
        found = await containers(wire)
        logs = await asyncio.gather(*(last_lines(wire, one, LOG_LINES) for one in found.values()))
        return {
            name: f"state: {one.state}\nhealth: {one.health} {one.health_output}\n{log}"
            for (name, one), log in zip(found.items(), logs, strict=True)
        }

    def remove(self) -> None:
        """Take everything of this run away, unless it is to be kept or is not ours.

        Raises `MachineError` for what is still there: the next gate's sweep tries again.
        """
        if self._lock is not None and self.keep:
            self._lock.release(keep=True)
        elif self._lock is not None:
            self._lock.end(self.compose.stop)


def _drill(one: Container) -> int:
    """Run a health check in a fresh container of the same image, without service or network."""
    kind, *words = one.health_test
    command = ["sh", "-c", words[0]] if kind == "CMD-SHELL" else words
    empty = ["docker", "run", "--rm", "--network", "none", "--volumes-from", f"{one.id}:ro"]
    limits = ["--user", one.user or "0", "--memory", "256m"]
    labels = [f"--label={name}={one.labels[name]}" for name in GATE_LABELS if name in one.labels]
    program = ["--entrypoint", command[0], one.image, *command[1:]]
    done = run([*empty, *limits, *labels, *program], DRILL_LIMIT)
    if done.code in NO_DRILL:
        raise MachineError(
            f"expected Docker to run the health check of {one.service} in an empty container,"
            f" but: {done.text}"
        )
    return done.code


def _addresses(found: dict[str, Container]) -> Iterator[tuple[str, str]]:
    for one in model().services.values():
        bound = found[one.name].host_port(one.port) if one.port and one.name in found else None
        if bound:
            yield one.name, f"{one.scheme}://localhost:{bound}"


def require_docker() -> None:
    """Raises `MachineError` unless a Docker engine answers in time, on this machine."""
    chosen = docker.local()
    answer = run(["docker", "version", "--format", "{{.Server.Version}}"], DOCKER_LIMIT)
    if not answer.ok:
        raise MachineError(
            f"expected a Docker engine to answer at {chosen}, but:"
            f" {answer.text.splitlines()[-1]}; run `make gate`, which installs and starts one,"
            " or start it yourself"
        )


def build(compose: GateCompose, what: Release) -> None:
    """Build the images of a release unless they are there. Raises `MachineError`."""
    if all(map(image_exists, hooks().images(what))):
        return
    try:
        compose.run("build", *model().built, limit=BUILD_LIMIT)
    except ComposeError as error:
        raise MachineError(
            f"expected to build the images of this tree, but: {advised(str(error))};"
            " `make gate` prepares the images that these are built from"
        ) from None


def clean_start() -> None:
    """What has to hold before a stack is brought up: Docker answers, dead runs are gone."""
    require_docker()
    sweep()
