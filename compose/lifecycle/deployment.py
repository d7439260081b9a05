"""One deployment: its compose project, files, settings, state folder and containers."""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from compose.release import HERE, OWN_SERVICES, Release, release_environment
from gate import settings, wait
from gate.containers import OF_COMPOSE, PROJECT_LABEL, Container
from gate.errors import MachineError, WaitError
from gate.machine.builds import build_failure
from gate.machine.commands import Result, piped, run
from gate.machine.console import say_once
from gate.machine.limits import advised, limit_of
from gate.machine.modes import make_readable
from gate.model import model
from gate.target import DEPLOYED_PROJECT, Credentials, env_values, public_url
from reports.redact import Redactor

API, FRONTEND, PROXY, REDIS, EXCHANGE = map(
    model().name, ("api", "page", "proxy", "redis", "exchange")
)
COLOURED = (API, FRONTEND)
"""Services of which an update runs two at a time, an old and a new colour."""
DOCKER_LIMIT = 60.0
COMPOSE_LIMIT = 180.0
BUILD_LIMIT = 1200.0
HARMLESS = ("build", "pull", "config")
"""Compose commands that can be broken off: they change no deployment."""
MOUNTING = ("up", "create")
"""Compose commands that make containers."""
POLL_SECONDS = 0.4
"""Most looks start a program in a container, which costs 0.15 s of a core."""
LAST_LINES = 16
"""Of what a failed command printed."""


@dataclass(frozen=True)
class Deployment:
    """Which deployment a command is about; everything else is found from here."""

    project: str = DEPLOYED_PROJECT
    files: tuple[Path, ...] = (HERE / "compose.yaml",)
    env_file: Path = HERE / ".env"
    state: Path = HERE / "releases" / DEPLOYED_PROJECT

    @property
    def values(self) -> dict[str, str]:
        """Its settings."""
        return env_values(self.env_file) if settings.exists(self.env_file) else {}

    @property
    def credentials(self) -> Credentials:
        """Its secrets."""
        names = ("API_KEY", "REDIS_PASSWORD", "GRAFANA_PASSWORD")
        return Credentials(*(self.values.get(name) or None for name in names))

    def redacted(self, text: str) -> str:
        """Take its secrets out of a text, as they are written and as compose reads them."""
        return self._redactor.text(text)

    @cached_property
    def _redactor(self) -> Redactor:
        there = settings.exists(self.env_file)
        return Redactor(settings.secrets(self.env_file) if there else ())

    @property
    def profiles(self) -> list[str]:
        """Its optional services' profiles, as its settings have them."""
        asked = [name.strip() for name in self.values.get("COMPOSE_PROFILES", "").split(",")]
        known = {one.profile for one in model().services.values()}
        return [name for name in dict.fromkeys(asked) if name in known]

    @property
    def server_name(self) -> str:
        """Its public name."""
        return self.values.get("SERVER_NAME") or "localhost"

    @property
    def url(self) -> str:
        """The URL at which people use it. Raises `TargetError` for a name that none can have."""
        return public_url(self.values)

    # Docker

    def compose(
        self, *arguments: str, release: Release | None = None, limit: float = COMPOSE_LIMIT
    ) -> str:
        """Run a compose command on this project; what it printed. Raises `MachineError`."""
        files = [word for file in self.files for word in ("-f", str(file))]
        if arguments[0] in MOUNTING:
            self.open_files()
        env_file = self.env_file if self.env_file.is_file() else Path(os.devnull)
        head = ["docker", "compose", "-p", self.project, "--env-file", str(env_file), *files]
        chosen = release_environment(release) if release else {}
        env = {**chosen, "COMPOSE_ANSI": "never"}
        # To compose an exported variable would count more than the same one in the settings: `run`
        # gives it none of them.
        done = run([*head, *arguments], limit, breakable=arguments[0] in HARMLESS, env=env)
        # In logrus's format: time="…" level=warning msg="…".
        for message in re.findall(r'level=warning msg=("(?:[^"\\]|\\.)*")', done.err):
            warning = str(json.loads(message))
            if not settings.unset_in_settings(warning, env_file):  # told by the preflight
                say_once(f"  ! compose warns: {warning}")
        is_failed_build = arguments[0] == "build" and not done.ok
        if is_failed_build and (failure := build_failure(done.text, OWN_SERVICES)):
            raise MachineError(advised(str(failure)))
        return _succeeded(f"docker compose {arguments[0]}", done)

    def open_files(self) -> None:
        """Let containers' users read the files that they mount. Raises `MachineError`."""
        make_readable(*(self.files[0].parent / name for name in model().mounted))

    def services(self, release: Release | None = None) -> dict[str, Any]:
        """Render each service's part of the files by compose. Raises `MachineError`."""
        rendered = json.loads(self.compose("config", "--format", "json", release=release))
        services: dict[str, Any] = rendered["services"]
        return services

    def containers(self, service: str | None = None) -> list[Container]:
        """List its containers, oldest first; of one service where that is named."""
        filters = [f"label={PROJECT_LABEL}={self.project}", f"label={OF_COMPOSE}"]
        if service:
            filters.append(f"label=com.docker.compose.service={model().name(service)}")
        options = [word for condition in filters for word in ("--filter", condition)]
        ids = docker("ps", "--all", "--quiet", "--no-trunc", *options).split()
        return sorted(inspected(ids), key=lambda container: str(container.inspected["Created"]))

    def container(self, service: str) -> Container:
        """Find the newest running container of a service. Raises `MachineError` without one."""
        running = [
            container for container in self.containers(service) if container.state == "running"
        ]
        if not running:
            raise MachineError(
                f"Expected {service} of {self.project} to run, but it does not;"
                " `compose/start.sh` starts the deployment."
            )
        return running[-1]

    @property
    def kept_settings(self) -> Path:
        """The settings of the release that runs, as they were when it was taken: to go back to."""
        return self.state / "settings.env"

    def unhealthy_services(self) -> dict[str, str]:
        """Give the services that do not do their work, and their state."""
        return unhealthy_services(self.newest())

    def newest(self) -> list[Container]:
        """List the newest container of each service, not former ones that an update has kept."""
        newest = {
            container.service: container
            for container in self.containers()
            if not container.one_shot
        }
        return list(newest.values())

    def volume(self, name: str) -> str:
        """Give Docker's name of one of its volumes."""
        return f"{self.project}_{name}"

    def has_volume(self, name: str) -> bool:
        """Tell whether that volume exists: it may, without any container."""
        return self.volume(name) in docker("volume", "ls", "--quiet").split()


