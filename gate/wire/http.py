"""HTTP: one transport that the guard watches, and requests that do not hold each other up."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any

import httpx

from gate.wire import causes
from gate.wire.address import address
from gate.wire.guard import Guard

CONNECTIONS = 12
"""Kept open at once: few handshakes (2 ms of work each), and few round trips in a queue."""
PATIENCE = 0.5
"""Seconds in that queue, after which a request gets a connection of its own: what hangs holds up
the questions to itself, not those to others."""
THREADS = 256
"""More than there are questions in any run; a thread is made when one is needed."""
BODY_LIMIT = 4_000_000
"""Bytes kept of one answer; more than any page or metrics text of this stack has."""


@dataclass(frozen=True)
class Answer:
    """What came back for one HTTP request."""

    url: str
    status: int
    headers: httpx.Headers
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case."""
        value: str = self.headers.get("content-type", "")
        return value.partition(";")[0].strip().lower()

    def json(self) -> Any:
        """Parse the body. Raises `ValueError` when it is no JSON."""
        return json.loads(self.body)

    def field(self, name: str) -> Any:
        """Give a field of the JSON object that it is; None where it is none, or has none."""
        try:
            body = self.json()
        except ValueError:
            return None
        return body.get(name) if isinstance(body, dict) else None

    @property
    def cause(self) -> causes.Cause | None:
        """Why it has a status that nobody expects."""
        return causes.of_status(self.status, self.text[:500], self.headers.get("location", ""))

    def __str__(self) -> str:
        return self.brief

    @property
    def brief(self) -> str:
        """One line for people: status, media type and the start of the body."""
        start = " ".join(self.text[:160].split())
        return f"{self.status} {self.content_type or 'no content type'}: {start or 'empty body'}"


class Transport(httpx.HTTPTransport):
    """Asks the guard before a request leaves; the only HTTP transport there is.

    It connects to where the target's URLs lead; origin, Host and the name in TLS stay the URL's.
    """

    def __init__(self, guard: Guard, **options: Any) -> None:
        super().__init__(trust_env=False, **options)
        self._guard = guard

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises `LiveTargetError` for one that could change a live target."""
        self._guard.allow_http(request.method, str(request.url))
        if self._guard.target.connect:
            to = address(self._guard.target, str(request.url))
            request = httpx.Request(
                request.method,
                request.url.copy_with(host=to.host, port=to.port),
                headers=request.headers,
                stream=request.stream,
                # `url.host` would be the name in Unicode, which TLS asks for in another way.
                extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode()},
            )
        return super().handle_request(request)


class Http:
    """Clients of one target: one that keeps connections, and one that opens each anew.

    httpx runs in threads: its asyncio side takes three times the work for each request.
    """

    def __init__(self, guard: Guard, tls: ssl.SSLContext) -> None:
        self._guard = guard
        self._tls = tls
        self.kept = self._open_client(CONNECTIONS)
        self.fresh = self._open_client(0)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="wire")
        self._queue = asyncio.Semaphore(CONNECTIONS)

    def _open_client(self, kept: int) -> httpx.Client:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept)
        transport = Transport(self._guard, verify=self._tls, limits=limits)
        return httpx.Client(transport=transport, trust_env=False, timeout=self._guard.limit)

    async def close(self) -> None:
        """Wait for what is under way, and close: a connection under way would be left open."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self.kept.close()
        self.fresh.close()

    async def send(self, client: httpx.Client, request: httpx.Request, limit: float) -> Answer:
        """Send a request when its turn has come."""
        loop = asyncio.get_running_loop()
        async with _turn(self._queue):
            return await loop.run_in_executor(self._threads, _sent, client, request, limit)


def _sent(client: httpx.Client, request: httpx.Request, limit: float) -> Answer:
    """Read the answer with its body, as far as it comes within `limit` seconds and `BODY_LIMIT`."""
    started = time.monotonic()
    with closing(client.send(request, stream=True)) as response:
        body = b""
        for part in response.iter_bytes():
            body += part
            if time.monotonic() - started > limit:
                raise TimeoutError
            if len(body) > BODY_LIMIT:
                break
    seconds = time.monotonic() - started
    return Answer(str(request.url), response.status_code, response.headers, body, seconds)


@asynccontextmanager
async def _turn(queue: asyncio.Semaphore) -> AsyncIterator[None]:
    """Wait for a turn, but not for ever: who has waited `PATIENCE` goes out of turn."""
    try:
        async with asyncio.timeout(PATIENCE):
            await queue.acquire()
    except TimeoutError:
        yield
        return
    try:
        yield
    finally:
        queue.release()
