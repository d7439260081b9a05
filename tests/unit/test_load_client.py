"""The lean client of the generator: connections are used again, and a closed one is no error."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from load.client import UNDONE, Client

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LIMIT = 5.0
Serve = Callable[[socket.socket, int], None]


@contextmanager
def serving(serve: Serve) -> Iterator[tuple[Client, list[int]]]:
    """A client of a server that treats the n-th connection as `serve` says; connections made."""
    made: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    made.append(len(made))
                    with connection, suppress(OSError):
                        serve(connection, made[-1])

        threading.Thread(target=accept, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        client = Client(url, listening.getsockname(), None, 4, LIMIT)
        yield client, made
        client.close()


def answers(*texts: bytes) -> Serve:
    """Answer so many requests of each connection, then close it."""

    def serve(connection: socket.socket, _number: int) -> None:
        for text in texts:
            connection.recv(65536)
            connection.sendall(text)

    return serve


def test_a_connection_is_used_again() -> None:
    with serving(answers(OK, OK, OK)) as (client, made):
        request = client.request("GET", "/x", {})
        assert [client.send(request) for _ in range(3)] == [200, 200, 200]
        assert made == [0]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_was_closed_meanwhile_is_no_error(method: str) -> None:
    with serving(answers(OK)) as (client, made):
        request = client.request(method, "/x", {"X-API-Key": "k"}, b"{}")
        assert client.send(request) == 200
        threading.Event().wait(0.1)
        assert client.send(request) == 200
        assert made == [0, 1]


def test_the_text_of_a_request_is_whole() -> None:
    made = Client("http://host:81/base", ("host", 81), None, 1, LIMIT).request(
        "POST", "/x", {"A": "b"}, b"{}"
    )
    assert made.text == (
        b"POST /base/x HTTP/1.1\r\nHost: host:81\r\nUser-Agent: breakout-bot-gate\r\nA: b\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )
    assert not made.repeatable


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 0),
        (b"no HTTP at all\r\n\r\n", 0),
        (b"", 0),
    ],
)
def test_the_status_of_a_whole_answer_counts(text: bytes, status: int) -> None:
    with serving(answers(text)) as (client, _):
        assert client.send(client.request("GET", "/x", {})) == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"success": false, "message": "2 positions are left"}', UNDONE),
        (b'{"success": true}', 200),
        (b'{"data": {"success": false}}', 200),
        (b"no JSON", 200),
    ],
)
def test_a_command_without_success_is_no_good_answer(body: bytes, status: int) -> None:
    text = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with serving(answers(text, text)) as (client, _):
        assert client.send(client.request("POST", "/x", {}, b"{}")) == status
        assert client.send(client.request("GET", "/x", {})) == 200


def test_what_is_sent_again_is_counted() -> None:
    with serving(answers(OK)) as (client, _):
        request = client.request("GET", "/x", {})
        assert (client.send(request), client.resent) == (200, 0)
        threading.Event().wait(0.1)
        assert (client.send(request), client.resent) == (200, 1)


def test_nobody_there_is_no_answer() -> None:
    client = Client("http://127.0.0.1:1", ("127.0.0.1", 1), None, 1, LIMIT)
    assert client.send(client.request("GET", "/x", {})) == 0
