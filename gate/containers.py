"""Containers of a compose project as Docker reports them: state, health, limits, last words."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gate.model import model
from gate.target import LOOPBACK
from gate.wire import Wire, WireError

ROLE_LABEL = model().label("role")
SOURCE_LABEL = model().label("image-source")
VERSION_LABEL = "org.opencontainers.image.version"
PROJECT_LABEL = "com.docker.compose.project"
OF_COMPOSE = "com.docker.compose.oneoff=False"
"""Compose writes its project on the images that it builds too: what `docker run` makes of them has
that label, as the proxy that an update is verified through. Only compose's own have this one."""
ANY_ADDRESS = {"": LOOPBACK, "0.0.0.0": LOOPBACK, "::": LOOPBACK}  # noqa: S104
"""Where this machine finds what is published on every interface."""
REVISION_LABEL = "org.opencontainers.image.revision"


@dataclass(frozen=True)
class Container:
    """One container, read from `docker inspect`'s answer."""

    inspected: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Docker's id."""
        return str(self.inspected["Id"])

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of the container and of its image."""
        return self._config.get("Labels") or {}

    @property
    def service(self) -> str:
        """The compose service."""
        return self.labels["com.docker.compose.service"]

    @property
    def one_shot(self) -> bool:
        """Whether it is declared to do one job and exit."""
        return self.labels.get(ROLE_LABEL) == "one-shot"

    @property
    def image(self) -> str:
        """The image's name as the compose file has it."""
        return str(self._config["Image"])

    @property
    def image_id(self) -> str:
        """The digest of the image that really runs."""
        return str(self.inspected["Image"])

    @property
    def state(self) -> str:
        """`running`, `paused`, `restarting`, `exited`, `created`, `dead`."""
        return str(self._state["Status"])

    @property
    def exit_code(self) -> int:
        """The last exit code; 137 is SIGKILL, often for want of memory."""
        return int(self._state["ExitCode"])

    @property
    def oom_killed(self) -> bool:
        """Whether the kernel killed it for want of memory."""
        return bool(self._state["OOMKilled"])

    @property
    def started_at(self) -> str:
        """When it started last: ISO 8601, UTC."""
        return str(self._state["StartedAt"])

    @property
    def restarts(self) -> int:
        """How often Docker has restarted it."""
        return int(self.inspected["RestartCount"])

    @property
    def health(self) -> str | None:
        """`healthy`, `unhealthy`, `starting`, or None without a health check."""
        health = self._state.get("Health")
        return str(health["Status"]) if health else None

    @property
    def health_output(self) -> str:
        """What the last health check printed."""
        log = (self._state.get("Health") or {}).get("Log") or []
        return f"exit {log[-1]['ExitCode']}: {log[-1]['Output'].strip()}" if log else ""

    @property
    def health_test(self) -> list[str]:
        """The health check's command as Docker runs it; empty without one."""
        return list((self._config.get("Healthcheck") or {}).get("Test") or [])

    @property
    def user(self) -> str:
        """The user it runs as; empty means root."""
        return str(self._config.get("User") or "")

    @property
    def restart_policy(self) -> str:
        """`no`, `always`, `unless-stopped`, `on-failure`."""
        return str(self._host["RestartPolicy"]["Name"] or "no")

    @property
    def log_options(self) -> Mapping[str, str]:
        """Options of the log driver."""
        return self._host["LogConfig"].get("Config") or {}

    @property
    def log_driver(self) -> str:
        """The log driver."""
        return str(self._host["LogConfig"]["Type"])

    @property
    def memory_limit(self) -> int:
        """Bytes; 0 is no limit."""
        return int(self._host["Memory"])

    @property
    def privileged(self) -> bool:
        """Whether it has the host's full rights."""
        return bool(self._host["Privileged"])

    @property
    def mounts(self) -> list[Mapping[str, Any]]:
        """Mounts as Docker lists them: Type, Name, Source, Destination."""
        return list(self.inspected["Mounts"])

    def host_port(self, port: int) -> int | None:
        """The host port that `port` is published on."""
        bound = self.inspected["NetworkSettings"]["Ports"].get(f"{port}/tcp")
        return int(bound[0]["HostPort"]) if bound else None

    def host_address(self, port: int) -> str | None:
        """`HOST:PORT` at which this machine reaches `port`, where it is published."""
        bound = self.inspected["NetworkSettings"]["Ports"].get(f"{port}/tcp")
        if not bound:
            return None
        host = ANY_ADDRESS.get(bound[0]["HostIp"], bound[0]["HostIp"])
        return (
            f"[{host}]:{bound[0]['HostPort']}" if ":" in host else f"{host}:{bound[0]['HostPort']}"
        )

    def published(self) -> Iterator[tuple[str, str]]:
        """(address, port) pairs on the host that reach this container."""
        for bound in self.inspected["NetworkSettings"]["Ports"].values():
            for one in bound or ():
                yield one["HostIp"], one["HostPort"]

    @property
    def _config(self) -> Mapping[str, Any]:
        config: Mapping[str, Any] = self.inspected["Config"]
        return config

    @property
    def _state(self) -> Mapping[str, Any]:
        state: Mapping[str, Any] = self.inspected["State"]
        return state

    @property
    def _host(self) -> Mapping[str, Any]:
        host: Mapping[str, Any] = self.inspected["HostConfig"]
        return host


async def containers(wire: Wire, project: str) -> dict[str, Container]:
    """Containers of a compose project by service. Raises `WireError` without Docker."""
    labels = [f"{PROJECT_LABEL}={project}", OF_COMPOSE]
    wanted = quote(json.dumps({"label": labels}))
    listed = await wire.docker(f"/containers/json?all=1&filters={wanted}")
    found = await asyncio.gather(*(_inspect(wire, row["Id"]) for row in listed))
    # While an update runs, and for as long as it keeps the old colour, a service has two: the one
    # that runs and is newer counts.
    known = [one for one in found if one is not None]
    known.sort(key=lambda one: (one.state == "running", str(one.inspected["Created"])))
    return {one.service: one for one in known}


async def _inspect(wire: Wire, container_id: str) -> Container | None:
    try:
        return Container(await wire.docker(f"/containers/{container_id}/json"))
    except WireError as error:
        if error.status == 404:  # removed since it was listed
            return None
        raise


async def last_lines(wire: Wire, container: Container, lines: int = 20) -> str:
    """The last lines that a container wrote to its log, both streams in order."""
    path = f"/containers/{container.id}/logs?stdout=1&stderr=1&tail={lines}"
    try:
        return _plain(await wire.docker(path))
    except WireError as error:
        return f"(no log: {error})"


def _plain(stream: bytes) -> str:
    """Docker's multiplexed log stream as text: each part has a head of 8 bytes with its length."""
    parts = []
    while len(stream) >= 8:
        end = 8 + int.from_bytes(stream[4:8], "big")
        parts.append(stream[8:end])
        stream = stream[end:]
    return b"".join(parts).decode("utf-8", "replace").strip()
