"""A Docker that lies, in this process: it answers from a table, fails, is late, tells stale state.

It keeps containers, volumes and the proxy's configurations of one deployment, runs the proxy's
shell scripts on folders of its own, and lets no time pass but by its clock.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from compose.lifecycle import deploy, update, verify
from compose.lifecycle import deployment as deployment_module
from compose.lifecycle.database import LAUNCHER, UNSOUND
from compose.lifecycle.deployment import API, FRONTEND, Deployment
from compose.lifecycle.journal import write_json
from compose.lifecycle.releases import Manifest
from compose.release import HERE, OWN_SERVICES
from gate import wait
from gate.errors import MachineError
from gate.machine import commands
from gate.machine.commands import Result

SERVICES = ("proxy", API, FRONTEND, "redis", "exchange", "prometheus")
COMPOSE_LABEL = "com.docker.compose"


class Killed(BaseException):
    """Stands for kill -9: nothing of ours runs after it."""


class Clock:
    """Time that passes only when somebody sleeps, or asks Docker."""

    def __init__(self) -> None:
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@dataclass
class Fake:
    """A container."""

    id: str
    project: str
    service: str
    tag: str
    created: int
    state: str = "created"
    started: float = 0.0
    restarts: int = 0
    exit_code: int = 0
    sockets: int = 0
    engine: str = "IDLE"
    lease: bool = False
    label: str = ""
    """Of a helper that works for a command."""

    @property
    def name(self) -> str:
        return f"{self.project}-{self.service}-{self.created}"

    @property
    def ip(self) -> str:
        return f"10.0.0.{self.created}"


def database(schema: int, **presets: str) -> bytes:
    """A small SQLite file of a schema version."""
    with closing(sqlite3.connect(":memory:")) as data:
        data.execute("CREATE TABLE presets (name, body)")
        data.executemany("INSERT INTO presets VALUES (?, ?)", presets.items())
        data.execute(f"PRAGMA user_version = {schema}")
        data.commit()
        return data.serialize()


def schema_of(content: bytes) -> int:
    """The user_version in a file's head."""
    return int.from_bytes(content[60:64], "big")


def with_schema(content: bytes, schema: int) -> bytes:
    return content[:60] + schema.to_bytes(4, "big") + content[64:]


