"""The one door between this process and a stack: HTTP, WebSocket, Redis, TLS and Docker's API.

Everything that leaves goes through a `Wire`, which refuses what would change a live target and
keeps a record of what it sent, so that a report can prove that nothing was touched.
"""

import asyncio
import json
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import hiredis
import httpx

from gate.machine import docker as engines
from gate.machine.console import MachineError
from gate.target import Credentials, Target

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SAFE_REDIS = frozenset({"AUTH", "PING", "INFO", "TIME", "LASTSAVE", "DBSIZE"})
T = TypeVar("T")

CONNECTIONS = 12
"""Kept open at once: few handshakes (2 ms of work each), and few round trips in a queue."""
PATIENCE = 0.5
"""Seconds in that queue, after which a request gets a connection of its own: what hangs holds up
the questions to itself, not those to others."""
THREADS = 256
"""More than there are questions in any run; a thread is made when one is needed."""
DOCKER_SECONDS = 10.0
"""Docker says nothing of a container that was paused in the middle of a health check, until that
check's own limit (3 s, compose.yaml) is over."""
DOCKER = Target("docker", "live")
"""Docker's API as the wire sees it: to be read only."""
SHARE_LEFT = 0.15
MOST_LEFT = timedelta(days=10)
"""Clients of ACME renew when a third of the time is left, a half where it is short."""
BODY_LIMIT = 4_000_000
"""Bytes kept of one answer; more than any page or metrics text of this stack has."""


class LiveTargetError(RuntimeError):
    """Something tried to change a live target; it was stopped before it left the process."""


class WireError(Exception):
    """No answer came: the text says what was tried and what happened."""


class DockerSilent(WireError):
    """Docker gave no answer: nothing is known of the containers, and none of them is to blame."""


@dataclass(frozen=True)
class Sent:
    """One thing that left this process, for the record in the report."""

    method: str
    url: str
    service: str
    started: float
    seconds: float
    status: int | str | None
    error: str | None
    mutation: bool


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
        """The body parsed. Raises `ValueError` when it is no JSON."""
        return json.loads(self.body)

    @property
    def brief(self) -> str:
        """One line for people: status, media type and the start of the body."""
        start = " ".join(self.text[:160].split())
        return f"{self.status} {self.content_type or 'no content type'}: {start or 'empty body'}"


def least_left(begins: datetime, ends: datetime) -> timedelta:
    """Give what has to be left of a certificate's time: a share of it, so that one of six days is
    no more in danger than one of ninety, and ten days of a long one."""
    return min(MOST_LEFT, (ends - begins) * SHARE_LEFT)


def in_days(time: timedelta) -> str:
    """Write a time in days, to a tenth."""
    return f"{time.total_seconds() / 86400:.1f} days"


@dataclass(frozen=True)
class Certificate:
    """The certificate as served, and whether a client that checks everything accepts it."""

    trusted: bool
    problem: str | None
    """Why it is not accepted, in OpenSSL's words."""
    not_before: datetime | None
    not_after: datetime | None
    names: tuple[str, ...]
    protocol: str | None
    presented: bool = True


