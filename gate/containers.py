"""Containers of a compose project as Docker reports them: state, health, limits, last words."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from gate.model import model
from gate.target import LOOPBACK
from gate.urls import authority
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
T = TypeVar("T")


class Inspected(Generic[T]):
    """A value of `docker inspect`'s answer: what makes it of the text there, and its keys."""

    def __init__(self, kind: Callable[[Any], T], *keys: str) -> None:
        self._kind = kind
        self._keys = keys

    def __get__(self, container: "Container", _: object = None) -> T:
        return self._kind(reduce(getitem, self._keys, container.inspected))


@dataclass(frozen=True)
class Container:
    """One container, read from `docker inspect`'s answer."""

    inspected: Mapping[str, Any]

    id = Inspected(str, "Id")
    image = Inspected(str, "Config", "Image")
    """The image's name as the compose file has it."""
    image_id = Inspected(str, "Image")
    """The digest of the image that really runs."""
    state = Inspected(str, "State", "Status")
    """`running`, `paused`, `restarting`, `exited`, `created`, `dead`."""
    exit_code = Inspected(int, "State", "ExitCode")
    """The last exit code; 137 is SIGKILL, often for want of memory."""
    oom_killed = Inspected(bool, "State", "OOMKilled")
    """Whether the kernel killed it for want of memory."""
    started_at = Inspected(str, "State", "StartedAt")
    """When it started last: ISO 8601, UTC."""
    restarts = Inspected(int, "RestartCount")
    """How often Docker has restarted it."""
    log_driver = Inspected(str, "HostConfig", "LogConfig", "Type")
    memory_limit = Inspected(int, "HostConfig", "Memory")
    """Bytes; 0 is no limit."""
    privileged = Inspected(bool, "HostConfig", "Privileged")
    """Whether it has the host's full rights."""
    mounts = Inspected[list[Mapping[str, Any]]](list, "Mounts")
    """Mounts as Docker lists them: Type, Name, Source, Destination."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of the container and of its image."""
        return self.inspected["Config"].get("Labels") or {}

    @property
    def service(self) -> str:
        """The compose service."""
        return self.labels["com.docker.compose.service"]

    @property
    def one_shot(self) -> bool:
        """Whether it is declared to do one job and exit."""
        return self.labels.get(ROLE_LABEL) == "one-shot"

    @property
    def health(self) -> str | None:
        """`healthy`, `unhealthy`, `starting`, or None without a health check."""
        health = self.inspected["State"].get("Health")
        return str(health["Status"]) if health else None

    @property
    def health_output(self) -> str:
        """What the last health check printed."""
        log = (self.inspected["State"].get("Health") or {}).get("Log") or []
        return f"exit {log[-1]['ExitCode']}: {log[-1]['Output'].strip()}" if log else ""

    @property
    def health_test(self) -> list[str]:
        """The health check's command as Docker runs it; empty without one."""
        return list((self.inspected["Config"].get("Healthcheck") or {}).get("Test") or [])

    @property
    def user(self) -> str:
        """The user it runs as; empty means root."""
        return str(self.inspected["Config"].get("User") or "")

    @property
    def restart_policy(self) -> str:
        """`no`, `always`, `unless-stopped`, `on-failure`."""
        return str(self.inspected["HostConfig"]["RestartPolicy"]["Name"] or "no")

    @property
    def log_options(self) -> Mapping[str, str]:
        """Options of the log driver."""
        return self.inspected["HostConfig"]["LogConfig"].get("Config") or {}

    @property
    def network_ids(self) -> set[str]:
        """Ids of the networks that it is attached to when it runs."""
        networks = self.inspected["NetworkSettings"].get("Networks") or {}
        return {str(one["NetworkID"]) for one in networks.values() if one.get("NetworkID")}

    def host_port(self, port: int) -> int | None:
        """The host port that `port` is published on."""
        bound = self._ports.get(f"{port}/tcp")
        return int(bound[0]["HostPort"]) if bound else None

    def host_address(self, port: int) -> str | None:
        """`HOST:PORT` at which this machine reaches `port`, where it is published."""
        bound = self._ports.get(f"{port}/tcp")
        if not bound:
            return None
        host = ANY_ADDRESS.get(bound[0]["HostIp"], bound[0]["HostIp"])
        return authority(host, bound[0]["HostPort"])

    def published(self) -> Iterator[tuple[str, str]]:
        """(address, port) pairs on the host that reach this container."""
        for bound in self._ports.values():
            for one in bound or ():
                yield one["HostIp"], one["HostPort"]

    @property
    def _ports(self) -> Mapping[str, Any]:
        ports: Mapping[str, Any] = self.inspected["NetworkSettings"]["Ports"]
        return ports


async def containers(wire: Wire, project: str | None = None) -> dict[str, Container]:
    """Containers by service, of the target's compose project or of `project`.

    Raises `WireError` without Docker.
    """
    project = (wire.target.project or "") if project is None else project
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
