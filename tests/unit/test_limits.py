"""What the machine lacks is told from what a stack does wrong, with the command that helps."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from compose.release import Release
from gate.checks import CheckFailed
from gate.errors import MachineError, NotSent, WireError
from gate.evidence import Evidence, Probe
from gate.machine import limits
from gate.ready import wait_ready
from gate.stack import AttachedStack, ComposeError, Stack
from gate.target import Credentials, Target
from gate.wire import Wire
from gate.wire import http as wire_http

ENDPOINT = "driver failed programming external connectivity on endpoint web (08bb0bd9): "
DAEMON = "Error response from daemon: "
REGISTRY = "Get https://registry.test/v2/: dial tcp: lookup registry.test on 10.0.2.3:53"
LACKING = {
    # Docker 1.10, to 26, since 27; Compose 1, 2
    'failed to parse pool request for address space "LocalDefault" pool "" subpool "": could not'
    " find an available predefined network": "address pool",
    "ERROR: could not find an available, non-overlapping IPv4 address pool among the defaults to"
    " assign to the network": "address pool",
    "failed to create network gate_default: " + DAEMON + "all predefined address pools have been"
    " fully subnetted": "address pool",
    "failed to register layer: Error processing tar file(exit status 1): write /usr/lib/jvm/x: no"
    " space left on device": "disk",
    "failed to solve: write /var/lib/docker/buildkit/x: no space left on device": "disk",
    "npm ERR! code ENOSPC": "disk",
    DAEMON + "open /var/lib/docker/image/overlay2/imagedb/content/sha256/47bcc5: too many open"
    " files": "descriptors",
    "Error: spawn /usr/bin/chromium EMFILE": "descriptors",
    "inotify_add_watch /sys/fs/cgroup/x: no space left on device": "inotify",
    "failed to create inotify fd: too many open files": "inotify",
    "the user limit (128) on the number of inotify instances has been reached": "inotify",
    DAEMON + ENDPOINT + "Bind for 0.0.0.0:8080 failed: port is already allocated.": "port",
    DAEMON
    + ENDPOINT
    + "Error starting userland proxy: listen tcp4 0.0.0.0:80: bind: address already in use": "port",
    DAEMON + "failed to set up container networking: " + ENDPOINT + "failed to bind host port for"
    " 0.0.0.0:7148:172.18.0.2:7148/tcp: address already in use": "port",
    DAEMON + "Ports are not available: exposing port TCP 0.0.0.0:80 -> 0.0.0.0:0: listen tcp"
    " 0.0.0.0:80: bind: An attempt was made to access a socket": "port",
    ENDPOINT + "Error starting userland proxy: Failed to bind: EADDRINUSE": "port",
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon"
    " running?": "engine",
    "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is"
    " correct and if the daemon is running: dial unix /var/run/docker.sock: connect: no such file"
    " or directory": "engine",
    "Got permission denied while trying to connect to the Docker daemon socket at"
    ' unix:///var/run/docker.sock: Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.24/version": dial unix'
    " /var/run/docker.sock: connect: permission denied": "right to use Docker",
    "permission denied while trying to connect to the docker API at"
    " unix:///var/run/docker.sock": "right to use Docker",
    DAEMON + "fork/exec /usr/bin/containerd-shim-runc-v2: cannot allocate memory": "memory",
    "[0908/080137.570259:ERROR:platform_thread_posix.cc(124)] pthread_create: Resource temporarily"
    " unavailable (11)": "memory",
    # An exit code 137 of a build's step: BuildKit, the builder before it, a client that was killed
    'failed to solve: process "/bin/sh -c npm run build" did not complete successfully: exit code:'
    " 137": "memory",
    "The command '/bin/sh -c npm ci' returned a non-zero code: 137": "memory",
    "exec: docker-buildx: signal: killed": "memory",
    'File "/gate/load/merge.py", line 7, in <module>: MemoryError': "memory",
    "runtime: failed to create new OS thread (have 9 already; errno=11)": "memory",
    "RuntimeError: can't start new thread": "memory",
    "[9] Cannot create temporary directory!": "temporary folder",
    "FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp']": (
        "temporary folder"
    ),
    DAEMON + ENDPOINT + "  (iptables failed: iptables --wait -t nat -A DOCKER -p tcp -d 127.0.0.1"
    " --dport 443 -j DNAT: iptables: No chain/target/match by that name.": "firewall",
    "failed to create network gate_front: " + DAEMON + "Failed to Setup IP tables: Unable to enable"
    " SKIP DNAT rule:  (iptables failed: iptables --wait -t nat -I DOCKER": "firewall",
    DAEMON + ENDPOINT + "failed to start userland proxy for port mapping 127.0.0.1:49153:"
    "172.18.0.2:6379/tcp: exit status 1": "userland proxy",
    DAEMON + ENDPOINT + "Timed out proxy starting the userland proxy": "userland proxy",
    DAEMON + ENDPOINT + "failed to start userland proxy: fork/exec /usr/bin/docker-proxy: resource"
    " temporarily unavailable": "memory",
    DAEMON + "failed to create endpoint redis on network gate_back: failed to add the host"
    " (veth1) <=> sandbox (veth2) pair interfaces: operation not supported": "network device",
    DAEMON + "adding interface veth1 to bridge br-1 failed: exchange full": "network device",
    DAEMON + "unable to join session keyring: unable to create session key: disk quota exceeded": (
        "kernel keys"
    ),
    "OCI runtime create failed: mkdir /sys/fs/cgroup/memory/docker/1: no space left on device": (
        "control groups"
    ),
    DAEMON + "error creating overlay mount to /var/lib/docker/overlay2/x/merged: read-only file"
    " system": "writable disk",
    "failed to solve: open /var/lib/docker/tmp/buildkit-mount1/x: no space left on device": "disk",
    REGISTRY + ": server misbehaving": "name resolution",
    REGISTRY + ": read udp 10.0.2.15:33821->10.0.2.3:53: i/o timeout": "name resolution",
    "E: Temporary failure in name resolution": "name resolution",
    "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current"
    " time 2026-05-17T10:34:05+02:00 is before 2026-07-08T01:10:17Z": "clock",
    "E: Release file for http://deb.test/dists/trixie/InRelease is not valid yet (invalid for"
    " another 3h 2min 5s)": "clock",
}
OF_THE_STACK = [
    "dependency failed to start: container gate-redis-1 is unhealthy",
    DAEMON + "failed to set up container networking: Address already in use",  # a fixed IP address
    "failed to create network gate_default: " + DAEMON + "Pool overlaps with other one on this"
    " address space",
    DAEMON + "failed to create task for container: OCI runtime create failed: container init was"
    " OOM-killed (memory limit too low?)",
    DAEMON + 'exec: "redis-sever": executable file not found in $PATH',
    DAEMON + "open /data/x: permission denied",
    "x509: certificate has expired or is not yet valid: current time 2026-11-30T00:00:00Z is after"
    " 2026-01-01T00:00:00Z",
    "dial tcp 172.18.0.3:6379: connect: connection refused",
    # Its own memory limit may be why
    "dependency failed to start: container gate-breakout-bot-api-1 exited (137)",
    'service "certs" didn\'t complete successfully: exit 137',
    DAEMON + ENDPOINT + "Error starting userland proxy: listen tcp4 192.0.2.7:443: bind: cannot"
    " assign requested address",
    DAEMON + "OCI runtime create failed: mkdir /etc/redis: read-only file system",
    'failed to solve: process "/bin/sh -c false" did not complete successfully: exit code: 1',
    'service "api" refers to undefined network other: invalid compose project',
]


@pytest.mark.parametrize(("text", "lacks"), LACKING.items())
def test_what_the_machine_lacks_is_known_by_its_words(text: str, lacks: str) -> None:
    limit = limits.limit_of(f" Container gate-redis-1  Creating\n{text}\nexit status 1")
    assert limit is not None
    assert limit.lacks == lacks
    found = limits.machine_error(f" Network x  Creating\n{text}\n", "`docker compose up`")
    assert found is not None
    assert str(found) == (
        f"`docker compose up`: expected {limit.expected}, got: {text}; {limit.next_step}"
    )
    assert "`" in limit.next_step


@pytest.mark.parametrize("text", OF_THE_STACK)
def test_what_the_stack_does_wrong_is_not_the_machine_s(text: str) -> None:
    assert limits.limit_of(text) is None
    assert limits.machine_error(text) is None
    assert limits.advised(text) == text


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (OSError(errno.EMFILE, "Too many open files"), "descriptors"),
        (OSError(errno.ENFILE, "Too many open files in system"), "descriptors"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (MemoryError(), "memory"),
        (RuntimeError("can't start new thread"), "memory"),
        (RuntimeError("no MemoryError of ours"), None),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "memory"),
        (OSError(errno.EROFS, "Read-only file system"), "writable disk"),
        (
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found"),
            "temporary folder",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), None),
        (OSError(errno.EADDRINUSE, "Address already in use"), "port"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "name resolution"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), None),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), None),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), None),
        (ValueError("no space left on device"), None),
        (MachineError("Docker: no space left on device"), "disk"),
    ],
)
def test_what_the_machine_lacks_is_known_by_its_number(error: Exception, lacks: str | None) -> None:
    limit = limits.limit_of(error)
    assert (limit.lacks if limit else None) == lacks
    try:
        raise KeyError("what came of it") from error
    except KeyError as above:
        found = limits.machine_error(above)
    assert (found is not None) == (lacks is not None)


@pytest.mark.parametrize(
    ("number", "lacks"),
    [
        (errno.ENOENT, "engine"),
        (errno.ECONNREFUSED, "engine"),
        (errno.EACCES, "right to use Docker"),
        (errno.ETIMEDOUT, None),
    ],
)
def test_why_a_socket_of_docker_is_silent_is_known(number: int, lacks: str | None) -> None:
    above = WireError("GET docker:/info: no answer")
    above.__cause__ = OSError(number, os.strerror(number))
    limit = limits.socket_limit(above)
    assert (limit.lacks if limit else None) == lacks


def test_a_step_is_said_once() -> None:
    found = limits.machine_error(OSError(errno.EMFILE, "Too many open files"))
    assert found is not None
    assert limits.machine_error(found) is found


# Where it counts


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setattr("gate.stack.image_exists", lambda _: False)
    monkeypatch.setattr("gate.stack.runs_folder", lambda: tmp_path)
    attached = AttachedStack(Credentials(), "0")
    return Stack("limits", Release("1.0.0", "abc", "1.0.0-abc"), attached=attached)


@pytest.mark.parametrize("text", [text for text, lacks in LACKING.items() if lacks != "clock"])
def test_a_stack_that_the_machine_cannot_hold_is_no_finding(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def start(_: object) -> None:
        raise ComposeError(f" Network x  Creating\n{text}")

    monkeypatch.setattr(type(stack.compose), "start", start)
    with pytest.raises(MachineError, match="`docker compose up`: expected") as raised:
        stack.up()
    assert not isinstance(raised.value, ComposeError)


@pytest.mark.parametrize("text", OF_THE_STACK)
def test_what_compose_cannot_start_is_a_finding(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def start(_: object) -> None:
        raise ComposeError(text)

    monkeypatch.setattr(type(stack.compose), "start", start)
    problem = stack.up()
    assert problem is not None
    assert problem.last_words == text


def no_descriptor(*_: object, **__: object) -> Any:
    cause = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    raise httpx.ConnectError(str(cause)) from cause


def unresolved(*_: object, **__: object) -> Any:
    cause = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    raise httpx.ConnectError(str(cause)) from cause


@pytest.mark.parametrize("why", [no_descriptor, unresolved])
def test_what_could_not_be_sent_blames_no_service(
    why: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_http, "_sent", why)
    target = Target("t", "disposable", {"prometheus": "http://127.0.0.1:1"})

    async def ask() -> None:
        async with Wire(target, Credentials(), lambda _: None) as wire:
            await wire.http("/", "prometheus")

    with pytest.raises(NotSent, match=r"^GET http://127\.0\.0\.1:1/: \[Errno .*; `") as raised:
        asyncio.run(ask())
    probe = Probe[Any]("page", "prometheus", lambda _: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(NotSent):
        Evidence(target, {probe: raised.value})[probe]
    with pytest.raises(CheckFailed):
        Evidence(target, {probe: WireError("refused")})[probe]
    monkeypatch.setattr("gate.ready.find_broken", no_problem)
    with pytest.raises(NotSent):
        asyncio.run(wait_ready(target, Credentials(), 0.5))


async def no_problem(_: object) -> list[Any]:
    return []
