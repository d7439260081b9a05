"""The Docker engine: its client, its plugins, and a daemon that answers."""

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from compose.machine import apt
from gate.errors import MachineError, WaitError
from gate.machine import docker
from gate.machine.commands import last_lines, run, run_checked
from gate.machine.console import step
from gate.machine.limits import NO_RIGHT, limit_of
from gate.wait import wait_until

COMPOSE_NEEDED = (2, 24)
OWN_BUILD = re.compile(r"[\w.+~-]+")
SHOWN = 100
"""Characters of what calls itself a version."""
ANSWER_LIMIT = 10
START_LIMIT = 60
POLL_SECONDS = 0.1
PLUGINS = Path("/usr/local/lib/docker/cli-plugins")
PLUGIN_PACKAGES = ("docker-compose", "docker-buildx")
LOG = Path("/var/log/breakout-bot-dockerd.log")
PID_FILES = {
    Path("/var/run/docker.pid"): "dockerd",
    Path("/var/run/docker/containerd/containerd.pid"): "containerd",
}
PROC = Path("/proc")


def version(text: str) -> tuple[int, ...]:
    """Read the numbers of a version: `v2.26.1-4` is (2, 26, 1); empty where it names none."""
    match = re.search(r"\d+(?:\.\d+)+", text)
    numbers = tuple(map(int, match[0].split("."))) if match else ()
    return numbers if any(numbers) else ()  # `0.0.0-dev`


def new_enough(text: str, least: tuple[int, ...]) -> bool:
    """Tell whether a program that calls its version this is as new as that.

    One word without numbers (`dev`, as Arch Linux builds Compose) is a build of somebody's own:
    what it lacks it says itself, and refusing it would help nobody.
    """
    seen = version(text)
    return seen >= least if seen else bool(OWN_BUILD.fullmatch(text))


def server_version() -> str:
    """Ask the daemon for its version; empty when it does not answer."""
    answer = run(["docker", "version", "--format", "{{.Server.Version}}"], ANSWER_LIMIT)
    return answer.out.strip() if answer.ok else ""


def compose_version() -> str:
    """Ask the Compose plugin for its version; empty when there is none."""
    answer = run(["docker", "compose", "version", "--short"], ANSWER_LIMIT)
    return answer.out.strip()[:SHOWN] if answer.ok else ""


def ready() -> bool:
    """Whether an engine answers and Compose is new enough."""
    return bool(server_version()) and new_enough(compose_version(), COMPOSE_NEEDED)


def ensure() -> None:
    """Make sure that an engine answers and that Compose is new enough."""
    if not server_version():
        _refuse_foreign_daemon()
        _refuse_without_permission()
        _ensure_programs()
        with step("starting the Docker daemon"):
            _await_answer(None if running("dockerd") else _start())
    if not new_enough(compose_version(), COMPOSE_NEEDED):
        _install_plugins()


def _refuse_foreign_daemon() -> None:
    chosen = docker.engine()
    if not chosen.is_default:
        raise MachineError(
            f"Expected the Docker daemon at {chosen} to answer, but it does not: {_why_silent()}. "
            "Start it, or choose another by DOCKER_HOST or `docker context use`."
        )


def _refuse_without_permission() -> None:
    if limit_of(_why_silent()) is NO_RIGHT:
        raise MachineError(
            "Expected the Docker daemon to answer this user, but it may not speak to it. Add the "
            "user to the group `docker` and log in again, or repeat as root."
        )


def _why_silent() -> str:
    answer = run(["docker", "version"], ANSWER_LIMIT)
    return answer.err.strip().rpartition("\n")[2].rstrip(".?")


def _ensure_programs() -> None:
    missing = [name for name in ("docker", "dockerd") if not _program(name)]
    if not missing:
        return
    if not apt.may_install():
        raise MachineError(
            f"Expected a Docker engine, but there is no `{missing[0]}` here. Install Docker Engine "
            f"20.10 or newer with the Compose plugin {_needed()} or newer, and start it."
        )
    apt.install(["docker.io"])
    if not _program("docker"):
        apt.install(["docker-cli"])


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _needed() -> str:
    return ".".join(map(str, COMPOSE_NEEDED))


def _install_plugins() -> None:
    if not apt.may_install():
        raise MachineError(
            f"Expected `docker compose` {_needed()} or newer, but saw "
            f"{compose_version() or 'none'}. Install the Docker Compose plugin."
        )
    with step("installing the Docker plugins"), apt.unpacked(PLUGIN_PACKAGES) as root:
        PLUGINS.mkdir(parents=True, exist_ok=True)
        for plugin in root.glob("**/cli-plugins/docker-*"):
            partial = PLUGINS / f".{plugin.name}.new"
            shutil.copy(plugin, partial)
            partial.replace(PLUGINS / plugin.name)
    if not new_enough(compose_version(), COMPOSE_NEEDED):
        raise MachineError(
            f"Expected `docker compose` {_needed()} or newer after its installation in {PLUGINS}, "
            f"but saw {compose_version() or 'none'}. Remove older plugins of yours that hide it."
        )


def _start() -> subprocess.Popen[bytes] | None:
    if os.geteuid() != 0:
        raise MachineError(
            "Expected the Docker daemon to answer, but it does not, and only root can start it. "
            "Start it (`sudo service docker start`)."
        )
    if apt.SYSTEMD.exists():
        run_checked("start the Docker daemon", ["systemctl", "start", "docker"], START_LIMIT)
        return None
    remove_stale_pid_files()
    with LOG.open("wb") as log:
        return subprocess.Popen(
            [_program("dockerd") or "dockerd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )


def running(name: str) -> list[int]:
    """List the processes of that name."""
    return [
        int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit() and _is(entry, name)
    ]


def _is(process: Path, name: str) -> bool:
    try:
        state = (process / "stat").read_text().rsplit(")", 1)[-1].split()[0]
        return (process / "comm").read_text().strip() == name and state != "Z"
    except OSError:
        return False


def remove_stale_pid_files() -> None:
    """Remove what a killed daemon left: the pid in it may belong to something else by now."""
    for path, name in PID_FILES.items():
        text = path.read_text().strip() if path.is_file() else ""
        if not (text.isdigit() and int(text) in running(name)):
            path.unlink(missing_ok=True)


def _await_answer(daemon: subprocess.Popen[bytes] | None) -> None:
    def over() -> bool:
        return bool(server_version() or (daemon and daemon.poll() is not None))

    with suppress(WaitError):
        wait_until(over, START_LIMIT, "it", every=POLL_SECONDS)
    if server_version():
        return
    log = f" {LOG} ends with:\n{last_lines(LOG.read_text())}" if daemon else ""
    raise MachineError(
        f"Expected the Docker daemon to answer within {START_LIMIT} s, but saw: {_why_silent()}."
        f"{log or ' Look at its log and restart it.'}"
    )