@dataclass(frozen=True)
class Conversation:
    """A WebSocket handshake and the first messages after it."""

    url: str
    status: int
    messages: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Transport(httpx.HTTPTransport):
    """Lets no mutating method out to a live target; the only HTTP transport there is.

    It connects to where the target's URLs lead; origin, Host and the name in TLS stay the URL's.
    """

    def __init__(self, target: Target, **options: Any) -> None:
        super().__init__(trust_env=False, **options)
        self._target = target

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Raises `LiveTargetError` for one that could change a live target."""
        if self._target.live and request.method not in SAFE_METHODS:
            raise LiveTargetError(
                f"expected only {', '.join(sorted(SAFE_METHODS))} on a live target,"
                f" got {request.method} {request.url}"
            )
        if self._target.connect:
            name = request.url.host
            host, port = self._target.address_of(str(request.url))
            request = httpx.Request(
                request.method,
                request.url.copy_with(host=host, port=port),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": name},
            )
        return super().handle_request(request)


class Wire:
    """Talks to one target, with a time limit on everything. Use as an async context manager.

    `began` is the monotonic time that recorded starts count from; `record` is told of each
    thing sent.
    """

    def __init__(
        self,
        target: Target,
        credentials: Credentials,
        record: Callable[[Sent], None],
        began: float | None = None,
        limit: float = 4.0,
    ) -> None:
        self.target = target
        self.credentials = credentials
        self.limit = limit
        self._record = record
        self._began = time.monotonic() if began is None else began
        self._tls = tls_context(target)
        self._client = self._open_client(CONNECTIONS)
        self._fresh = self._open_client(0)
        self._docker: httpx.Client | None = None
        # httpx in threads: its asyncio side takes three times the work for each request.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="wire")
        self._queue = asyncio.Semaphore(CONNECTIONS)

    def _open_client(self, kept: int) -> httpx.Client:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept)
        transport = Transport(self.target, verify=self._tls, limits=limits)
        return httpx.Client(transport=transport, trust_env=False, timeout=self.limit)

    async def __aenter__(self) -> "Wire":
        return self

    async def __aexit__(self, *_: object) -> None:
        # A connection that is under way when its client closes is left open.
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        for client in (self._client, self._fresh, self._docker):
            if client is not None:
                client.close()

    def base(self, service: str) -> str:
        """The base URL of a service. Raises `WireError` when it cannot be reached from here."""
        try:
            return self.target.urls[service]
        except KeyError:
            raise WireError(f"{service} has no address on target {self.target.name}") from None

    async def http(
        self,
        path: str,
        service: str = "proxy",
        method: str = "GET",
        headers: dict[str, str] | None = None,
        fresh: bool = False,
        **options: Any,
    ) -> Answer:
        """One request to a service; `fresh` opens a connection for it. Follows no redirect.

        `path` may be a whole URL. Raises `WireError` without an answer, `LiveTargetError`.
        """
        url = path if "://" in path else self.base(service) + path
        client = self._fresh if fresh else self._client
        request = client.build_request(method, url, headers=headers, **options)
        send = self._send(client, request, self.limit)
        return await self._recorded(method, url, service, send, method not in SAFE_METHODS)

    async def _send(self, client: httpx.Client, request: httpx.Request, limit: float) -> Answer:
        loop = asyncio.get_running_loop()
        async with _turn(self._queue):
            return await loop.run_in_executor(self._threads, _sent, client, request, limit)

    async def _recorded(
        self,
        method: str,
        url: str,
        service: str,
        work: Awaitable[T],
        mutation: bool = False,
        limit: float | None = None,
    ) -> T:
        limit = limit or self.limit
        started, status, problem = time.monotonic(), None, None
        try:
            async with asyncio.timeout(limit):
                result = await work
            status = getattr(result, "status", "ok")
            return result
        except LiveTargetError:
            mutation, problem = False, "refused: the target is live"
            raise
        except (TimeoutError, httpx.TimeoutException):
            problem = f"no answer within {limit:g} s"
            raise WireError(f"{method} {url}: {problem}") from None
        except (httpx.HTTPError, hiredis.HiredisError, OSError, EOFError) as error:
            problem = reason(error)
            raise WireError(f"{method} {url}: {problem}") from error
        finally:
            seconds = time.monotonic() - started
            begun = started - self._began
            self._record(Sent(method, url, service, begun, seconds, status, problem, mutation))

    async def certificate(self) -> Certificate:
        """The certificate that the proxy serves, verified as a strict client would."""
        work = _certificate(self._tls_address, self._tls)
        return await self._recorded("TLS", self.base("proxy"), "proxy", work)

    @property
    def _tls_address(self) -> "_TlsAddress":
        url = self.base("proxy")
        return (*self.target.address_of(url), urlsplit(url).hostname or "")

    async def accepts_tls(self, version: ssl.TLSVersion) -> bool:
        """Whether the proxy agrees to speak exactly this version of TLS."""
        work = _handshake(self._tls_address, _only(version))
        try:
            await self._recorded("TLS", f"{self.base('proxy')} {version.name}", "proxy", work)
        except WireError as error:
            if isinstance(error.__cause__, ssl.SSLError | ConnectionResetError):
                return False
            raise
        return True

    async def websocket(
        self,
        path: str,
        messages: int = 1,
        within: float = 3.0,
        over: asyncio.Event | None = None,
    ) -> Conversation:
        """A handshake through the proxy and up to `messages` first messages.

        Fewer come back when `within` seconds pass first, or `over` is set. A refused upgrade is a
        `Conversation` with the status that came instead of 101.
        """
        url = "wss" + self.base("proxy").removeprefix("https") + path
        talk = self._converse(url, messages, within, over or asyncio.Event())
        return await self._recorded("GET", url, "proxy", talk)

    async def _converse(
        self, url: str, messages: int, within: float, over: asyncio.Event
    ) -> Conversation:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

        started, heard = time.monotonic(), list[str]()
        host, port = self.target.address_of(url.replace("wss", "https", 1))
        options: dict[str, Any] = {"ssl": self._tls, "open_timeout": self.limit, "proxy": None}
        options |= {"host": host, "port": port}
        try:
            async with connect(url, close_timeout=0.2, **options) as socket:
                with suppress(TimeoutError, WebSocketException):
                    async with asyncio.timeout(within) as limit, _ended_by(over, limit):
                        while len(heard) < messages:
                            heard.append(str(await socket.recv()))
        except InvalidStatus as error:
            return Conversation(url, error.response.status_code)
        except InvalidHandshake as error:
            raise WireError(f"GET {url}: {error}") from error
        return Conversation(url, 101, heard, time.monotonic() - started)

    async def redis(self, *commands: tuple[str, ...], password: str | None = None) -> list[Any]:
        """Answers to `commands`, sent in one go over one connection.

        An error answer comes back as a `hiredis.ReplyError` in the list. Raises `WireError`,
        and `LiveTargetError` for a command that could write to a live target.
        """
        for name, *_ in commands:
            if self.target.live and name.upper() not in SAFE_REDIS:
                raise LiveTargetError(f"expected only reads on a live Redis, got {name}")
        mutation = any(name.upper() not in SAFE_REDIS for name, *_ in commands)
        line = " ".join(name for name, *_ in commands)
        auth = [("AUTH", password)] if password else []
        url = self.base("redis")
        answers = await self._recorded(
            line, url, "redis", _redis(self.target.address_of(url), [*auth, *commands]), mutation
        )
        return answers[len(auth) :]

    async def docker(self, path: str) -> Any:
        """What Docker's API answers to a GET of `path`: JSON, or bytes for logs.

        Raises `WireError` when Docker is not at hand.
        """
        if self._docker is None:
            # The API over its socket: a client process would cost 50 ms a question.
            # The context is not used there, but httpx would load every CA to make one (30 ms).
            transport = Transport(DOCKER, uds=docker_socket(), verify=self._tls)
            self._docker = httpx.Client(
                transport=transport, base_url="http://docker", trust_env=False
            )
        limit = max(self.limit, DOCKER_SECONDS)
        request = self._docker.build_request("GET", path, timeout=limit)
        work = self._send(self._docker, request, limit)
        try:
            answer = await self._recorded("GET", f"docker:{path}", "docker", work, limit=limit)
        except WireError as error:
            raise DockerSilent(str(error)) from None
        if answer.status >= 500:
            raise DockerSilent(f"GET docker:{path}: {answer.brief}")
        if answer.status != 200:
            raise WireError(f"GET docker:{path}: {answer.brief}")
        return answer.json() if answer.content_type == "application/json" else answer.body


def _sent(client: httpx.Client, request: httpx.Request, limit: float) -> Answer:
    """The answer with its body, as far as it comes within `limit` seconds and `BODY_LIMIT`."""
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


def docker_socket() -> str:
    """The Unix socket of the Docker engine in use. Raises `DockerSilent` for one elsewhere."""
    try:
        chosen = engines.engine()
    except MachineError as error:
        raise DockerSilent(str(error)) from None
    if chosen.socket is None:
        raise DockerSilent(f"expected Docker on a Unix socket of this machine, got {chosen}")
    return chosen.socket


def tls_context(target: Target) -> ssl.SSLContext:
    """Full verification, against the target's own CA where it has one; none for trust `any`."""
    if target.trust == "any":
        return _trusting()
    cafile = str(target.ca_file) if target.ca_file else None
    return ssl.create_default_context(cafile=cafile)


