"""A target's URL is the name that people use; where TCP goes is said apart, for every protocol."""

import asyncio
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from compose.lifecycle.deployment import Deployment
from gate import target as targets
from gate.errors import TargetError
from gate.target import Credentials, Target
from gate.urls import leading_to
from gate.wire import Wire, WireError, least_left
from load.client import Client
from tests.bot.lifecycle.authority import authority
from tests.ui.browser import _connected

NAME = "bot.example.test"


class Server:
    """An https server on loopback, under a name that leads nowhere."""

    def __init__(self, folder: Path, name: str = NAME, answer: bytes = b'{"status": "ok"}') -> None:
        self._document = answer
        self.hosts: list[str] = []
        self.names: list[str | None] = []
        self.ca_file = folder / "ca.crt"
        certificate = authority(folder).issue(name)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate.path, certificate.key)
        self._tls.sni_callback = lambda _, name, __: self.names.append(name)
        self._ready, self._over = threading.Event(), threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> "Server":
        self._thread.start()
        self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(5)

    async def _run(self) -> None:
        async with serve(
            self._talk, "127.0.0.1", 0, ssl=self._tls, process_request=self._answer
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await asyncio.to_thread(self._over.wait)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        self.hosts.append(request.headers["Host"])
        if request.path == "/ws/":
            return None
        return connection.respond(200, self._document.decode())

    async def _talk(self, connection: ServerConnection) -> None:
        await connection.send("HEARTBEAT")

    def target(self, **changes: object) -> Target:
        """The server as a live target."""
        url = f"https://{NAME}"
        connect = leading_to(url, f"127.0.0.1:{self.port}")
        made = Target("named", "live", {"proxy": url}, connect, ca_file=self.ca_file)
        return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        yield running


def test_http_tls_and_websocket_have_the_name_and_connect_elsewhere(server: Server) -> None:
    async def talk() -> None:
        async with Wire(server.target(), Credentials(), lambda _: None) as wire:
            answer = await wire.http("/healthz")
            assert (answer.status, answer.url) == (200, f"https://{NAME}/healthz")
            certificate = await wire.certificate()
            assert certificate.trusted
            assert certificate.names == (NAME,)
            assert (await wire.websocket("/ws/")).messages == ["HEARTBEAT"]
            assert not await wire.accepts_tls(ssl.TLSVersion.TLSv1_1)

    asyncio.run(talk())
    assert set(server.hosts) == {NAME}
    assert set(server.names) == {NAME}


def test_the_name_is_verified_and_not_the_place(server: Server) -> None:
    url = "https://other.example.test"
    other = replace(
        server.target(), urls={"proxy": url}, connect=leading_to(url, f"127.0.0.1:{server.port}")
    )

    async def talk() -> None:
        async with Wire(other, Credentials(), lambda _: None) as wire:
            with pytest.raises(WireError, match="Hostname mismatch"):
                await wire.http("/healthz")
            assert (await wire.certificate()).problem.startswith("Hostname mismatch")  # type: ignore[union-attr]

    asyncio.run(talk())


def test_trust_any_takes_a_certificate_that_nobody_verifies(server: Server) -> None:
    async def talk() -> None:
        target = server.target(ca_file=None, trust="any")
        async with Wire(target, Credentials(), lambda _: None) as wire:
            assert (await wire.http("/healthz")).status == 200
            assert (await wire.certificate()).trusted

    asyncio.run(talk())


def test_load_has_the_name_and_connects_elsewhere(server: Server) -> None:
    target = server.target()
    url = target.url
    client = Client(url, target.address_of(url), str(target.ca_file), 2, 5.0)
    assert client.send(client.request("GET", "/healthz", {})) == 200
    client.close()
    assert (server.hosts, server.names) == ([NAME], [NAME])


def test_the_generators_own_looks_have_the_name_too(server: Server, tmp_path: Path) -> None:
    """Its watch of the engine and its WebSockets, in a process of its own, as Locust patches it."""
    target = server.target()
    url = target.url
    job = tmp_path / "job"
    job.mkdir()
    (job / "ca.crt").write_bytes(server.ca_file.read_bytes())
    root = Path(__file__).parents[2]
    profile = root / "load" / "profiles" / "gate.toml"
    (job / profile.name).write_text(profile.read_text())
    told = {"profile": profile.name, "live": True, "url": url, "ca_file": "ca.crt"}
    told |= {"connect": target.address_of(url), "baseline": None, "workers": 1, "early_end": False}
    (job / "job.json").write_text(json.dumps(told))
    script = (
        "import gevent; from load import locustfile as l; from types import SimpleNamespace as N\n"
        "w = N(tick_lag_ms=[], websocket={'messages': 0, 'failures': 0}); l.WORK[:] = [w]\n"
        "g = gevent.spawn(l.Work.watch_engine, w); h = gevent.spawn(l.Listener.listen, None)\n"
        "gevent.sleep(1.5); print(w.websocket['messages'])\n"
    )
    environment = {"LOAD_JOB": str(job / "job.json"), "PYTHONPATH": str(root), "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "1", done.stderr[-2000:]
    assert len(server.hosts) >= 2
    assert set(server.hosts) == {NAME}


def test_the_browser_is_told_where_names_lead(server: Server) -> None:
    assert _connected(server.target()) == [
        f"--host-resolver-rules=MAP {NAME}:443 127.0.0.1:{server.port}"
    ]
    assert _connected(Target("plain", "live", {"proxy": "https://x"})) == []


# What a deployment is called


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "https://localhost"),
        ({"SERVER_NAME": "bot.test"}, "https://bot.test"),
        ({"SERVER_NAME": "Bot.Test."}, "https://bot.test"),
        ({"SERVER_NAME": "bücher.test"}, "https://xn--bcher-kva.test"),
        ({"SERVER_NAME": "203.0.113.7"}, "https://203.0.113.7"),
        (
            {"SERVER_NAME": "bücher.test", "CORS_ORIGINS": "https://BÜCHER.test.:8443"},
            "https://xn--bcher-kva.test:8443",
        ),
        (
            {"SERVER_NAME": "bot.test", "CORS_ORIGINS": "https://a.test, https://bot.test:8443"},
            "https://bot.test:8443",
        ),
        ({"SERVER_NAME": "bot.test", "CORS_ORIGINS": "https://a.test,*"}, "https://bot.test"),
    ],
)
def test_a_deployment_is_called_as_its_settings_say(settings: dict[str, str], url: str) -> None:
    assert targets.public_url(settings) == url


