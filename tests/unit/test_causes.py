"""A finding's cause is what was seen: a refusal, a wrong protocol, a limit; not "it is down"."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from gate.checks import Check, CheckFailed
from gate.evidence import Evidence
from gate.recorder import PlannedCheck
from gate.target import Credentials, Target
from gate.wire import Answer, Wire, WireError
from reports.redact import MARK
from tests.bot.lifecycle.authority import authority
from tests.smoke import probes, test_reach, test_redis
from tests.unit.fakes import call, events, recorder
from tests.unit.test_wire_redis import NOAUTH, WRONGPASS, FakeRedis, ask

NOPERM = b"-NOPERM User gate has no permissions to run the 'ping' command\r\n"
NO_LOGIN = b"-ERR AUTH <password> called without any password configured for the default user.\r\n"
ALERT = b"\x15\x03\x03\x00\x02\x02\x0a"
"""What OpenSSL says to who speaks no TLS."""


@contextmanager
def saying(words: bytes, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that says the same to everyone, and hangs up."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                one = listening.accept()[0]
                one.settimeout(2)
                one = tls.wrap_socket(one, server_side=True) if tls else one
                one.recv(4000)
                one.sendall(words)
                one.close()
            except ssl.SSLError:
                continue
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(3)


def error_at(url: str, **target: Path) -> WireError:
    service = "redis" if url.startswith("redis") else "proxy"

    async def talk() -> None:
        where = Target("t", "live", {service: url}, **target)  # type: ignore[arg-type]
        async with Wire(where, Credentials(), lambda _: None, limit=2) as wire:
            await (wire.redis(("PING",)) if service == "redis" else wire.http("/"))

    with pytest.raises(WireError) as raised:
        asyncio.run(talk())
    return raised.value


@pytest.mark.parametrize(
    ("scheme", "words", "cause"),
    [
        ("https", b"HTTP/1.1 400 Bad Request\r\n\r\n", "no TLS is spoken"),
        ("https", b"-ERR unknown command\r\n", "no TLS is spoken"),
        ("rediss", b"-ERR Protocol error\r\n", "no TLS is spoken"),
        ("http", ALERT, "TLS, or another protocol, is spoken"),
        ("redis", ALERT, "TLS"),  # hiredis sees another protocol, redis-py an end in mid-line
        ("redis", b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS, or another protocol, is spoken"),
        ("http", b"", "hangs up without a word"),
        ("https", b"", "hangs up without a word"),
        ("redis", b"", "hangs up without a word"),
    ],
)
def test_another_protocol_is_told_from_being_down(scheme: str, words: bytes, cause: str) -> None:
    with saying(words) as port:
        error = error_at(f"{scheme}://127.0.0.1:{port}")
    assert error.cause is not None
    assert cause in error.cause.cause


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("https://127.0.0.1:1", "nothing listens there"),
        ("redis://127.0.0.1:1", "nothing listens there"),
        ("https://no-such.invalid", "its name leads to no address"),
    ],
)
def test_what_is_not_there_is_told_as_such(url: str, cause: str) -> None:
    told = error_at(url).cause
    assert told is not None
    assert cause in told.cause


def test_a_certificate_that_is_not_accepted_is_no_closed_port(tmp_path: Path) -> None:
    certificate = authority(tmp_path).issue("127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate.path, certificate.key)
    with saying(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", tls) as port:
        error = error_at(f"https://127.0.0.1:{port}")
    assert str(error).endswith(": TLS: unable to get local issuer certificate")
    assert error.cause is not None
    assert "certificate that this host does not accept" in error.cause.cause


def answer(status: int, body: str = "", **headers: str) -> Answer:
    return Answer("https://bot.test/x", status, httpx.Headers(headers), body.encode(), 0.1)


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (answer(401), "refuses who asks"),
        (answer(403, "<html>Access denied"), "refuses who asks"),
        (answer(429), "counts too many requests"),
        (answer(503, "maintenance"), "says itself that it can serve nobody now"),
        (answer(302, location="https://login.test/"), "elsewhere, to https://login.test/"),
        (
            answer(400, "The plain HTTP request was sent to HTTPS port"),
            "its URL asks for none",
        ),
    ],
)
def test_a_status_that_nobody_expects_says_why(seen: Answer, cause: str) -> None:
    with pytest.raises(CheckFailed) as raised:
        probes.ok(seen)
    assert cause in str(raised.value.failure.cause)
    assert raised.value.failure.seen == seen.brief


def test_a_status_that_tells_nothing_leaves_the_check_its_own_cause() -> None:
    for seen in (answer(404), answer(500), answer(200)):
        with pytest.raises(CheckFailed) as raised:
            probes.ok(seen, 418)
        assert (raised.value.failure.cause, raised.value.failure.fix) == (None, None)


def redis_seen(*, login: bytes, then: bytes) -> Evidence:
    """What smoke sees of a Redis that answers so."""
    redis = FakeRedis(lambda words: login if words[0] == "AUTH" else then)
    replies = ask(redis, ("PING",), ("INFO",), password="wrong-password")
    return Evidence(Target("t", "live"), {probes.REDIS: replies})


@pytest.mark.parametrize(
    ("login", "then", "cause"),
    [
        (WRONGPASS, NOAUTH, "has another password or user"),
        (b"-ERR invalid password\r\n", NOAUTH, "has another password"),
        (b"+OK\r\n", NOPERM, "may not run this command"),
        (b"+OK\r\n", NOAUTH, "wants a password that it was not given"),
    ],
)
def test_redis_that_refuses_is_there_and_has_another_password(
    login: bytes, then: bytes, cause: str
) -> None:
    seen = redis_seen(login=login, then=then)
    test_reach.test_answers_directly(seen, "redis")
    with pytest.raises(CheckFailed) as raised:
        test_redis.test_takes_its_password(seen)
    failure = raised.value.failure
    assert cause in str(failure.cause)
    assert "down" not in str(failure.cause)


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "reads its data from disk"),
        (b"-ERR max number of clients reached\r\n", "as many clients as it takes"),
        (b"-DENIED Redis is running in protected mode\r\n", "protected mode"),
    ],
)
def test_redis_that_cannot_answer_now_says_why(reply: bytes, cause: str) -> None:
    with pytest.raises(CheckFailed) as raised:
        test_reach.test_answers_directly(redis_seen(login=b"+OK\r\n", then=reply), "redis")
    assert cause in str(raised.value.failure.cause)


def test_a_finding_has_the_cause_and_the_next_step_that_were_seen(tmp_path: Path) -> None:
    made = recorder(tmp_path, "wrong-password")
    planned = PlannedCheck("smoke.redis.a", Check("redis", "it is down", "start it", (), ()), "a")
    with pytest.raises(CheckFailed) as raised:
        test_redis.test_takes_its_password(redis_seen(login=WRONGPASS, then=NOAUTH))
    made.take_result(planned, call(error=raised.value))
    (check,) = events(made, "check")
    assert check["finding"]["likely_cause"].startswith("Redis answers, and has another password")
    assert check["finding"]["next_step"].startswith("set GATE_REDIS_PASSWORD")
    assert "wrong-password" not in str(check)
    assert MARK not in str(check)


def test_redis_without_a_password_that_is_given_one_works_and_is_told_so() -> None:
    seen = redis_seen(login=NO_LOGIN, then=b"+PONG\r\n")
    test_reach.test_answers_directly(seen, "redis")
    test_redis.test_takes_its_password(seen)
