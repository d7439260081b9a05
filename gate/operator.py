"""The operator: hands on a disposable stack, for stages that judge by doing.

Plain calls over the same wire as everything else, so that a report shows each of them:

    operator.docker("kill", operator.container("redis"))
    operator.until(lambda: operator.http("/health").status, 5, "503", lambda status: status == 503)

An operator only gets a disposable stack; the wire refuses to change a live one as well.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from gate.checks import CheckFailed, expect, fail
from gate.errors import MachineError, WaitError
from gate.machine.commands import run_checked
from gate.model import model
from gate.ready import wait_ready
from gate.stack import Stack
from gate.target import Credentials, Target
from gate.wait import wait_until
from gate.wire import Answer, Sent, Wire, WireError
from reports.stream import Stream

API = model().name("api")
KEY_HEADER = "X-API-Key"
CALL_LIMIT = 15.0
DOCKER_LIMIT = 60.0
READY_LIMIT = 60.0
Seen = TypeVar("Seen")


class Operator:
    """Acts on one disposable stack; used from one thread, closed by its fixture."""

    def __init__(
        self,
        target: Target,
        credentials: Credentials,
        stack: Stack | None,
        record: Callable[[Sent], None],
        stream: Stream,
    ) -> None:
        self.target = target
        self.credentials = credentials
        self._stack = stack
        self._record = record
        self._stream = stream
        self._runner = asyncio.Runner()
        self._wire = self._runner.run(self._open())

    async def _open(self) -> Wire:
        began = time.monotonic() - self._stream.now()
        return Wire(self.target, self.credentials, self._record, began, limit=CALL_LIMIT)

    def close(self) -> None:
        """Let go of the connections."""
        self._runner.run(self._wire.__aexit__())
        self._runner.close()

    @property
    def stack(self) -> Stack:
        """The stack, for checks that need "stack": those are of a run that brought it up."""
        assert self._stack is not None
        return self._stack

    # Calls

    def http(
        self,
        path: str,
        service: str = "proxy",
        method: str = "GET",
        *,
        key: bool | str = True,
        **options: Any,
    ) -> Answer:
        """One request; `key` is whether the API key goes with it, or another one to send.

        `options` are httpx's (`json`, `params`, `content`, `headers`). Raises `WireError`.
        """
        return self._runner.run(self._http(path, service, method, key=key, **options))

    async def _http(
        self,
        path: str,
        service: str = "proxy",
        method: str = "GET",
        *,
        key: Any = True,
        **options: Any,
    ) -> Answer:
        headers = dict(options.pop("headers", None) or {})
        value = self.credentials.api_key if key is True else key
        if value and method not in ("GET", "HEAD", "OPTIONS"):
            headers.setdefault(KEY_HEADER, value)
        return await self._wire.http(path, service, method, headers, **options)

    def together(self, calls: Iterable[Mapping[str, Any]]) -> list[Answer | WireError]:
        """Several requests at the same time, each the named arguments of `http`."""
        return self._runner.run(self._together(list(calls)))

    async def _together(self, calls: list[Mapping[str, Any]]) -> list[Answer | WireError]:
        found = await asyncio.gather(
            *(self._http(**call) for call in calls), return_exceptions=True
        )
        for one in found:
            if isinstance(one, BaseException) and not isinstance(one, WireError):
                raise one
        return [one for one in found if isinstance(one, Answer | WireError)]

    def run(self, work: Callable[[Wire], Any]) -> Any:
        """Await `work(wire)`: for what has no shorter way here, such as a WebSocket."""
        return self._runner.run(work(self._wire))

    def redis(self, *commands: tuple[str, ...]) -> list[Any]:
        """Answers of Redis, with the password. Raises `WireError`."""
        password = self.credentials.redis_password
        return self._runner.run(self._wire.redis(*commands, password=password))

    def json(self, path: str, service: str = "proxy", status: int = 200) -> Any:
        """The JSON that a GET answers. Fails the check for another status or no JSON."""
        answer = self.http(path, service)
        expect(answer.status == status, f"{path} to answer {status}", answer.brief)
        try:
            return answer.json()
        except ValueError:
            fail(f"JSON from {path}", answer.brief)

    # Waiting

    def until(
        self,
        look: Callable[[], Seen],
        seconds: float,
        what: str,
        holds: Callable[[Seen], object] = bool,
        component: str | None = None,
    ) -> Seen:
        """Look again until `holds`, and return what was seen; no or a bad answer is not yet.

        Fails the check when that takes more than `seconds`.
        """
        try:
            return wait_until(look, seconds, what, holds, ignoring=(WireError, CheckFailed))
        except WaitError as late:
            if isinstance(late.seen, MachineError):
                raise late.seen from None
            fail(f"{what} within {seconds:g} s", _shown(late.seen), component=component)

    # The containers

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.stack.project}-{model().name(service)}-1"

    def docker(self, *words: str, limit: float = DOCKER_LIMIT) -> str:
        """A docker command, such as `"kill", operator.container("redis")`, and what it printed.

        Looks again where the services are: a started container has new ports on the host.
        """
        done = run_checked(f"docker {words[0]}", ["docker", *words], limit)
        self.look_again()
        return done.out

    def compose(self, *words: str) -> str:
        """A compose command on the stack, such as `"up", "--detach", "--force-recreate", …`.

        A service among the words may be named by its kind, as everywhere here.
        """
        out = self.stack.compose.run(*map(model().name, words))
        self.look_again()
        return out

    def look_again(self) -> None:
        """Find out where the services are now."""
        self.target = self._wire.target = self.stack.target()

    def ready(self, limit: float = READY_LIMIT) -> None:
        """Wait until every service answers again. Fails the check after `limit` seconds."""
        wait = wait_ready(self.target, self.credentials, limit)
        problems = self._runner.run(wait)
        for one in problems[:1]:
            fail("every service to answer again", one.seen, one.last_words, component=one.service)

    # Evidence

    def attach(self, name: str, text: str) -> str:
        """Keep a longer text in the report; returns its path there."""
        return self._stream.attach(name, text)

    def picture(self, title: str, data: bytes) -> str:
        """Keep a picture in the report; returns its path there. It must show no secret."""
        return self._stream.picture(title, data)

    @property
    def folder(self) -> Path:
        """The run's folder of the report, for files that are evidence."""
        return self._stream.folder


def _shown(seen: object) -> str:
    return seen.brief if isinstance(seen, Answer) else str(seen)