def test_a_server_name_that_no_url_can_have_is_refused() -> None:
    for name in ("bot test", "https://bot.test", "bot.test/x", "bot:x", "bot..test", "*.bot.test"):
        with pytest.raises(TargetError, match="SERVER_NAME: expected a host name"):
            targets.public_url({"SERVER_NAME": name})


def test_localhost_is_asked_by_the_name_in_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("SERVER_NAME=bot.test\nCOMPOSE_PROFILES=\n")
    monkeypatch.setattr(targets, "HERE", tmp_path)
    seen = targets.localhost()
    assert seen.url == "https://bot.test"
    assert seen.plain_http == "http://bot.test"
    assert seen.address_of("https://bot.test/api") == ("127.0.0.1", 443)
    assert seen.address_of("http://bot.test/x") == ("127.0.0.1", 80)
    assert seen.address_of(seen.urls["redis"]) == ("localhost", 6379)


def test_the_deployment_of_this_folder_is_known_by_its_url_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "HERE", tmp_path)
    (tmp_path / ".env").write_text("SERVER_NAME=bot.test\nMODE=live\n")
    (tmp_path / "tls").mkdir()
    authority(tmp_path / "tls")
    own = targets.behind_proxy("https://bot.test")
    assert (own.mode, set(own.unavailable), own.connect) == ("live", {"grafana"}, {})
    assert own.ca_file == tmp_path / "tls" / "ca.crt"
    other = targets.behind_proxy("https://other.test")
    assert (other.mode, other.unavailable, other.ca_file) == ("paper", {}, None)
    (tmp_path / ".env").write_text("SERVER_NAME=bot test\n")
    assert targets.behind_proxy("https://other.test") == other


def test_a_deployment_of_a_named_folder_has_its_url(tmp_path: Path) -> None:
    settings = tmp_path / "settings.env"
    settings.write_text("SERVER_NAME=bot.test\n")
    assert Deployment(env_file=settings).url == "https://bot.test"


@pytest.mark.parametrize(
    "url",
    [
        "https://bot.test:443",
        "https://BOT.test",
        "https://bot.test.",
        "https://bot.test/",
        "HTTPS://bot.test.:0443",
        "https://\uff22\uff2f\uff34\u3002test",
        "https://bot.test\n",
    ],
)
def test_one_deployment_has_one_origin_however_it_is_typed(url: str) -> None:
    assert targets.behind_proxy(url).urls == {"proxy": "https://bot.test"}
    assert targets.behind_proxy(url).plain_http == "http://bot.test"


