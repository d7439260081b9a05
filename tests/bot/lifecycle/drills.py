"""What goes wrong with an update: bad candidates, and kill -9, a hang-up, a reader or a Docker that
is gone at any step."""

import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from compose.lifecycle import backups, proxy, recovery, releases, rollback
from compose.lifecycle.deployment import API, PROXY, Deployment, docker, holds_within
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import Journal
from compose.lifecycle.state import SchemaChange, UpdateOptions
from compose.release import HERE, Release, release_environment
from gate import expect
from gate.machine import docker as engines
from gate.machine.commands import Result, run, start
from gate.machine.interrupts import heeded_by_children
from tests.bot.lifecycle import candidates
from tests.bot.lifecycle.disposable import leftovers, revision, updated, words
from tests.bot.lifecycle.pages import SYSTEM_PATH
from tests.bot.lifecycle.traffic import Seen
from tests.bot.lifecycle.witness import rows
from tests.faults import sources

PROGRAM = (sys.executable, "-m", "compose.lifecycle")
STEP_LIMIT = 120.0
STILL_SECONDS = 3
STEP_LOOK_SECONDS = 0.02
SAID = "update.log"
WATCH = 1.0
MAIN = "/app/breakout_bot/__main__.py"
MIDDLEWARE = "/app/breakout_bot/middleware.py"
SCHEMA = "/app/breakout_bot/schema.py"


@dataclass(frozen=True)
class Bad:
    """A candidate that must not come to serve."""

    reason: str
    """What the refusal says."""
    changes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Dockerfile lines by service."""
    said: str | None = None
    """The revision that it claims."""
    options: UpdateOptions = field(default_factory=lambda: UpdateOptions(watch=WATCH))
    harmless: bool = True
    """Whether nobody may notice it; a canary's share, and a crash after the switch, are noticed."""


def _python(path: str, before: str, after: str) -> list[str]:
    code = (
        f"import pathlib; p = pathlib.Path('{path}'); s = p.read_text();"
        f" assert {before!r} in s; p.write_text(s.replace({before!r}, {after!r}, 1))"
    )
    return ["RUN " + json.dumps(["/venv/bin/python", "-c", code])]


NEXT_SCHEMA = 'STEPS = (*STEPS, Step(up="{up}", down="{down}"))\nSCHEMA_VERSION = '


def next_schema(up: str, down: str) -> dict[str, list[str]]:
    """Dockerfile lines of an API whose data have one schema version more."""
    after = NEXT_SCHEMA.format(up=up, down=down)
    return {API: _python(SCHEMA, "SCHEMA_VERSION = ", after)}


LATE_CRASH = "import os, threading\nthreading.Timer(20, os._exit, [3]).start()\n"
NOW_AND_THEN = """\
        if scope["type"] == "http":
            self.seen = getattr(self, "seen", 0) + 1
            if self.seen > 400 and self.seen % 20 == 0:
                return await body("now and then", 500)(scope, receive, send)
"""
PASS_ON = '        """Pass on what may pass."""\n'

BAD = {
    "never healthy": Bad(
        "the new breakout-bot-api crashed",
        {API: _python(MAIN, "def main() -> int:", "def main() -> int:\n    raise SystemExit(3)")},
    ),
    "a proxy configuration with an error": Bad(
        "not_a_directive", {PROXY: ["RUN echo 'not_a_directive on;' >> /etc/nginx/nginx.conf"]}
    ),
    "the wrong revision": Bad("smoke stage says HOLD: smoke.version", said="0" * 40),
    "crashes after 20 s": Bad(
        "the new breakout-bot-api crashed",
        {API: _python(MAIN, "import ", LATE_CRASH + "import ")},
        options=UpdateOptions(watch=25.0),
        harmless=False,
    ),
    "a migration that fails half-way": Bad(
        "no such table: nowhere",
        next_schema("CREATE TABLE extra (x); INSERT INTO nowhere VALUES (1)", "DROP TABLE extra"),
    ),
    "a newer schema": Bad(
        "smoke stage says HOLD: smoke.version",
        next_schema("CREATE TABLE extra (x)", "DROP TABLE extra"),
        said="0" * 40,
        harmless=False,  # the data are taken back with the bot stopped
    ),
    "5 % errors under canary": Bad(
        "canary",
        {API: _python(MIDDLEWARE, PASS_ON, PASS_ON + NOW_AND_THEN)},
        options=UpdateOptions(watch=WATCH, canary=50.0, canary_seconds=30.0),
        harmless=False,
    ),
}
QUICK = ("never healthy", "a proxy configuration with an error", "a newer schema")
"""Those that the lifecycle stage tries; `make drill` tries all."""