def reason(error: BaseException) -> str:
    """An exception in a few words for people, its cause first."""
    for cause in (error, error.__cause__, error.__context__):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: {cause.verify_message}"
    return str(error) or type(error).__name__


def _only(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = _trusting()
    # Level 0 lets this client offer what a good server refuses.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():  # that these versions are out of date is the point
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    return context


def _trusting() -> ssl.SSLContext:
    """A context for looking at certificates that may be bad; nothing is sent over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_TlsAddress = tuple[str, int, str]
"""Host and port of the connection, and the name to ask for."""


async def _handshake(address: _TlsAddress, context: ssl.SSLContext) -> ssl.SSLObject:
    host, port, name = address
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    return tls


async def _certificate(address: _TlsAddress, context: ssl.SSLContext) -> Certificate:
    if context.verify_mode is ssl.CERT_NONE:
        return await _unverified(address, None)
    try:
        tls = await _handshake(address, context)
    except ssl.SSLCertVerificationError as error:
        return await _unverified(address, error.verify_message)
    shown: dict[str, Any] = tls.getpeercert() or {}
    names = tuple(str(name[1]) for name in shown.get("subjectAltName", ()))
    return Certificate(
        True, None, _time(shown["notBefore"]), _time(shown["notAfter"]), names, tls.version()
    )


def _time(text: Any) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(text)), UTC)


async def _unverified(address: _TlsAddress, problem: str | None) -> Certificate:
    from cryptography import x509  # 50 ms, needed only where verification failed

    tls = await _handshake(address, _trusting())
    shown = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
    try:
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        listed = tuple(str(name.value) for name in names)
    except x509.ExtensionNotFound:
        listed = ()
    begins, ends = shown.not_valid_before_utc, shown.not_valid_after_utc
    return Certificate(problem is None, problem, begins, ends, listed, tls.version())


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


@asynccontextmanager
async def _ended_by(over: asyncio.Event, limit: asyncio.Timeout) -> AsyncIterator[None]:
    """Let a timeout pass at once when `over` is set."""

    async def end() -> None:
        await over.wait()
        limit.reschedule(asyncio.get_running_loop().time())

    waiting = asyncio.create_task(end())
    try:
        yield
    finally:
        waiting.cancel()


async def _redis(address: tuple[str, int], commands: list[tuple[str, ...]]) -> list[Any]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        # hiredis's stub allows tuples of one item only.
        packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]
        writer.write(b"".join(packed))
        parser = hiredis.Reader(encoding="utf-8", errors="replace")
        answers: list[Any] = []
        while len(answers) < len(commands):
            answer = parser.gets()
            if answer is False:
                parser.feed(await _more(reader))
            else:
                answers.append(answer)
        return answers
    finally:
        writer.transport.abort()


async def _more(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(65536)
    if not data:
        raise EOFError("the connection was closed before the answer was complete")
    return data
