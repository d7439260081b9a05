"""Whose a deployment is: the folder, user and engine that made it. Every other is refused.

The engine keeps the record, as labels of an empty volume: it survives `docker compose down` and,
unlike labels of a volume with data, can be made anew. Where somebody pruned it, what the state
folder keeps of it tells, else compose's label on the containers. The state folder also keeps which
engine it was.
"""

import json
import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path

from compose.lifecycle.deployment import DOCKER_LIMIT, Deployment, docker
from compose.lifecycle.errors import Rejected
from compose.lifecycle.journal import now, write_json
from compose.release import HERE
from gate.containers import OF_COMPOSE, PROJECT_LABEL
from gate.errors import MachineError
from gate.machine import docker as engines
from gate.machine.commands import run
from gate.sweep import RUN_LABEL, STARTED_LABEL

RECORD = "owner"
PREFIX = "org.breakout-bot.owner."
VOLUME_LABEL = "com.docker.compose.volume"
FOLDER_LABEL = "com.docker.compose.project.working_dir"
ENGINE_FILE, OWNER_FILE = "engine.json", "owner.json"
TRACES = ("order.json", "journal.json", "history.jsonl")
"""Files of a state folder that only a command which carried something out writes."""
ANSWER_LIMIT = 30.0
ADOPT = "`compose/adopt.sh`"


@dataclass(frozen=True)
class Owner:
    """Who may manage a deployment."""

    folder: str
    """The checkout."""
    state: str
    """Its journals, manifests and backups; empty where only containers tell."""
    host: str
    user: str
    since: str

    def is_same(self, other: "Owner", local: bool) -> bool:
        """Tell whether both are one folder. On an engine that is elsewhere the host counts too."""
        return (
            bool(self.folder)
            and _same_path(self.folder, other.folder)
            and (not self.state or _same_path(self.state, other.state))
            and (local or not self.host or self.host == other.host)
        )

    def __str__(self) -> str:
        by = f" by {self.user} on {self.host}, {self.since}" if self.user else ""
        return f"{self.folder}{by}"


@dataclass(frozen=True)
class Answering:
    """An engine that answered."""

    id: str
    name: str
    root: str
    version: str

    def is_same(self, other: "Answering") -> bool:
        """Tell whether both are one engine. Podman tells another id each time."""
        return self.id == other.id or (self.name, self.root) == (other.name, other.root)


def _same_path(path: str, other: str) -> bool:
    return Path(path).resolve() == Path(other).resolve()


# The engine


def answering() -> Answering:
    """Ask the chosen engine who it is. Raises `MachineError` naming it and what chose it."""
    return _ask(engines.engine())


@lru_cache(maxsize=8)
def _ask(chosen: engines.Engine) -> Answering:
    if not chosen.is_local:
        raise MachineError(
            "Expected a Docker engine on this machine, for a deployment mounts files of this folder"
            f" and is verified over loopback, got {chosen}: give the command on that machine, or"
            " choose another engine by DOCKER_HOST or `docker context use`."
        )
    form = '{"id":{{json .ID}},"name":{{json .Name}},"root":{{json .DockerRootDir}}'
    form += ',"version":{{json .ServerVersion}}}'
    done = run(["docker", "info", "--format", form], ANSWER_LIMIT)
    with suppress(ValueError, TypeError):
        seen = Answering(**json.loads(done.out))
        if done.ok and seen.version:
            return seen
    raise MachineError(
        f"Expected the Docker engine at {chosen} to answer, but: {_reason(done.err or done.text)}"
        " Nothing was changed; start it, or choose another by DOCKER_HOST or `docker context use`."
    )


