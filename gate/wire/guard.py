"""What may leave this process, and the record of what left it.

Every protocol asks the guard before it sends anything (`allow_http`, `allow_redis`) and sends
inside `recorded`, which sets a time limit, turns whatever went wrong into `WireError` and writes
down what was sent, so that a report can prove that a live target was not touched.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import httpx

from gate.errors import LiveTargetError, NotSent, WireError, chain
from gate.machine.limits import limit_of
from gate.model import model
from gate.target import Target
from gate.wire import causes
from reports.events import Request

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SAFE_REDIS = frozenset({"AUTH", "PING", "INFO", "TIME", "LASTSAVE", "DBSIZE", "CONFIG GET"})
"""Commands that change nothing, with the sub-command where others of the same name do."""
T = TypeVar("T")
Sent = Request
"""One thing that left this process, as the report records it."""


class RedisReplyError(Exception):
    """An error that Redis answered, in its own words: `NOAUTH Authentication required.`"""

    login: "RedisReplyError | None" = None
    """What Redis answered to the login before, when that was an error too: the cause of this one.
    """

    @property
    def cause(self) -> causes.Cause | None:
        """Why it is an error."""
        return causes.of_reply(str(self.login or self))

    @property
    def refuses(self) -> bool:
        """Whether Redis answers, but not to who asked."""
        return str(self.login or self).startswith(causes.REFUSALS)


def is_read(command: Sequence[str]) -> bool:
    """Tell whether a Redis command is on the list of those that change nothing."""
    name, *rest = (word.upper() for word in command[:2])
    return name in SAFE_REDIS or " ".join([name, *rest]) in SAFE_REDIS


class Guard:
    """Decides what may be sent to one target, and records what was.

    `began` is the monotonic time that recorded starts count from; `record` is told of each
    thing sent; `limit` is the time limit of each, in seconds.
    """

    def __init__(
        self,
        target: Target,
        record: Callable[[Sent], None] = lambda _: None,
        began: float | None = None,
        limit: float = 4.0,
    ) -> None:
        self.target = target
        self.limit = limit
        self._record = record
        self._began = time.monotonic() if began is None else began

    def allow_http(self, method: str, url: str) -> None:
        """Raises `LiveTargetError` for a request that could change a live target."""
        if self.target.live and method not in SAFE_METHODS:
            raise LiveTargetError(
                f"expected only {', '.join(sorted(SAFE_METHODS))} on a live target,"
                f" got {method} {url}"
            )

    def allow_redis(self, *commands: tuple[str, ...]) -> None:
        """Raises `LiveTargetError` for a command that could write to a live Redis."""
        for command in commands:
            if self.target.live and not is_read(command):
                raise LiveTargetError(f"expected only reads on a live Redis, got {command[0]}")

    def base(self, service: str) -> str:
        """Give the base URL of a service. Raises `WireError` when it has none from here."""
        try:
            return self.target.urls[model().name(service)]
        except KeyError:
            raise WireError(f"{service} has no address on target {self.target.name}") from None

    async def recorded(
        self,
        method: str,
        url: str,
        service: str,
        work: Awaitable[T],
        mutation: bool = False,
        limit: float | None = None,
    ) -> T:
        """Await `work` for at most `limit` seconds. Raises `WireError`, `LiveTargetError`."""
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
        except (TimeoutError, httpx.TimeoutException) as error:
            problem = f"no answer within {limit:g} s"
            raise WireError(f"{method} {url}: {problem}", cause=causes.of_error(error)) from None
        except (httpx.HTTPError, OSError, EOFError) as error:
            problem = reason(error)
            text, lacking = f"{method} {url}: {problem}", limit_of(error)
            if lacking is not None:
                raise NotSent(f"{text}; {lacking.next_step}") from error
            raise WireError(text, cause=causes.of_error(error)) from error
        finally:
            seconds = time.monotonic() - started
            begun = started - self._began
            self._record(Sent(method, url, service, begun, seconds, status, problem, mutation))


def reason(error: BaseException) -> str:
    """Say an exception in a few words for people, its cause first."""
    for cause in chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: {cause.verify_message}"
    return str(error) or type(error).__name__