def taken_back(deployment: Deployment, base: Release, bad: Bad) -> str | None:
    """Update to a bad candidate; what is wrong with how it ended, None when it was taken back."""
    candidate = candidates.make(base, f"bad-{deployment.project[-6:]}", bad.changes, bad.said)
    before, runs = rows(deployment), revision(deployment)
    try:
        updated(deployment, candidate, bad.options)
        return "the update ended well"
    except Rejected as refused:
        said = str(refused)
    finally:
        candidates.forget(candidate)
    if bad.reason not in said:
        return f"it says {said!r}, expected {bad.reason!r}"
    if revision(deployment) != runs:
        return f"revision {revision(deployment)} answers, expected {runs}"
    if rows(deployment) != before:
        return f"rows {rows(deployment)}, before {before}"
    return leftovers(deployment)


def schema_taken_back(deployment: Deployment, first: Release) -> str | None:
    """Up to a release with a newer schema, and back by its own way down; what is wrong then.

    The first try to go back fails once the data are back, and has to bring them up again.
    """
    up = "CREATE TABLE extra (x); INSERT INTO extra SELECT hex(randomblob(8))"  # not made twice
    changes = next_schema(up, "DROP TABLE extra")
    newer = candidates.make(first, f"schema-{deployment.project[-6:]}", changes)
    before, options = rows(deployment), UpdateOptions(watch=WATCH)
    updated(deployment, newer, options)
    present = releases.load(deployment, newer.tag)
    change = rollback.plan_schema_change(present, releases.load(deployment, first.tag), None)
    if wrong := _in_vain(deployment, replace(first, revision="0" * 40), change):
        return wrong
    recovery.execute(deployment, rollback.read_state(deployment, first, options, change))
    candidates.forget(newer)
    after = rows(deployment)
    if after != before:
        return f"rows {after}, before {before}"
    return leftovers(deployment)


def _in_vain(deployment: Deployment, wanted: Release, change: SchemaChange) -> str | None:
    """Roll back to a release that the smoke stage holds; what is wrong with how it ended."""
    before, runs = rows(deployment), revision(deployment)
    state = rollback.read_state(deployment, wanted, UpdateOptions(watch=WATCH), change)
    try:
        recovery.execute(deployment, state)
        return "a rollback to a release of another revision ended well"
    except Rejected as refused:
        if "smoke.version" not in str(refused):
            return f"it says {refused}"
    if revision(deployment) != runs or rows(deployment) != before:
        return f"{revision(deployment)}, {rows(deployment)} in place of {runs}, {before}"
    return leftovers(deployment)


def disk_filled(deployment: Deployment, folder: Path) -> str:
    """What `compose/update.sh` of a changed tree says whose build fills the disk.

    The full disk is the one of 64 MB that a build step has at /dev/shm.
    """
    tree = folder / "tree"
    shutil.copytree(HERE, tree / HERE.name, ignore=shutil.ignore_patterns("releases", ".env"))
    shutil.copy(HERE.parent / "pyproject.toml", tree)
    with (tree / HERE.name / "api" / "Dockerfile").open("a", encoding="utf-8") as file:
        file.write(f"RUN dd if=/dev/zero of=/dev/shm/{folder.name} bs=1M count=128\n")
    files = [tree / HERE.name / one.name if one.parent == HERE else one for one in deployment.files]
    copied = replace(deployment, files=tuple(files))
    update = ("update", "--watch", f"{WATCH:g}")
    refused = _run(copied, tree, *update)
    said = str(HERE.parent) in refused.text
    expect(refused.code == 1 and said, "another folder is refused", refused.text[-1500:])
    adopted = _run(copied, tree, "adopt")
    expect(adopted.code == 0, "a deployment that is adopted", adopted.text[-1500:])
    try:
        done = _run(copied, tree, *update)
    finally:
        _run(deployment, HERE.parent, "adopt")
    expect(done.code == 1, "an update that is refused", done.code, done.text[-1500:])
    return done.text


def _run(deployment: Deployment, tree: Path, *command: str) -> Result:
    """Run a command of the lifecycle in a tree of its own or in this one."""
    return run([*PROGRAM, *command, *words(deployment)], STEP_LIMIT, cwd=tree, base=_shell())


def _shell() -> dict[str, str]:
    return {"PATH": SYSTEM_PATH, **engines.pinned(), **sources.environment()}


# Broken off in the middle