def _reason(text: str) -> str:
    """Give the last line that is no advice of Docker's client, as a sentence."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reasons = [line for line in lines if "errors pretty printing" not in line]
    last = reasons[-1] if reasons else "no answer"
    return last if last.endswith((".", "?")) else f"{last}."


def _require_same_engine(deployment: Deployment) -> None:
    known, seen = _engine_before(deployment), answering()
    if known and not known.is_same(seen):
        raise Rejected(
            f"expected the Docker engine that it was deployed on, {known.name} with its data in"
            f" {known.root}, got {seen.name} with {seen.root} at {engines.engine()};"
            f" choose that one by DOCKER_HOST or `docker context use`, or {ADOPT} takes this one"
        )


def engine_changed(deployment: Deployment) -> bool:
    """Tell whether it was deployed on another engine before."""
    known = _engine_before(deployment)
    return known is not None and not known.is_same(answering())


def _engine_before(deployment: Deployment) -> Answering | None:
    with suppress(OSError, ValueError, TypeError):
        return Answering(**json.loads((deployment.state / ENGINE_FILE).read_text("utf-8")))
    return None


# The owner


def this_folder(deployment: Deployment) -> Owner:
    """Give the owner that a command of this folder acts for."""
    folder, state = HERE.parent.resolve(), deployment.state.resolve()
    return Owner(str(folder), str(state), socket.gethostname(), _user(), now())


def _user() -> str:
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # in a container
        name = f"user {os.geteuid()}"
    behind = os.environ.get("SUDO_USER")
    return f"{behind} (as {name})" if behind and behind != name else name


def find(deployment: Deployment) -> Owner | None:
    """Look up whose a deployment is; None where nothing of it is there.

    Raises `Rejected` for data of which nothing tells whose they are.
    """
    volumes = _volumes(deployment)
    if deployment.volume(RECORD) in volumes:
        return _recorded(deployment)
    folder = _of_containers(deployment)
    if (folder is not None or volumes) and (kept := _kept(deployment.state)):
        return kept
    if folder is not None:
        return Owner(str(folder.parent), "", "", "", "")
    if volumes and not any((deployment.state / name).is_file() for name in TRACES):
        raise Rejected(
            f"expected to know whose data are in {', '.join(sorted(volumes))}, but no container, no"
            f" record and nothing in {deployment.state} tells: give the command in the folder that"
            f" it was deployed from, or {ADOPT} takes them over"
        )
    return None


def _kept(state: Path) -> Owner | None:
    with suppress(OSError, ValueError, TypeError):
        return Owner(**json.loads((state / OWNER_FILE).read_text("utf-8")))
    return None


def is_there(deployment: Deployment) -> bool:
    """Tell whether the engine has anything of it but the record."""
    rest = _volumes(deployment) - {deployment.volume(RECORD)}
    return bool(rest) or _of_containers(deployment) is not None


def _volumes(deployment: Deployment) -> set[str]:
    label = f"label={PROJECT_LABEL}={deployment.project}"
    return set(docker("volume", "ls", "--quiet", "--filter", label).split())


def _recorded(deployment: Deployment) -> Owner:
    form = "{{json .Labels}}"
    text = docker("volume", "inspect", "--format", form, deployment.volume(RECORD))
    labels = json.loads(text) or {}
    return Owner(*(str(labels.get(PREFIX + field.name, "")) for field in fields(Owner)))


def _of_containers(deployment: Deployment) -> Path | None:
    """Find the compose folder that its oldest container was made from: updates make newer ones."""
    wanted = [f"label={PROJECT_LABEL}={deployment.project}", f"label={OF_COMPOSE}"]
    options = [word for condition in wanted for word in ("--filter", condition)]
    form = f'{{{{.Label "{FOLDER_LABEL}"}}}}'
    folders = docker("ps", "--all", *options, "--format", form).splitlines()
    return Path(folders[-1]) if folders and folders[-1] else None


def require(deployment: Deployment) -> None:
    """Let nobody but the owner go on, on the engine that it was. Raises `Rejected`."""
    _require_same_engine(deployment)
    known, mine = find(deployment), this_folder(deployment)
    if known is None or known.is_same(mine, engines.engine().socket is not None):
        return
    if _same_path(known.folder, mine.folder) and not _same_path(known.state, mine.state):
        raise Rejected(
            f"expected the state folder that it was deployed with, {known.state}, got"
            f" {mine.state}: give `--state {known.state}`, or {ADOPT} with this one takes it over"
        )
    gone = "" if Path(known.folder).exists() else ", which is gone from here"
    raise Rejected(
        f"expected the folder that it was deployed from, {known}{gone}; got {mine.folder}. Give the"
        f" command there; {ADOPT} here takes it over on purpose, also after a move or rename"
    )


def claim(deployment: Deployment) -> None:
    """Write down that it belongs to this folder, where nothing says so yet. Raises `Rejected`."""
    mine, name = this_folder(deployment), deployment.volume(RECORD)
    labels = {PREFIX + key: value for key, value in asdict(mine).items()}
    labels |= {PROJECT_LABEL: deployment.project, VOLUME_LABEL: RECORD}  # what is swept has these
    run_id, started = (deployment.values.get(name) for name in ("GATE_RUN_ID", "GATE_STARTED"))
    if run_id and started:
        labels |= {RUN_LABEL: run_id, STARTED_LABEL: started}
    options = [f"--label={key}={value}" for key, value in labels.items()]
    docker("volume", "create", *options, name)  # leaves one that is there as it is
    known = _recorded(deployment)
    if not known.is_same(mine, engines.engine().socket is not None):  # made at the same moment
        raise Rejected(f"it is being deployed from {known}: give the command there")
    if known != _kept(deployment.state):
        write_json(deployment.state / OWNER_FILE, asdict(known))
    seen = answering()
    if _engine_before(deployment) != seen:
        write_json(deployment.state / ENGINE_FILE, asdict(seen))


def hand_over(state: Path, to: Owner) -> None:
    """Let a former owner's state folder say who took over, as far as it can be written to."""
    with suppress(OSError):
        write_json(state / OWNER_FILE, asdict(to))


def forget(deployment: Deployment) -> None:
    """Remove the record; that there is none is no trouble."""
    run(["docker", "volume", "rm", "--force", deployment.volume(RECORD)], DOCKER_LIMIT)


def lines(deployment: Deployment) -> Iterator[str]:
    """Say which engine it is on and whose it is."""
    seen = answering()
    yield f"  engine: {seen.name}, Docker {seen.version}, at {engines.engine()}"
    known = find(deployment)
    yield f"  owner: {known or 'nobody yet'}"
