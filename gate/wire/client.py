"""The wire: every protocol to one target, behind one guard."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from gate.errors import WireError
from gate.target import Credentials, Target
from gate.wire import tls, websocket
from gate.wire.address import address, tls_context
from gate.wire.docker import Docker
from gate.wire.guard import SAFE_METHODS, Guard, RedisReplyError, Sent, is_read
from gate.wire.http import Answer, Http
from gate.wire.tls import Certificate
from gate.wire.websocket import Conversation


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
        self.credentials = credentials
        self._guard = Guard(target, record, began, limit)
        self._tls = tls_context(target)
        self._http = Http(self._guard, self._tls)
        self._docker = Docker(self._guard, self._http, self._tls)

    async def __aenter__(self) -> "Wire":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        self._docker.close()

    @property
    def target(self) -> Target:
        """The target; it can be given anew where its containers have got new ports."""
        return self._guard.target

    @target.setter
    def target(self, target: Target) -> None:
        self._guard.target = target

    @property
    def limit(self) -> float:
        """The time limit of whatever is sent, in seconds."""
        return self._guard.limit

    def base(self, service: str) -> str:
        """Give the base URL of a service. Raises `WireError` when it has none from here."""
        return self._guard.base(service)

    async def http(
        self,
        path: str,
        service: str = "proxy",
        method: str = "GET",
        headers: dict[str, str] | None = None,
        fresh: bool = False,
        **options: Any,
    ) -> Answer:
        """Send one request to a service; `fresh` opens a connection for it. Follows no redirect.

        `path` may be a whole URL. Raises `WireError` without an answer, `LiveTargetError`.
        """
        url = path if "://" in path else self.base(service) + path
        client = self._http.fresh if fresh else self._http.kept
        request = client.build_request(method, url, headers=headers, **options)
        send = self._http.send(client, request, self.limit)
        return await self._guard.recorded(method, url, service, send, method not in SAFE_METHODS)

    async def certificate(self) -> Certificate:
        """Read the certificate that the proxy serves, verified as a strict client would."""
        url = self.base("proxy")
        work = tls.certificate(address(self.target, url), self._tls)
        return await self._guard.recorded("TLS", url, "proxy", work)

    async def accepts_tls(self, version: ssl.TLSVersion) -> bool:
        """Tell whether the proxy agrees to speak exactly this version of TLS."""
        url = self.base("proxy")
        work = tls.handshake(address(self.target, url), tls.only(version))
        try:
            await self._guard.recorded("TLS", f"{url} {version.name}", "proxy", work)
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
        """Shake hands through the proxy and hear up to `messages` first messages.

        Fewer come back when `within` seconds pass first, or `over` is set. A refused upgrade is a
        `Conversation` with the status that came instead of 101.
        """
        url = self.base("proxy") + path
        to = address(self.target, url)
        url = "wss" + url.removeprefix("https")
        over = over or asyncio.Event()
        talk = websocket.converse(url, to, self._tls, messages, within, over, self.limit)
        return await self._guard.recorded("GET", url, "proxy", talk)

    async def redis(self, *commands: tuple[str, ...], password: str | None = None) -> list[Any]:
        """Send `commands` in one go over one connection, and give their answers.

        An error answer comes back as a `RedisReplyError` in the list. With `password` the user of
        the URL, else of the credentials, logs in first. Raises `WireError`, and `LiveTargetError`
        for a command that could write to a live target.
        """
        self._guard.allow_redis(*commands)
        mutation = not all(map(is_read, commands))
        line = " ".join(name for name, *_ in commands)
        url = self.base("redis")
        user = unquote(urlsplit(url).username or "") or self.credentials.redis_user
        login = [("AUTH", *([user] if user else []), password)] if password else []
        ask = await asyncio.to_thread(_redis)
        to, tls = address(self.target, url), self._tls if url.startswith("rediss:") else None
        work = ask(to, tls, [*login, *commands], self.limit)
        answers = await self._guard.recorded(line, url, "redis", work, mutation)
        if login and isinstance(answers[0], RedisReplyError):
            for answer in answers[1:]:
                if isinstance(answer, RedisReplyError):
                    answer.login = answers[0]
        return answers[len(login) :]

    async def docker(self, path: str) -> Any:
        """Give what Docker's API answers to a GET of `path`: JSON, or bytes for logs.

        Raises `WireError`, `DockerSilent` when Docker is not at hand.
        """
        return await self._docker.get(path)


def _redis() -> Callable[..., Awaitable[list[Any]]]:
    """Import redis-py while other answers are on their way: a run without Redis does without."""
    from gate.wire.redis import ask

    return ask