@contextmanager
def hung_until(deployment: Deployment, step: str) -> Iterator[None]:
    """The bot frozen with its files open, and killed when a command is at a step.

    A stop would take as long as its grace time, and end in the same kill.
    """
    api = deployment.container(API).id
    over = threading.Event()
    docker("kill", "--signal", "STOP", api)

    def kill() -> None:
        holds_within(lambda: over.is_set() or _at(deployment, step), STEP_LIMIT)
        docker("kill", api)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()
        docker("start", api)  # where the command came to no start of it, for the checks after this


@contextmanager
def slow_to_reload(deployment: Deployment, seen: Seen) -> Iterator[None]:
    """The proxy's workers stand still for some seconds, as on a machine with too much to do.

    A reload reaches them only after that. They hold a slow request then of the colour that serves.
    """
    before = seen.slow
    holds_within(
        lambda: seen.slow > before, STEP_LIMIT
    )  # one that an earlier colour might have let in
    all_of_them = " ".join(proxy.workers(deployment))
    script = f"kill -STOP {all_of_them}; sleep {STILL_SECONDS}; kill -CONT {all_of_them}"
    front = proxy.live(deployment).id
    with start(["docker", "exec", front, "sh", "-c", script]):
        yield


@dataclass(frozen=True)
class Command:
    """A command of the lifecycle, as it is typed."""

    words: tuple[str, ...]
    release: Release
    """What it is given, and what runs when it comes to its end."""


def update_to(release: Release, *options: str) -> Command:
    """An update, as `compose/update.sh` gets it."""
    return Command(("update", "--watch", f"{WATCH:g}", *options), release)


def kill_at(deployment: Deployment, command: Command, step: str, folder: Path) -> None:
    """Run a command and kill -9 it in a step, at that step's first call of Docker."""
    _signalled_at(deployment, command, step, folder, signal.SIGKILL)


def hang_up_at(deployment: Deployment, command: Command, step: str, folder: Path) -> None:
    """Run a command and hang up on it in a step, at that step's first call of Docker.

    It goes to its end, which is as before, or where there is no way back as wanted.
    """
    with heeded_by_children():
        process = _signalled_at(deployment, command, step, folder, signal.SIGHUP)
    _ended_with(process, 128 + signal.SIGHUP, folder)


def _signalled_at(
    deployment: Deployment, command: Command, step: str, folder: Path, number: signal.Signals
) -> subprocess.Popen[bytes]:
    """Send a command a signal in a step. Fails the check where it does not come to that step."""
    process, came = _signalled(deployment, command, folder, number, lambda _: _at(deployment, step))
    _expect_step(process, came, step, folder)
    return process


def _signalled(
    deployment: Deployment,
    command: Command,
    folder: Path,
    number: signal.Signals,
    due: Callable[["Relay"], bool],
) -> tuple[subprocess.Popen[bytes], bool]:
    """Run a command and send it a signal at its first call of Docker when that is due.

    The call is held until then, because some steps are over in a third of a second. It goes on
    without its parent, and has ended when this returns: nobody types the next command sooner.
    Tells also whether the command came so far.
    """
    sent = threading.Event()
    with (
        docker_relay(folder / "docker.sock", lambda: not sent.is_set() and due(relay)) as relay,
        _running(deployment, command, folder, DOCKER_HOST=relay.address) as process,
    ):
        came = _comes_to(process, lambda: due(relay))
        process.send_signal(number)
        sent.set()
        process.wait(STEP_LIMIT)
        holds_within(lambda: not any(one.is_alive() for one in relay.callers), STEP_LIMIT)
    return process, came


def reader_gone_at(deployment: Deployment, command: Command, step: str, folder: Path) -> None:
    """Run a command with nobody who reads its output from a step on, to its end."""
    reading, writing = os.pipe()
    with _running(deployment, command, folder, output=writing) as process:
        os.close(writing)
        _expect_step(process, _comes_to(process, lambda: _at(deployment, step)), step, folder)
        os.close(reading)
        process.wait(STEP_LIMIT)
    _ended_with(process, 0, folder)
    runs = revision(deployment)
    wanted = command.release.revision
    expect(runs == wanted, f"revision {wanted} to answer", runs)


def _ended_with(process: subprocess.Popen[bytes], code: int, folder: Path) -> None:
    said = _said(folder)
    clean = process.returncode == code and "Traceback" not in said
    expect(clean, f"exit code {code}", process.returncode, said[-1500:])


def refuse_at(deployment: Deployment, command: Command, step: str, folder: Path) -> None:
    """Run a command with a Docker that refuses everything from a step on, to its end."""
    with (
        docker_relay(folder / "docker.sock") as relay,
        _running(deployment, command, folder, DOCKER_HOST=relay.address) as process,
    ):
        _expect_step(process, _comes_to(process, lambda: _at(deployment, step)), step, folder)
        relay.shut.set()
        process.wait(STEP_LIMIT)


