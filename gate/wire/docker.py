"""Docker's API, over the engine's own socket or its port on loopback; it is only ever read."""

import ssl
from typing import Any

import httpx

from gate.errors import DockerSilent, MachineError, NotSent, WireError
from gate.machine import docker as engines
from gate.machine.limits import socket_limit
from gate.target import Target
from gate.wire.guard import Guard
from gate.wire.http import Http, Transport

DOCKER_SECONDS = 10.0
"""Docker says nothing of a container that was paused in the middle of a health check, until that
check's own limit (3 s, compose.yaml) is over."""
READ_ONLY = Guard(Target("docker", "live"))
"""Docker's API as the wire sees it: to be read only."""


class Docker:
    """The engine's API. A client process in its place would cost 50 ms a question."""

    def __init__(self, guard: Guard, http: Http, tls: ssl.SSLContext) -> None:
        self._guard = guard
        self._http = http
        self._tls = tls  # unused on a socket, but httpx would load every CA to make one (30 ms)
        self._client: httpx.Client | None = None

    def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            self._client.close()

    async def get(self, path: str) -> Any:
        """Give what a GET of `path` answers: JSON, or bytes for logs. Raises `WireError`."""
        if self._client is None:
            url, socket = docker_address()
            transport = Transport(READ_ONLY, uds=socket, verify=self._tls)
            self._client = httpx.Client(transport=transport, base_url=url, trust_env=False)
        limit = max(self._guard.limit, DOCKER_SECONDS)
        request = self._client.build_request("GET", path, timeout=limit)
        work = self._http.send(self._client, request, limit)
        url = f"docker:{path}"
        try:
            answer = await self._guard.recorded("GET", url, "docker", work, limit=limit)
        except NotSent:
            raise
        except WireError as error:
            lacking = socket_limit(error)
            step = f"; {lacking.next_step}" if lacking else ""
            raise DockerSilent(f"{error}{step}") from None
        if answer.status >= 500:
            raise DockerSilent(f"GET {url}: {answer.brief}")
        if answer.status != 200:
            raise WireError(f"GET {url}: {answer.brief}", answer.status)
        return answer.json() if answer.content_type == "application/json" else answer.body


def docker_address() -> tuple[str, str | None]:
    """Give the URL of the engine in use, and its Unix socket where it has one.

    Raises `DockerSilent` for one that is not on this machine.
    """
    try:
        chosen = engines.local()
    except MachineError as error:
        raise DockerSilent(str(error)) from None
    return str(chosen.url), chosen.socket
