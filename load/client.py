"""A lean HTTP client on geventhttpclient: requests whose text is ready, answers of which only the
status counts, and of commands whether they did what they were told. Half the processor time of
`HTTPClient.request`, which builds and parses all headers.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from select import select
from typing import Any
from urllib.parse import urlsplit

from geventhttpclient.client import IDEMPOTENT_METHODS
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPResponse

PORTS = {"http": 80, "https": 443}
RECEIVED = 65_536
NO_ANSWER = 0
UNDONE = -1
"""In place of a good status, where a command's answer says `"success": false`."""


@dataclass(frozen=True)
class Request:
    """A request as it goes over the wire."""

    method: str
    path: str
    text: bytes

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again when a kept connection turns out to be closed."""
        return self.method in IDEMPOTENT_METHODS


class _Answer(HTTPResponse):
    """Parses an answer without keeping its headers or body."""

    @property
    def outcome(self) -> int:
        """What counts of it, once it is whole."""
        return int(self.get_code())

    def _on_status(self, msg: str) -> None:
        pass

    def _on_header_field(self, string: str) -> None:
        pass

    def _on_header_value(self, string: str) -> None:
        pass

    def _on_body(self, buf: bytearray) -> None:
        pass


class _Told(_Answer):
    """Keeps the body, for what a command came to stands there."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.said = bytearray()

    def _on_body(self, buf: bytearray) -> None:
        self.said += buf

    @property
    def outcome(self) -> int:
        code = super().outcome
        return UNDONE if code < 400 and _undone(self.said) else code


def _undone(body: bytearray) -> bool:
    try:
        told = json.loads(body)
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("success") is False


class _Closed(OSError):
    """A connection that was closed before a byte of the answer came."""


class Client:
    """Connections to one server, kept and used again, the last one first."""

    def __init__(
        self, url: str, connect: tuple[str, int], ca_file: str | None, most: int, limit: float
    ) -> None:
        """`most` connections to host and port of `connect`, under the name of `url`; `limit`
        seconds for making one, and for each piece of an answer."""
        parts = urlsplit(url)
        self._host, self._path = parts.netloc, parts.path
        name = (parts.hostname or "", parts.port or PORTS[parts.scheme])
        options: dict[str, Any] = {
            "size": most,
            "connection_timeout": limit,
            "network_timeout": limit,
        }
        if parts.scheme == "https":
            options["ssl_options"] = {"ca_certs": ca_file}  # None: those that the system trusts
        kind = SSLConnectionPool if parts.scheme == "https" else ConnectionPool
        self._pool = kind(*connect, *name, **options)
        self.resent = 0
        """Reads sent again, on another connection, after a kept one closed without an answer."""
        self._kept: list[Any] = []
        """Not in the pool, which would look at each with a system call."""

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Request:
        """Make a request ready."""
        every = {"Host": self._host, "User-Agent": "breakout-bot-gate", **headers}
        if method not in ("GET", "HEAD"):
            every["Content-Length"] = str(len(body))
        lines = [f"{method} {self._path}{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in every.items()]
        return Request(method, path, "\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def send(self, request: Request) -> int:
        """Send a request and take its answer in; the status, `NO_ANSWER` or `UNDONE`."""
        try:
            while self._kept:
                connection = self._kept.pop()
                if not request.repeatable and not _idle(connection):
                    self._pool.release_socket(connection)
                    continue
                with suppress(_Closed):
                    return self._exchange(connection, request)
                if not request.repeatable:
                    return NO_ANSWER
                self.resent += 1
            return self._exchange(self._pool.get_socket(), request)
        except (OSError, HTTPException):
            return NO_ANSWER

    def close(self) -> None:
        """Let go of the connections."""
        while self._kept:
            self._pool.release_socket(self._kept.pop())

    def _exchange(self, connection: Any, request: Request) -> int:
        answer = (_Answer if request.repeatable else _Told)(method=request.method)
        try:
            _transfer(connection, request, answer)
        except BaseException:
            self._pool.release_socket(connection)
            raise
        if answer.should_close():
            self._pool.release_socket(connection)
        else:
            self._kept.append(connection)
        return answer.outcome


def _idle(connection: Any) -> bool:
    """Whether a kept connection still stands: a closed one can be read from."""
    return not select([connection], [], [], 0)[0]


def _transfer(connection: Any, request: Request, answer: HTTPResponse) -> None:
    try:
        connection.sendall(request.text)
        data = connection.recv(RECEIVED)
    except (ConnectionResetError, BrokenPipeError) as error:
        raise _Closed from error
    if not data:
        raise _Closed
    answer.feed(data)
    while not answer.message_complete or answer.get_code() < 200:
        data = connection.recv(RECEIVED)
        answer.feed(data)  # nothing: an answer without a length ends with its connection
        if not data and not answer.message_complete:
            raise HTTPException("the connection was closed in the middle of an answer")
