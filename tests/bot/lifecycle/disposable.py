"""A disposable deployment: a compose project, settings, ports and state folder of its own."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compose.lifecycle import proxy, recovery, update, verify
from compose.lifecycle.deploy import running
from compose.lifecycle.deployment import API, COLOURED, PROXY, Deployment, health
from compose.lifecycle.journal import new_id
from compose.lifecycle.state import DeployState, UpdateOptions
from compose.release import HERE, Release
from gate.machine.ports import free_ports
from gate.sweep import PROJECT_PREFIX, RunLock, new_run_id

NAME = "bot.example.test"
NEEDS = ("stack", "proxy", API)
"""What the checks of the lifecycle need."""
DEPLOYED = "bot.lifecycle.deploy.runs_what_should_run"
"""Without this one none of the others has a deployment to work on."""


@contextmanager
def disposable(name: str = NAME) -> Iterator[Deployment]:
    """A deployment under `name`, which goes away as a whole, also after kill -9: it has the labels
    of a run. Raises `MachineError` for what is still there in the end."""
    lock = RunLock(new_run_id())
    folder = lock.folder
    (folder / "state").mkdir()
    made = Deployment(
        project=f"{PROJECT_PREFIX}{folder.name}",
        files=(HERE / "compose.yaml", HERE / "gate.yaml", _ports(folder)),
        env_file=_settings(folder, name),
        state=folder / "state",
    )
    try:
        yield made
    finally:
        lock.end(lambda: made.compose("down", "-v", "--timeout", "5", release=running(made)))


def deployed(deployment: Deployment, release: Release) -> None:
    """Deploy a release, as `compose/deploy.sh` does."""
    recovery.execute(deployment, DeployState(id=new_id(), release=release, had_data=False))


def updated(deployment: Deployment, wanted: Release, options: UpdateOptions) -> None:
    """Update to a release, as `compose/update.sh` does. Raises `Rejected`."""
    recovery.execute(deployment, update.read_state(deployment, wanted, options))


def brought_to(deployment: Deployment, wanted: Release, options: UpdateOptions) -> None:
    """Update to a release where it does not run yet: a check depends on none before it."""
    if running(deployment).tag != wanted.tag:
        updated(deployment, wanted, options)


def revision(deployment: Deployment) -> str:
    """The revision that answers through the proxy."""
    where = verify.target(deployment, proxy.live(deployment))
    return str(verify.look(where, "/api/health").get("revision"))


def leftovers(deployment: Deployment) -> str | None:
    """What is wrong with the containers: of each coloured service there is one, and it is well."""
    left = [one for service in COLOURED for one in deployment.containers(service)]
    if len(left) != len(COLOURED):
        return f"containers {[one.image for one in left]}"
    return None if health(deployment.container(API).id) else "an API that is not well"


def words(deployment: Deployment) -> list[str]:
    """The options of the command line that mean this deployment."""
    files = [word for file in deployment.files for word in ("--file", str(file))]
    place = ["--env-file", str(deployment.env_file), "--state", str(deployment.state)]
    return ["--project", deployment.project, *files, *place]


def _settings(folder: Path, name: str) -> Path:
    path = folder / "settings.env"
    names = ("API_KEY", "REDIS_PASSWORD", "GRAFANA_PASSWORD")
    values = {name: secrets.token_hex(24) for name in names}
    values |= {"COMPOSE_PROFILES": "", "TLS_SOURCE": "tls", "GATE_RUN_ID": folder.name}
    # A name as deployments have it outside, which leads nowhere: all connections go to loopback.
    values |= {"SERVER_NAME": name, "PREFLIGHT_ALLOW": "names"}
    values["GATE_STARTED"] = str(int(time.time()))
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    return path


def _ports(folder: Path) -> Path:
    """Ports of the proxy that stay the same when its container is made anew."""
    path = folder / "ports.yaml"
    tls, plain = free_ports(2)
    listed = f'["127.0.0.1:{tls}:8443", "127.0.0.1:{plain}:8080"]'
    path.write_text(f"services: {{{PROXY}: {{ports: !override {listed}}}}}\n")
    return path
