"""Redis through the wire: what is sent, over what, as whom, and what its answers become."""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gate.errors import LiveTargetError, WireError
from gate.target import Credentials, Target
from gate.wire import RedisReplyError, Sent, Wire
from tests.bot.lifecycle.authority import authority

NAME = "redis.example.test"
OK, PONG = b"+OK\r\n", b"+PONG\r\n"
NOAUTH = b"-NOAUTH Authentication required.\r\n"
WRONGPASS = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
ERRORS = [
    "NOAUTH Authentication required.",
    "LOADING Redis is loading the dataset in memory",
    "READONLY You can't write against a read only replica.",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist",
    "NOPERM User gate has no permissions to run the 'info' command",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "ERR max number of clients reached",
    "ERR unknown command 'PING'",
]


@dataclass
class FakeRedis:
    """Answers each command with what `answer` gives; None answers nothing, b"" hangs up."""

    answer: Callable[[list[str]], bytes | None]
    tls: ssl.SSLContext | None = None
    heard: list[list[str]] = field(default_factory=list)
    port: int = 0

    async def __aenter__(self) -> "FakeRedis":
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].decode())
            self.heard.append(words)
            if answer := self.answer(words):
                writer.write(answer)
            elif answer is not None:
                break
        writer.close()


def ask(
    redis: FakeRedis,
    *commands: tuple[str, ...],
    password: str | None = None,
    url: str = "redis://127.0.0.1:{port}",
    user: str | None = None,
    limit: float = 4.0,
    record: list[Sent] | None = None,
    **target: Any,
) -> list[Any]:
    """Ask a fake Redis through the wire."""

    async def go() -> list[Any]:
        async with redis:
            where = Target("t", "live", {"redis": url.format(port=redis.port)}, **target)
            if "{" not in url:
                to = {f"{NAME}:6379": f"127.0.0.1:{redis.port}"}
                where = where.located(where.urls, connect=to)
            keys = Credentials(redis_user=user)
            told = [] if record is None else record
            async with Wire(where, keys, told.append, limit=limit) as wire:
                return await wire.redis(*commands, password=password)

    return asyncio.run(go())


def bulk(text: str) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text.encode()), text.encode())


def test_only_what_was_asked_for_is_sent() -> None:
    """A live Redis hears nothing that redis-py would say by itself: CLIENT SETINFO, HELLO."""
    answers_of = {"AUTH": OK, "PING": PONG, "INFO": bulk("a:1\r\nb:é")}
    redis = FakeRedis(lambda words: answers_of[words[0]])
    record: list[Sent] = []
    answers = ask(redis, ("PING",), ("INFO",), password="known", record=record)
    assert answers == ["PONG", "a:1\r\nb:é"]
    assert redis.heard == [["AUTH", "known"], ["PING"], ["INFO"]]
    (sent,) = record
    assert (sent.method, sent.status, sent.mutation) == ("PING INFO", "ok", False)
    assert "known" not in str(sent)


@pytest.mark.parametrize(
    ("url", "user", "expected"),
    [
        ("redis://127.0.0.1:{port}", "gate", "gate"),
        ("redis://reader@127.0.0.1:{port}", None, "reader"),
        ("redis://a%40b@127.0.0.1:{port}", "gate", "a@b"),
    ],
)
def test_a_user_logs_in(url: str, user: str | None, expected: str) -> None:
    redis = FakeRedis(lambda words: OK if words[0] == "AUTH" else PONG)
    assert ask(redis, ("PING",), password="known", url=url, user=user) == ["PONG"]
    assert redis.heard[0] == ["AUTH", expected, "known"]


def test_a_wrong_password_is_an_answer() -> None:
    redis = FakeRedis(lambda words: WRONGPASS if words[0] == "AUTH" else NOAUTH)
    (answer,) = ask(redis, ("PING",), password="wrong")
    assert isinstance(answer, RedisReplyError)
    assert str(answer) == "NOAUTH Authentication required."


@pytest.mark.parametrize("text", ERRORS)
def test_an_error_is_an_answer_in_redis_s_own_words(text: str) -> None:
    redis = FakeRedis(lambda words: PONG if words[0] == "TIME" else f"-{text}\r\n".encode())
    first, then = ask(redis, ("PING",), ("TIME",))
    assert isinstance(first, RedisReplyError)
    assert str(first) == text
    assert then == "PONG"


def test_redis_that_says_nothing_is_not_waited_for() -> None:
    record: list[Sent] = []
    began = time.monotonic()
    with pytest.raises(
        WireError, match=r"^PING redis://127\.0\.0\.1:\d+: no answer within 0\.3 s$"
    ):
        ask(FakeRedis(lambda _: None), ("PING",), limit=0.3, record=record)
    assert time.monotonic() - began < 3
    assert [(sent.error, sent.status) for sent in record] == [("no answer within 0.3 s", None)]


def test_redis_that_hangs_up_gave_no_answer() -> None:
    redis = FakeRedis(lambda words: b"" if words[0] == "INFO" else PONG)
    with pytest.raises(WireError, match="the connection was closed before the answer was complete"):
        ask(redis, ("PING",), ("INFO",))


def test_no_redis_is_told_as_the_system_tells_it() -> None:
    with pytest.raises(WireError, match="Connect call failed"):
        ask(FakeRedis(lambda _: PONG), ("PING",), url="redis://127.0.0.1:1")


def test_what_is_no_redis_gave_no_answer() -> None:
    with pytest.raises(WireError, match="expected Redis to answer in its protocol"):
        ask(FakeRedis(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n"), ("PING",))


def served(folder: Path) -> ssl.SSLContext:
    certificate = authority(folder).issue(NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.path, certificate.key)
    return context


def test_rediss_is_tls_under_the_url_s_name(tmp_path: Path) -> None:
    redis = FakeRedis(lambda _: PONG, served(tmp_path))
    seen: list[str | None] = []
    assert redis.tls is not None
    redis.tls.sni_callback = lambda _, name, __: seen.append(name)
    ca_file = tmp_path / "ca.crt"
    assert ask(redis, ("PING",), url=f"rediss://{NAME}", ca_file=ca_file) == ["PONG"]
    assert seen == [NAME]


def test_rediss_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    redis = FakeRedis(lambda _: PONG, served(tmp_path))
    with pytest.raises(WireError, match="TLS: unable to get local issuer certificate"):
        ask(redis, ("PING",), url=f"rediss://{NAME}")
    assert redis.heard == []


@pytest.mark.parametrize(
    "command",
    [("SET", "a", "b"), ("CONFIG", "SET", "save", ""), ("CONFIG",), ("ACL", "LIST"), ("set",)],
)
def test_no_write_leaves_for_a_live_redis(command: tuple[str, ...]) -> None:
    redis = FakeRedis(lambda _: OK)
    with pytest.raises(LiveTargetError, match=f"got {command[0]}"):
        ask(redis, ("PING",), command)
    assert redis.heard == []


def test_a_sub_command_that_reads_may_leave() -> None:
    redis = FakeRedis(lambda _: b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n")
    assert ask(redis, ("config", "get", "save")) == [["save", ""]]