class LyingDocker:
    """Answers `docker`, `docker compose` and the smoke run that a command starts."""

    def __init__(self, folder: Path, project: str = "bot") -> None:
        self.folder, self.project = folder, project
        self.clock = Clock()
        self.calls: list[str] = []
        self.containers: dict[str, Fake] = {}
        self.data: dict[str, bytes] = {}
        """Content by volume; of the data volume the database, of Redis's its append-only file."""
        self.schemas: dict[str, int] = {}
        """Schema that a release's code works with, by tag; 2 where there is none."""
        self.crashing: set[str] = set()
        """Tags whose API exits when it starts."""
        self.unhealthy: set[str] = set()
        """Services and tags that start and never get healthy."""
        self.slow: dict[str, float] = {}
        """Seconds until a service is healthy."""
        self.holding: list[str] = []
        """Findings of the next smoke runs; none is PROMOTE."""
        self.images: set[str] = set()
        self.networks = {"front"}
        self.log: list[dict[str, Any]] = []
        """Entries of the proxy's access log."""
        self.connections: dict[str, str] = {}
        """What a look into the proxy's /proc shows, by its container's id."""
        self.stuck_workers: list[str] = []
        """Workers that do not leave at a reload."""
        self.reloads = 0
        self.smoked: list[str] = []
        """The proxy configuration that each smoke run looked at."""
        self._table: list[tuple[str, Callable[[], Result | None]]] = []
        self._lies: list[tuple[str, int, dict[str, list[Result]]]] = []
        self._count = 0
        self.live = folder / "live"
        self.etc = folder / "etc"
        for path in (self.live / "image", self.etc):
            path.mkdir(parents=True)
        for name in ("nginx.conf", "upstreams.conf"):
            (self.etc / name).write_text((HERE / "proxy" / name).read_text())
        for name in ("version.conf", "mime.types"):
            (self.etc / name).write_text("")
        (self.live / "current").symlink_to("image")

    # How it lies

    def answer(self, pattern: str, out: str = "", code: int = 0, times: int = 10**9) -> None:
        """Answer calls that match from the table, so many times."""
        left = [times]

        def give() -> Result | None:
            left[0] -= 1
            if left[0] < 0:
                return None
            return Result(code, "" if code else out, out if code else "")

        self._table.insert(0, (pattern, give))

    def fail(self, pattern: str, at: int = 1, error: str = "planted: no space left") -> None:
        """Fail the n-th call that matches, and only that."""
        counter = [0]

        def give() -> Result | None:
            counter[0] += 1
            return Result(1, "", error) if counter[0] == at else None

        self._table.insert(0, (pattern, give))

    def kill_at(self, pattern: str, at: int = 1) -> None:
        """Kill who makes the n-th call that matches, before anything is done."""
        counter = [0]

        def give() -> Result | None:
            counter[0] += 1
            if counter[0] == at:
                raise Killed
            return None

        self._table.insert(0, (pattern, give))

    def observe(self, pattern: str, look: Callable[[], object]) -> None:
        """Look at something whenever a call matches, before it is answered."""

        def give() -> None:
            look()

        self._table.insert(0, (pattern, give))

    def lie(self, pattern: str, looks: int) -> None:
        """Give an answer again to the next so many calls of the same words, whatever happens."""
        self._lies.append((pattern, looks, {}))

    def heal(self) -> None:
        """Tell the truth from now on."""
        self._table.clear()
        self._lies.clear()

    def count(self, pattern: str) -> int:
        """How many calls matched."""
        return sum(bool(re.search(pattern, call)) for call in self.calls)

    # What there is

    def add(self, service: str, tag: str, state: str = "running", project: str = "") -> Fake:
        """A container as it is after a deploy."""
        self._count += 1
        made = Fake(f"id{self._count}", project or self.project, service, tag, self._count, state)
        made.started = self.clock.now
        self.containers[made.id] = made
        return made

    def deployed(self, tag: str, data: bytes | None = None) -> None:
        """A deployment of a release that runs and is well."""
        for service in SERVICES:
            self.add(service, tag)
        self.data |= {
            f"{self.project}_data": data or database(2),
            f"{self.project}_redis-data": b"aof",
        }
        self.serve("before", self.of(API), self.of(FRONTEND))
        self.of(API).lease = True

    def serve(self, folder: str, api: Fake, page: Fake) -> None:
        """Write a configuration of the proxy and serve it."""
        place = self.live / folder
        place.mkdir(exist_ok=True)
        for path in self.etc.iterdir():
            text = path.read_text().replace(" breakout-bot-api:8000", f" {api.name}:8000")
            text = text.replace(" breakout-bot-frontend:3000", f" {page.name}:3000")
            (place / path.name).write_text(text)
        (self.live / "current").unlink()
        (self.live / "current").symlink_to(folder)

    def all(self, service: str, project: str = "") -> list[Fake]:
        """Containers of a service, oldest first."""
        mine = project or self.project
        return [
            one
            for one in self.containers.values()
            if one.service == service and one.project == mine
        ]

    def of(self, service: str) -> Fake:
        """The newest container of a service."""
        return self.all(service)[-1]

    @property
    def served(self) -> str:
        """The configuration that is served."""
        return (self.live / "current").readlink().name

    @property
    def serving_api(self) -> Fake:
        """The API that gets the requests."""
        text = (self.live / self.served / "upstreams.conf").read_text()
        return next(one for one in self.all(API) if f"{one.name}:8000" in text)

    def running(self, service: str) -> list[str]:
        """Tags of the running containers of a service."""
        return [one.tag for one in self.all(service) if one.state == "running"]

    # What it is asked

    def completed(
        self,
        words: Sequence[str],
        limit: float,
        cwd: Path | None,
        environment: Mapping[str, str],
        feed: str | None = None,
    ) -> Result:
        """In place of `commands.completed`."""
        del cwd, feed
        assert limit > 0
        if words[0] == sys.executable and "breakout_bot.data" in words:
            return _described(Path(words[words.index("--file") + 1]))
        return self._asked(list(words), environment, None)

    def piped(self, words: Sequence[str], limit: float, **streams: Any) -> None:
        """In place of `commands.piped`."""
        assert limit > 0
        done = self._asked(list(words), {}, streams)
        if not done.ok:
            raise MachineError(f"Expected `{words[0]} {words[1]}` to succeed, but: {done.err}")

    def _asked(
        self, words: list[str], environment: Mapping[str, str], streams: dict[str, Any] | None
    ) -> Result:
        shown = ["DATA" if word == LAUNCHER else word for word in words]
        if "DATA" in shown:
            shown.pop()  # its text
        call = " ".join(shown)
        self.calls.append(call)
        self.clock.now += 0.01
        for pattern, give in self._table:
            if re.search(pattern, call) and (planted := give()) is not None:
                return planted
        for pattern, looks, told in self._lies:
            if re.search(pattern, call):
                if call not in told:
                    told[call] = [self._truth(shown, environment, streams)] * (looks + 1)
                if told[call]:
                    return told[call].pop()
        return self._truth(shown, environment, streams)

    def _truth(
        self, words: list[str], environment: Mapping[str, str], streams: dict[str, Any] | None
    ) -> Result:
        if words[:3] == [sys.executable, "-m", "pytest"]:
            return self._smoke(words)
        assert words[0] == "docker", words
        if words[1] == "compose":
            return self._compose(words[2:], environment)
        answer = getattr(self, f"_{words[1]}")(words[2:], streams)
        return answer if isinstance(answer, Result) else Result(0, answer or "", "")

    def _ps(self, words: list[str], _: Any) -> str:
        wanted = dict(
            word.removeprefix("label=").split("=", 1) for word in words if word.startswith("label=")
        )
        return "\n".join(
            f"{one.id} {one.name}" if "{{.ID}} {{.Names}}" in words else one.id
            for one in self.containers.values()
            if wanted.get(f"{COMPOSE_LABEL}.project", one.project) == one.project
            and wanted.get(f"{COMPOSE_LABEL}.service", one.service) == one.service
            and wanted.get("org.breakout-bot.working", one.label) == one.label
        )

    def _inspect(self, words: list[str], _: Any) -> Result:
        names = words[2:]
        by_name = {one.name: one for one in self.containers.values()} | self.containers
        found = [self.inspected(by_name[name]) for name in names if name in by_name]
        lacking = [name for name in names if name not in by_name]
        return Result(int(bool(lacking)), json.dumps(found), f"No such container: {lacking}")

    def inspected(self, one: Fake) -> dict[str, Any]:
        """A container as `docker inspect` tells it."""
        ready = self.clock.now >= one.started + self.slow.get(one.service, 0.0)
        never = {one.service, one.tag, f"{one.service}:{one.tag}"} & self.unhealthy
        health = "healthy" if ready and not never else "starting"
        ports = {"8443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18443"}]}
        return {
            "Id": one.id,
            "Name": f"/{one.name}",
            "Created": f"{one.created:06}",
            "Image": f"sha256:{one.service}-{one.tag}",
            "RestartCount": one.restarts,
            "Mounts": [],
            "State": {
                "Status": one.state,
                "ExitCode": one.exit_code,
                "StartedAt": f"{one.started:012.2f}",
                "Health": {"Status": health if one.state == "running" else "unhealthy"},
            },
            "Config": {
                "Image": f"breakout-bot/{OWN_SERVICES.get(one.service, one.service)}:{one.tag}",
                "Labels": {f"{COMPOSE_LABEL}.service": one.service},
            },
            "NetworkSettings": {
                "Ports": ports if one.service in ("proxy", "entry") else {},
                "Networks": {f"{one.project}_front": {"IPAddress": one.ip, "NetworkID": "front"}},
            },
        }

    def _start(self, words: list[str], _: Any) -> None:
        for name in words:
            self._begin(self.containers[name])

    def _begin(self, one: Fake) -> None:
        if one.state == "running":
            return
        one.state, one.started, one.restarts = "running", self.clock.now, 0
        if one.service != API:
            return
        volume, known = f"{one.project}_data", self.schemas.get(one.tag, 2)
        content = self.data.get(volume) or database(known)
        if one.tag in self.crashing or schema_of(content) > known:
            one.state, one.exit_code = "exited", 3
            return
        self.data[volume] = with_schema(content, known)
        others = [api for api in self.all(API, one.project) if api is not one]
        one.lease = not any(api.lease and api.state == "running" for api in others)

    def _stop(self, words: list[str], _: Any) -> None:
        for name in words[2:] if words[0] == "--time" else words:
            one = self.containers[name]
            one.state = "exited" if one.state == "running" else one.state
            if one.lease:
                one.lease = False
                for api in self.all(API, one.project):
                    api.lease = api.lease or api.state == "running"

    def _rm(self, words: list[str], _: Any) -> None:
        self.containers.pop(words[-1], None)

    def _logs(self, words: list[str], _: Any) -> str:
        if "--since" in words:
            return "\n".join(["started", *(json.dumps(entry) for entry in self.log)])
        return "a first line\nits last words"

    def _network(self, words: list[str], _: Any) -> str:
        assert words[0] == "ls"
        return "\n".join(self.networks)

    def _volume(self, words: list[str], _: Any) -> str:
        assert words[0] == "ls"
        return "\n".join(self.data)

    def _image(self, words: list[str], _: Any) -> Result:
        if words[0] == "ls":
            return Result(0, "\n".join(self.images), "")
        name = words[-1]
        known = not self.images or name in self.images
        return Result(0, f"sha256:{name}\n", "") if known else Result(1, "", "No such image")

    def _exec(self, words: list[str], _: Any) -> Result:
        one = self.containers[words[0]]
        if one.state != "running":
            return Result(1, "", f"container {one.id} is not running")
        if words[1] == "cat":
            return Result(0, "a certificate", "")
        if words[1] == "sh":
            return self._in_proxy(one, words[3])
        path, at = words[-2], words[-1]
        if at.endswith(":3000"):
            page = next(fake for fake in self.containers.values() if at == f"{fake.name}:3000")
            return Result(0, "200\n<html>" if page.state == "running" else "0\n", "")
        return Result(0, f"{200 if self.health(one) else 503}\n{self._said(one, path)}", "")

    def health(self, one: Fake) -> dict[str, str]:
        """What an API says of itself; nothing while it is not well."""
        told = self.inspected(one)["State"]["Health"]["Status"]
        is_well = one.state == "running" and told == "healthy"
        started = f"{one.started:.2f}"
        return {"status": "healthy", "started_at": started, "revision": one.tag} if is_well else {}

    def _said(self, one: Fake, path: str) -> str:
        if path == "/api/metrics":
            return f"# metrics\nbreakout_bot_websocket_clients {one.sockets}.0\n"
        if path == "/api/engine/status":
            return json.dumps({"state": one.engine, "leaseHeld": one.lease})
        return json.dumps(self.health(one))

    def _in_proxy(self, proxy: Fake, script: str) -> Result:
        if "/cmdline" in script and "tcp" not in script:
            titles = [f"{100 + self.reloads} nginx: worker process"]
            titles += [f"{number} nginx: worker process" for number in self.stuck_workers]
            leaving = "7 nginx: worker process is shutting down"
            return Result(0, "\n".join(["1 nginx: master process", leaving, *titles]), "")
        if "/proc/net/tcp" in script:
            return Result(0, self.connections.get(proxy.id, ""), "")
        if script.startswith("nginx "):
            file = Path(self._here(script.split()[-1]))
            refused = not file.is_file() or "not_a_directive" in file.read_text()
            problem = "nginx: warn\nnginx: [emerg] unknown directive\nnginx: test failed"
            return Result(1, "", problem) if refused else Result(0, "", "")
        self.reloads += script.count("kill -HUP 1")
        return _really(["sh", "-c", self._here(script.replace("kill -HUP 1", "true"))])

    def _here(self, script: str) -> str:
        return script.replace("/live", str(self.live)).replace("/etc/nginx", str(self.etc))

    def _run(self, words: list[str], streams: dict[str, Any] | None) -> Result:
        call = " ".join(words)
        if "--detach" in words:
            made = self.add("entry", "new", project="entry")
            made.id = words[words.index("--name") + 1]
            self.containers[made.id] = self.containers.pop(f"id{self._count}")
            return Result(0, made.id, "")
        volume = next((word.split(":")[0] for word in words if "/data" in word and ":" in word), "")
        if "DATA" in words:
            return self._data_command(volume, words, streams)
        if "breakout_bot.migrate" in call:
            if "--help" not in words:
                self.data[volume] = with_schema(self.data[volume], int(words[-1]))
            return Result(0, "", "")
        if "--volumes-from" in words:
            return _really(["sh", "-c", self._here(words[-1])])
        assert streams is not None, call
        if "stdout" in streams:
            streams["stdout"].write(self.data.get(volume, b""))
        else:
            self.data[volume] = streams["stdin"].read()
        return Result(0, "", "")

    def _data_command(
        self, volume: str, words: list[str], streams: dict[str, Any] | None
    ) -> Result:
        command = words[words.index("DATA") + 1]
        content = self.data.get(volume, b"")
        if command == "known-schema":
            tag = words[words.index("DATA") - 2].rpartition(":")[2]
            return Result(0, f"{self.schemas.get(tag, 2)}\n", "")
        if command == "exists":
            return Result(0 if content else 9, "", "")
        if command == "schema":
            return Result(0, f"{schema_of(content)}\n", "")
        assert streams is not None, words
        if command == "snapshot":
            streams["stdout"].write(content)
        else:
            self.data[volume] = streams["stdin"].read()
        return Result(0, "", "")

    # Compose

    def _compose(self, words: list[str], environment: Mapping[str, str]) -> Result:
        project, words = words[words.index("-p") + 1], words[words.index("-p") + 2 :]
        while words[0].startswith("-"):
            words = words[2:]
        verb, *rest = words
        tag = environment.get("BOT_TAG", "")
        named = [word for word in rest if word in SERVICES] or list(SERVICES)
        if verb in ("create", "up"):
            self._create(
                project, tag, named, rest, renew=verb == "up" and "--no-recreate" not in rest
            )
        if verb in ("start", "up"):
            self._start([one.id for one in self._mine(project) if one.service in named], None)
        if verb == "stop":
            self._stop([one.id for one in self._mine(project)], None)
        if verb == "down":
            self._down(project, volumes="--volumes" in rest)
        services: dict[str, Any] = {"services": {name: {} for name in SERVICES}}
        return Result(0, json.dumps(services) if verb == "config" else "", "")

    def _down(self, project: str, *, volumes: bool) -> None:
        for one in self._mine(project):
            self.containers.pop(one.id)
        if volumes:
            self.data = {n: c for n, c in self.data.items() if not n.startswith(f"{project}_")}

    def _mine(self, project: str) -> list[Fake]:
        return [one for one in self.containers.values() if one.project == project]

    def _create(
        self, project: str, tag: str, named: list[str], rest: list[str], *, renew: bool
    ) -> None:
        scales = dict(word.split("=") for word in rest if re.fullmatch(r"[\w-]+=\d", word))
        for service in named:
            if renew and service in OWN_SERVICES:
                for one in self.all(service, project):
                    if one.tag != tag:
                        self.containers.pop(one.id)
            while len(self.all(service, project)) < int(scales.get(service, 1)):
                self.add(service, tag, "created", project)
        for volume in ("data", "redis-data"):
            self.data.setdefault(f"{project}_{volume}", b"")

    # The smoke run, and what is seen through the proxy

    def _smoke(self, words: list[str]) -> Result:
        folder = Path(next(w for w in words if w.startswith("--report-dir=")).split("=", 1)[1])
        (folder / "latest").mkdir(parents=True, exist_ok=True)
        self.smoked.append(self.served)
        found = self.holding.pop(0) if self.holding else ""
        findings = [{"check": found, "expected": "x", "seen": "y"}] if found else []
        verdict = {"run_id": f"run-{len(self.smoked)}", "findings": findings, "not_run": []}
        (folder / "latest" / "verdict.json").write_text(json.dumps(verdict))
        return Result(int(bool(found)), "", "")

    async def look(self, where: Any, path: str) -> tuple[dict[str, Any], str]:
        """In place of `verify._look`."""
        del where
        if path.startswith("/prometheus"):
            targets = [{"scrapeUrl": f"http://{API}", "health": "up", "lastScrape": "9" * 12}]
            return {"data": {"activeTargets": targets}}, "200"
        if path == "/healthz":
            return {"status": "ok"}, "200"
        return dict(self.health(self.serving_api)), "200"