@pytest.mark.parametrize(
    ("typed", "url", "host"),
    [
        ("https://[::1]:8443", "https://[::1]:8443", "::1"),
        ("https://[0:0:0:0:0:0:0:1]:8443", "https://[::1]:8443", "::1"),
        ("https://bücher.test", "https://xn--bcher-kva.test", "xn--bcher-kva.test"),
        ("https://BÜCHER.test.:443", "https://xn--bcher-kva.test", "xn--bcher-kva.test"),
        ("https://faß.test", "https://xn--fa-hia.test", "xn--fa-hia.test"),  # not fass.test
        ("https://XN--FA-HIA.test", "https://xn--fa-hia.test", "xn--fa-hia.test"),
    ],
)
def test_a_host_has_one_form(typed: str, url: str, host: str) -> None:
    seen = targets.behind_proxy(typed)
    assert seen.url == url
    assert seen.address_of(url)[0] == host


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://☃.test", "U+2603 at position 1 of '☃' not allowed"),
        ("https://xn--n3h.test", "not allowed"),
        ("https://xn--99999999.test", "Invalid A-label"),
        ("https://a..b", "'a..b' is no name of a host"),
        ("https://-bot.test", "'-bot.test' is no name of a host"),
        (f"https://{'a' * 64}.test", "is no name of a host"),
        (f"https://{'ü' * 64}.test", "too long"),
        ("https://*.test", "'*.test' is no name of a host"),
        ("https://127.1", "Expected 4 octets"),
        ("https://256.1.1.1", "256"),
        ("https://[::g]", "IPv6"),
        ("https://[fe80::1%25eth0]", "an address with a zone"),
        ("https://bot.test:0", "nothing listens at port 0"),
        ("https://bo\tt.test", "got 'https://bo\\tt.test'"),
        ("https://\udcff.test", "U+DCFF"),
        ("http://bot.test", "what plain http serves cannot be judged; give the https URL"),
    ],
)
def test_a_host_that_is_none_is_one_sentence(url: str, said: str) -> None:
    with pytest.raises(TargetError) as raised:
        targets.behind_proxy(url)
    text = str(raised.value)
    assert text.startswith("--target: expected a URL like https://host[:port], got ")
    assert said in text or ("IPv6" in said and "IPv" in text)
    assert text.count("expected a URL") == 1
    assert "\n" not in text


def test_an_international_name_is_asked_for_in_tls_as_it_is_in_the_url(tmp_path: Path) -> None:
    with Server(tmp_path, "xn--fa-hia.test") as server:
        url = targets.behind_proxy("https://faß.test").url
        to = leading_to(url, f"127.0.0.1:{server.port}")
        target = server.target(urls={"proxy": url}, connect=to)

        async def talk() -> None:
            async with Wire(target, Credentials(), lambda _: None) as wire:
                assert (await wire.http("/healthz")).status == 200
                assert (await wire.websocket("/ws/")).messages == ["HEARTBEAT"]

        asyncio.run(talk())
    assert set(server.hosts) == set(server.names) == {"xn--fa-hia.test"}


def test_connect_of_a_target_file(tmp_path: Path) -> None:
    rest = '[services]\nproxy = "https://bot.test"\n' + "".join(
        f'{service} = "internal"\n' for service in targets.SERVICES if service != "proxy"
    )
    path = tmp_path / "target.toml"
    path.write_text('connect = "10.0.0.5:8443"\n' + rest)
    seen = targets.from_file(path)
    assert seen.address_of("https://bot.test/") == ("10.0.0.5", 8443)
    assert seen.address_of("http://bot.test/") == ("10.0.0.5", 80)
    path.write_text('connect = "10.0.0.5"\n' + rest)
    seen = targets.from_file(path)
    assert seen.address_of("https://bot.test/") == ("10.0.0.5", 443)
    assert seen.address_of("http://bot.test/") == ("10.0.0.5", 80)
    path.write_text('[connect]\n"bot.test:443" = "[::1]:8443"\n' + rest)
    seen = targets.from_file(path)
    assert seen.address_of("https://bot.test/") == ("::1", 8443)
    assert seen.address_of("http://bot.test/") == ("bot.test", 80)
    path.write_text(
        '[connect]\n"BÜCHER.test.:443" = "BOT.test.:8443"\n' + rest.replace("//bot", "//bücher")
    )
    assert targets.from_file(path).address_of("https://xn--bcher-kva.test/") == ("bot.test", 8443)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("connect = 8443", "connect: expected HOST:PORT, got 8443"),
        ('connect = "http://x"', "connect: expected HOST:PORT, got 'http://x'"),
        ('[connect]\n"bot.test" = "x:1"', "connect: expected HOST:PORT, got 'bot.test'"),
        ('[connect]\n"bot.test:443" = "x:99999"', "connect: expected HOST:PORT"),
        ('[connect]\n"other.test:443" = "x:1"', "connect: expected to say where bot.test:443"),
        ('trust = "any"', "trust: expected 'any' only where connect leads to an address"),
        ('trust = "any"\nconnect = "10.0.0.5"', "got 10.0.0.5"),
    ],
)
def test_a_bad_connect_is_one_sentence(tmp_path: Path, head: str, said: str) -> None:
    path = tmp_path / "target.toml"
    services = "".join(
        f'{service} = "{"https://bot.test" if service == "proxy" else "internal"}"\n'
        for service in targets.SERVICES
    )
    path.write_text(f"{head}\n[services]\n{services}")
    with pytest.raises(TargetError) as raised:
        targets.from_file(path)
    assert said in str(raised.value)


# How long certificates have to last


@pytest.mark.parametrize(
    ("days", "least"), [(90, 10.0), (398, 10.0), (47, 7.05), (6, 0.9), (0.25, 0.0375)]
)
def test_what_has_to_be_left_is_a_share_of_the_time(days: float, least: float) -> None:
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    left = least_left(begins, begins + timedelta(days=days))
    assert left / timedelta(days=1) == pytest.approx(least)