@contextmanager
def _running(
    deployment: Deployment,
    command: Command,
    folder: Path,
    output: int | None = None,
    **variables: str,
) -> Iterator[subprocess.Popen[bytes]]:
    environment = _shell() | release_environment(command.release) | variables
    with (
        (folder / SAID).open("wb") as said,
        subprocess.Popen(
            [*PROGRAM, *command.words, *words(deployment)],
            cwd=HERE.parent,
            env=environment,
            stdout=said if output is None else output,
            stderr=said if output is None else output,
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def _comes_to(process: subprocess.Popen[bytes], due: Callable[[], bool]) -> bool:
    """Wait until it is due; False where the process has ended before."""
    holds_within(lambda: process.poll() is not None or due(), STEP_LIMIT, STEP_LOOK_SECONDS)
    return process.poll() is None


def _expect_step(process: subprocess.Popen[bytes], came: bool, step: str, folder: Path) -> None:
    seen = f"it ended with {process.returncode}"
    expect(came, f"a command that comes to the step {step}", seen, _said(folder)[-1500:])


def _said(folder: Path) -> str:
    return (folder / SAID).read_text(encoding="utf-8", errors="replace")


def _at(deployment: Deployment, step: str) -> bool:
    journal = Journal.find(recovery.journal_path(deployment))
    return journal is not None and step in journal.begun


def backup_broken_off(
    deployment: Deployment, release: Release, number: signal.Signals, call: int, folder: Path
) -> bool:
    """Run an encrypted backup and end it by a signal at its n-th call of Docker.

    Tells whether it came to that call.
    """
    key = folder / "key"
    key.write_text(secrets.token_hex(32))
    command = Command(("backup", "--key-file", str(key)), release)
    _, came = _signalled(
        deployment, command, folder, number, lambda relay: len(relay.callers) >= call
    )
    return came


def plain_left(deployment: Deployment) -> list[str]:
    """List what lies unencrypted where only a command at work may have it.

    The settings to go back with are as secret as those that the deployment has, and lie as they do.
    """
    key = (deployment.credentials.api_key or "").encode()
    marks = (b"SQLite format 3\0", b"REDIS0", key)
    found = [
        str(path.relative_to(deployment.state))
        for path in deployment.state.rglob("*")
        if path.is_file()
        and path != deployment.kept_settings
        and any(mark in path.read_bytes() for mark in marks)
    ]
    image = backups.image(deployment)
    for name in ("data", "redis-data"):
        flags = ["--rm", "--network", "none", "--user", "0:0", "--entrypoint", "ls"]
        volume = f"{deployment.volume(name)}:/data:ro"
        listed = docker("run", *flags, "-v", volume, image, "-A", "/data").split()
        found += [f"{name}: {one}" for one in listed if one.startswith(".")]
    return found


@dataclass(frozen=True)
class Relay:
    """A way to Docker's socket."""

    address: str
    """For DOCKER_HOST."""
    held: Callable[[], bool]
    """Whether who calls now has to wait."""
    shut: threading.Event = field(default_factory=threading.Event)
    """Refuses who calls, and cuts who is in."""
    callers: list[threading.Thread] = field(default_factory=list)
    """One for each connection, until its end."""


@contextmanager
def docker_relay(path: Path, held: Callable[[], bool] = lambda: False) -> Iterator[Relay]:
    """A socket at `path` that leads to Docker's; who is in when it goes away may finish."""
    made = Relay(f"unix://{path}", held)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(64)
        threading.Thread(target=_accept_callers, args=(listening, made), daemon=True).start()
        try:
            yield made
        finally:
            path.unlink()


def _accept_callers(listening: socket.socket, relay: Relay) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        caller = threading.Thread(target=_relay_caller, args=(client, relay), daemon=True)
        relay.callers.append(caller)
        caller.start()


def _relay_caller(client: socket.socket, relay: Relay) -> None:
    with client, socket.socket(socket.AF_UNIX) as docker:
        holds_within(lambda: not relay.held(), STEP_LIMIT, STEP_LOOK_SECONDS)
        if relay.shut.is_set():
            return
        docker.connect(str(engines.engine().socket))
        there = threading.Thread(target=_pass_on, args=(client, docker, relay.shut), daemon=True)
        there.start()
        _pass_on(docker, client, relay.shut)
        there.join()


def _pass_on(source: socket.socket, to: socket.socket, shut: threading.Event) -> None:
    with suppress(OSError):
        while not shut.is_set():
            if not select.select([source], [], [], 0.2)[0]:
                continue
            piece = source.recv(65536)
            if not piece:
                to.shutdown(socket.SHUT_WR)
                return
            to.sendall(piece)
