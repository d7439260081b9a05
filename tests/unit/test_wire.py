"""A live target is looked at and never touched, and the report can prove it."""

import asyncio
import gc
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.containers import containers
from gate.target import Credentials, Target
from gate.wire import Answer, DockerSilent, LiveTargetError, Sent, Wire, WireError
from gate.wire import docker as docker_api


class Recorder(http.server.BaseHTTPRequestHandler):
    seen: list[str]

    hang: threading.Event

    def handle_any(self) -> None:
        self.seen.append(self.command)
        if self.path.startswith("/hangs"):
            self.hang.wait(10)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = handle_any

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []
    hang = threading.Event()
    handler = type("Handler", (Recorder,), {"seen": seen, "hang": hang})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", seen
        hang.set()
        running.shutdown()
        thread.join()


def send(url: str, kind: str, method: str, record: list[Sent]) -> None:
    target = Target("t", kind, {"proxy": url, "redis": "redis://127.0.0.1:1"})  # type: ignore[arg-type]

    async def go() -> None:
        async with Wire(target, Credentials(), record.append) as wire:
            await wire.http("/api/engine/stop", method=method)

    asyncio.run(go())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_no_mutating_request_leaves_for_a_live_target(
    server: tuple[str, list[str]], method: str
) -> None:
    url, seen = server
    record: list[Sent] = []
    with pytest.raises(LiveTargetError):
        send(url, "live", method, record)
    assert seen == []
    assert [sent.mutation for sent in record] == [False]


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_a_live_target_may_be_asked(server: tuple[str, list[str]], method: str) -> None:
    url, seen = server
    record: list[Sent] = []
    send(url, "live", method, record)
    assert seen == [method]
    assert [(sent.status, sent.mutation) for sent in record] == [(200, False)]


def test_a_mutation_of_a_disposable_stack_is_on_record(server: tuple[str, list[str]]) -> None:
    url, seen = server
    record: list[Sent] = []
    send(url, "disposable", "POST", record)
    assert seen == ["POST"]
    assert [sent.mutation for sent in record] == [True]


def test_no_write_leaves_for_a_live_redis() -> None:
    target = Target("t", "live", {"redis": "redis://127.0.0.1:1"})

    async def go() -> None:
        async with Wire(target, Credentials(), lambda _: None) as wire:
            await wire.redis(("SET", "a", "b"))

    with pytest.raises(LiveTargetError):
        asyncio.run(go())


@pytest.mark.filterwarnings("error::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_docker_that_is_away_is_told_apart_from_a_service_that_is(
    server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        docker_api, "docker_address", lambda: ("http://docker", str(tmp_path / "none.sock"))
    )

    async def ask() -> None:
        target = Target("t", "disposable", {"proxy": server[0]})
        async with Wire(target, Credentials(), lambda _: None) as wire:
            await wire.docker("/containers/json")

    with pytest.raises(DockerSilent, match=r"docker:/containers/json.*; `make machine` starts one"):
        asyncio.run(ask())
    gc.collect()  # the HTTP library leaves its socket to the collector


@pytest.mark.parametrize("error", [DockerSilent("no answer"), WireError("500 404", 500)])
def test_an_id_with_404_in_it_is_not_a_container_that_is_gone(error: WireError) -> None:
    """A container that Docker said nothing of was left out when its id had these digits."""

    class Docker:
        async def docker(self, path: str) -> Any:
            if path.startswith("/containers/json"):
                return [{"Id": "9404c"}]
            raise type(error)(f"GET docker:{path}: {error}", error.status)

    with pytest.raises(WireError, match="9404c"):
        asyncio.run(containers(Docker(), "p"))  # type: ignore[arg-type]


def test_a_container_that_went_while_docker_was_asked_is_left_out() -> None:
    class Docker:
        async def docker(self, path: str) -> Any:
            if path.startswith("/containers/json"):
                return [{"Id": "a"}]
            raise WireError(f"GET docker:{path}: 404", 404)

    assert asyncio.run(containers(Docker(), "p")) == {}  # type: ignore[arg-type]


def test_what_hangs_holds_up_only_questions_to_itself(server: tuple[str, list[str]]) -> None:
    url, _ = server
    target = Target("t", "live", {"proxy": url})
    record: list[Sent] = []

    async def go() -> list[object]:
        async with Wire(target, Credentials(), record.append, limit=2.0) as wire:
            hanging = [wire.http(f"/hangs/{number}") for number in range(40)]
            return await asyncio.gather(*hanging, wire.http("/answers"), return_exceptions=True)

    *hung, answered = asyncio.run(go())
    assert all(isinstance(one, WireError) for one in hung)
    assert isinstance(answered, Answer)
    assert answered.status == 200