def _described(path: Path) -> Result:
    """What the bot's command says of a copy, without the time that a program takes to start."""
    try:
        with closing(sqlite3.connect(path)) as data:
            rows = {"presets": data.execute("SELECT count(*) FROM presets").fetchone()[0]}
            (schema,) = data.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        return Result(UNSOUND, "", f"cannot be read: {error}")
    return Result(0, json.dumps({"schema": schema, "rows": rows}), "")


def _really(words: Sequence[str]) -> Result:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=HERE / "api",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> LyingDocker:
    """Put one in place of Docker in which the release `old` is deployed."""
    made = LyingDocker(folder)
    made.deployed("old")
    install(monkeypatch, made)
    return made


def install(monkeypatch: pytest.MonkeyPatch, docker: LyingDocker) -> None:
    """Let this process ask the fake, and live by its clock."""
    monkeypatch.setattr(commands, "completed", docker.completed)
    monkeypatch.setattr(commands, "variables_of", lambda _: {})
    monkeypatch.setattr(deployment_module, "piped", docker.piped)
    monkeypatch.setattr(verify, "_look", docker.look)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a busy disk takes longer than all the rest
    for module in (wait, deploy, update, verify):
        monkeypatch.setattr(module, "time", docker.clock)


def recorded(deployment: Deployment, *given: tuple[str, int, str | None]) -> None:
    """Write down releases that were deployed: tag, schema, backup before it."""
    for tag, schema, backup in given:
        images = {API: f"sha256:{API}-{tag}"}
        made = Manifest(tag, tag, "abc", images, "", schema, backup, None, "then")
        write_json(deployment.state / "releases" / f"{tag}.json", asdict(made))
    write_json(deployment.state / "order.json", [tag for tag, _, _ in given])


def placed(folder: Path, project: str = "bot") -> Deployment:
    """A deployment whose state is in this folder."""
    settings = folder / "settings.env"
    settings.write_text("API_KEY=0123456789abcdef\n")
    return Deployment(project, (HERE / "compose.yaml",), settings, folder / "state")
