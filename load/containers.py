"""Locust beside a disposable stack: a master and workers in containers on the stack's network."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gate.errors import MachineError
from gate.machine.commands import image_exists, run
from gate.machine.limits import advised
from gate.machine.modes import make_readable
from gate.stack import BUILD_LIMIT, ComposeError, GateCompose, Stack
from gate.sweep import companions
from gate.target import Credentials

HERE = Path(__file__).parent
ENGINE = HERE.parent / "gate"
FILE = HERE / "companions.yaml"
IMAGE_OF = ("Dockerfile", "requirements.txt")
MASTER, WORKER = "load-master", "load-worker"


def locust(
    words: Sequence[str],
    job: Path,
    credentials: Credentials,
    workers: int,
    stack: Stack,
    limit: float,
    log: Path,
) -> int | None:
    """Run a job; Locust's exit code, None when it had to be ended after `limit` s.

    Raises `MachineError` when the containers cannot be made or started.
    """
    values = {
        "LOAD_TAG": tag(),
        "LOAD_USER": f"{os.getuid()}:{os.getgid()}",
        "LOAD_WORKERS": str(workers),
        "LOAD_WORDS": " ".join(words),
        "LOAD_FOLDER": str(job.resolve()),
        "LOAD_API_KEY": credentials.api_key or "",
        "GATE_RUN_ID": stack.run_id,
        "GATE_STARTED": stack.started,
        "GATE_NETWORK": f"{stack.project}_front",
    }
    compose = GateCompose(
        context=HERE,
        compose_file_name=[str(FILE)],
        wait=False,
        project=companions(stack.run_id),
        environment=values,
    )
    with _started(compose, workers, log):
        name = f"{compose.project}-{MASTER}-1"
        ended = run(["docker", "wait", name], limit)
    return int(ended.out) if ended.ok else None


def tag() -> str:
    """Name exactly what the image is built from."""
    digest = hashlib.sha256()
    for name in IMAGE_OF:
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def _started(compose: GateCompose, workers: int, log: Path) -> Iterator[None]:
    quiet = ["--detach", "--no-build", "--pull", "never"]
    make_readable(HERE, ENGINE)  # root without capabilities, too, is one of many there
    try:
        if not image_exists(f"breakout-bot/load:{tag()}"):
            compose.run("build", MASTER, limit=BUILD_LIMIT)
        compose.run("up", *quiet, "--scale", f"{WORKER}={workers}", MASTER, WORKER)
        yield
    except ComposeError as error:
        raise MachineError(
            f"expected {workers} workers in containers, but compose said: {advised(str(error))}"
        ) from None
    finally:
        with suppress(ComposeError):
            log.write_text(compose.run("logs", "--no-color", MASTER, WORKER), encoding="utf-8")
        with suppress(ComposeError):
            # Not `down`: other companions of the stack have the same project.
            compose.run("rm", "--stop", "--force", MASTER, WORKER)