def unhealthy_services(containers: Iterable[Container]) -> dict[str, str]:
    """Give those of these services that do not do their work, and their state."""
    return {
        container.service: f"{container.state}, {container.health or 'no health check'}"
        for container in containers
        if container.health != "healthy"
    }


def docker(*arguments: str, limit: float = DOCKER_LIMIT) -> str:
    """Run a docker command; what it printed. Raises `MachineError`."""
    return _succeeded(f"docker {arguments[0]}", run(["docker", *arguments], limit))


def _succeeded(command: str, done: Result) -> str:
    if not done.ok:
        last = [line for line in done.text.splitlines() if line.strip()][-LAST_LINES:]
        limit = limit_of(done.text)
        step = f"; {limit.next_step}" if limit else ""
        raise MachineError(f"Expected `{command}` to succeed, but: {' | '.join(last)}{step}")
    return done.out


def inspected(ids: Sequence[str]) -> list[Container]:
    """Inspect containers by id or name; those that are gone are left out."""
    if not ids:
        return []
    done = run(["docker", "inspect", "--type", "container", *ids], DOCKER_LIMIT)
    found = [Container(details) for details in json.loads(done.out or "[]")]
    if not done.ok:
        seen = {word for container in found for word in (container.id, name_of(container))}
        listed = docker("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}}").split()
        if not seen.issuperset(set(ids).intersection(listed)):
            _succeeded("docker inspect", done)
    return found


def last_log_line(container: Container) -> str:
    """Read the last line that a container has logged, for people."""
    lines = run(["docker", "logs", "--tail", "3", container.id], 10.0).text.splitlines()
    return lines[-1][:300] if lines else "it has logged nothing"


def name_of(container: Container) -> str:
    """Give the container's name: unlike the service's, it names one colour."""
    return str(container.inspected["Name"]).lstrip("/")


def remove(ids: Sequence[str]) -> None:
    """Remove containers, running or not; those that are gone already are no trouble."""
    for container in inspected(ids):
        docker("rm", "--force", container.id)


def ask(container: str, path: str, at: str = "127.0.0.1:8000") -> tuple[int, str]:
    """GET `path` from inside an API container, of itself or of another address.

    Returns (status, body); status 0 without an answer.
    """
    script = (
        "import sys,urllib.request,urllib.error\n"
        "try: r=urllib.request.urlopen('http://'+sys.argv[2]+sys.argv[1],timeout=3)\n"
        "except urllib.error.HTTPError as e: r=e\n"
        "print(r.status);sys.stdout.write(r.read().decode())"
    )
    command = ["docker", "exec", container, "/venv/bin/python", "-c", script, path, at]
    done = run(command, 10.0)
    status, _, body = done.out.partition("\n")
    return (int(status), body) if done.ok and status.isdigit() else (0, done.text[-300:])


def health(container: str) -> dict[str, Any]:
    """Read the health report of one API container; empty when it is not well or gives none."""
    status, body = ask(container, "/api/health")
    with suppress(ValueError, TypeError):
        return dict(json.loads(body)) if status == 200 else {}
    return {}


def capture(command: Sequence[str], path: Path, limit: float) -> None:
    """Run a program with its output into a file. Raises `MachineError`."""
    with path.open("wb") as file:
        piped(command, limit, stdout=file)


def feed(command: Sequence[str], path: Path, limit: float) -> None:
    """Run a program with a file as its input. Raises `MachineError`."""
    with path.open("rb") as file:
        piped(command, limit, stdin=file)


def holds_within(condition: Callable[[], Any], seconds: float, every: float = POLL_SECONDS) -> Any:
    """Look again until `condition` holds; what it gave last, true or not, after `seconds`."""
    try:
        return wait.wait_until(condition, seconds, "it", every=every)
    except WaitError as late:
        return late.seen
