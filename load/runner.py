"""Runs a profile: Locust in a process of its own, then everything that it left as one run."""

import asyncio
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gate.errors import MachineError
from gate.machine.console import say
from gate.machine.interrupts import deferred
from gate.machine.limits import advised
from gate.machine.ports import free_port
from gate.model import model
from gate.target import ENTRY, Credentials, Target
from gate.urls import leading_to
from gate.wire import Wire, WireError
from load import arrivals, measures, parts, resources, samples, slo, validity
from load.parts import Part
from load.profile import Profile
from load.samples import Run

if TYPE_CHECKING:
    from gate.stack import Stack

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
ROOT = LOCUSTFILE.parent.parent
DRAIN_SECONDS = 4
"""After the last arrival, for its answer."""
STOP_SECONDS = 5
START_LIMIT = 30.0
AWAIT_SECONDS = 300
"""For workers of other hosts."""
NEAR = f"{ENTRY}:{model().services[ENTRY].port}"
"""Where a stack is reached from its own network."""
JOB_FILE = "job.json"
TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""What says whom a process of ours trusts, when it is set."""
USERS_PER_SECOND = 10_000


def run(
    profile: Profile,
    target: Target,
    credentials: Credentials,
    folder: Path,
    workers: int = 1,
    baseline: Target | None = None,
    *,
    early_end: bool = True,
    stack: "Stack | None" = None,
    listen: int | None = None,
) -> Run:
    """Run a profile against a target and write run.json, samples.npz and histograms to `folder`.

    With a baseline its reads go to both in turns, from one process. It may end early, once a level
    is beyond saving. Workers are processes here; containers beside a stack; or those of other
    hosts, waited for on the port `listen`. Raises `MachineError` when Locust does not run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = profile.reading() if target.live else profile
    chosen, workers = (profile.comparing(), 1) if baseline else (chosen, workers)
    began, started = time.time(), datetime.now(UTC)
    url = target.url
    seen = target.located(target.urls, connect=leading_to(url, NEAR)) if stack else target
    job = _job(profile, [seen, *([baseline] if baseline else [])], folder, workers, early_end)
    ended = _locust(chosen, credentials, job, workers, stack, listen)
    found = parts.take(job)
    shutil.rmtree(job)
    summary = {
        **_of_generators(chosen, found, workers),
        "ended": ended,
        "profile": profile.name,
        "target": target.name,
        "started": started.isoformat(timespec="seconds"),
        "operations": chosen.names,
        "too_short_for": measures.too_short_for(chosen, slo.load()),
        "machine": machine(),
        **asyncio.run(_of_target(target, credentials, began)),
        **({"baseline": asyncio.run(_who(baseline))} if baseline else {}),
    }
    reasons = validity.reasons(summary)
    summary["validity"] = {"valid": not reasons, "reasons": reasons}
    whole = Run(summary, samples.merged(part.samples for part in found))
    samples.write(folder, whole)
    return whole


def machine() -> dict[str, Any]:
    """What the generator ran on."""
    return {"host": platform.node(), "cores": os.cpu_count(), "system": platform.platform()}


def _job(
    profile: Profile, sides: Sequence[Target], folder: Path, workers: int, early_end: bool
) -> Path:
    """A folder with everything that a worker needs: it can be mounted, or copied to other hosts."""
    job = folder / "job"
    shutil.rmtree(job, ignore_errors=True)
    job.mkdir()
    shutil.copyfile(profile.path, job / profile.path.name)
    addresses = [_address(side, job, number) for number, side in enumerate(sides)]
    told = {
        "profile": profile.path.name,
        "live": sides[0].live,
        **addresses[0],
        "baseline": addresses[1] if len(addresses) > 1 else None,
        "workers": workers,
        "early_end": early_end,
    }
    (job / JOB_FILE).write_text(json.dumps(told), encoding="utf-8")
    return job


def _address(side: Target, job: Path, number: int) -> dict[str, Any]:
    """Where a side is, with a copy of its authorities beside the job."""
    name = f"ca-{number}.crt" if side.ca_file else None
    if side.ca_file and name:
        shutil.copyfile(side.ca_file, job / name)
    url = side.url.rstrip("/")
    return {"url": url, "connect": side.address_of(url), "ca_file": name}


def _locust(
    profile: Profile,
    credentials: Credentials,
    job: Path,
    workers: int,
    stack: "Stack | None",
    listen: int | None,
) -> bool:
    """Run Locust on a job; whether it came to its end by itself."""
    seconds = int(profile.seconds) + DRAIN_SECONDS
    users = profile.in_flight + profile.websockets
    words = ["--headless", "--users", str(users), "--spawn-rate", str(USERS_PER_SECOND)]
    words += ["--run-time", f"{seconds}s", "--stop-timeout", str(STOP_SECONDS), "--skip-log"]
    limit = seconds + STOP_SECONDS + START_LIMIT
    log = job.parent / "locust.log"
    if stack:
        from load import containers  # brings Testcontainers with it

        code = containers.locust(words, job, credentials, workers, stack, limit, log)
    elif listen:
        limit += AWAIT_SECONDS
        code = _process([*words, *_awaiting(workers, listen, job)], job, credentials, limit, log)
    else:
        if workers > 1:
            port = str(free_port())
            words += ["--processes", str(workers), "--master-bind-host", "127.0.0.1"]
            words += ["--master-bind-port", port, "--master-port", port]
        code = _process(words, job, credentials, limit, log)
    reported = any(job.glob("part-*.json"))
    if code not in (0, 1, None) or (code == 1 and not reported):  # else 1: some requests failed
        last = log.read_text(encoding="utf-8").strip()[-600:]
        raise MachineError(f"expected Locust to run, but it ended with {code}: {advised(last)}")
    return code is not None


def _awaiting(workers: int, port: int, job: Path) -> list[str]:
    """A master for workers of other hosts, and how to start them."""
    say(
        f"waiting {AWAIT_SECONDS:g} s for {workers} workers; on each host, with copies of this tree"
        f" and of {job}:\n    LOAD_JOB=…/job/{JOB_FILE} LOAD_API_KEY=…"
        " .venv/bin/locust -f load/locustfile.py --worker"
        f" --master-host {platform.node()} --master-port {port}"
    )
    expected = ["--expect-workers", str(workers), "--expect-workers-max-wait", str(AWAIT_SECONDS)]
    return ["--master", "--master-bind-port", str(port), *expected]


def _process(
    words: Sequence[str], job: Path, credentials: Credentials, limit: float, log: Path
) -> int | None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "LOAD_JOB": str(job.resolve() / JOB_FILE),
        "LOAD_API_KEY": credentials.api_key or "",
        **{name: str(Path(os.environ[name]).absolute()) for name in TRUST if os.environ.get(name)},
    }
    command = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), *words]
    with log.open("w", encoding="utf-8") as file:
        return _ended(command, job, environment, file, limit)


def _ended(
    command: list[str], folder: Path, environment: dict[str, str], log: IO[str], limit: float
) -> int | None:
    """Locust's exit code; None when it had to be ended, as when it waits for a lost worker."""
    process: subprocess.Popen[bytes] | None = None
    try:
        with deferred():  # else an interruption could lose it between its start and its name
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _of_generators(profile: Profile, found: list[Part], workers: int) -> dict[str, Any]:
    planned = len(arrivals.schedule(profile))
    every = samples.merged(part.samples for part in found)
    abouts = [part.about for part in found]
    dropped = sum(one["dropped"] for one in abouts)
    return {
        "seed": profile.seed,
        "seconds": profile.seconds,
        "offered": round(planned / profile.seconds, 2),
        "achieved": round(len(every) / profile.seconds, 2),
        "peak": max(max(one.rate, one.to) for one in profile.phases),
        "in_flight": profile.in_flight,
        "dropped": dropped,
        "resent": sum(one["resent"] for one in abouts),
        "lag_p99_ms": round(max((one["lag_p99_ms"] for one in abouts), default=0.0), 2),
        "generator_cpu": round(max((one["cpu"] for one in abouts), default=0.0), 3),
        "workers_expected": workers,
        "workers_present": len(found),
        "aborted": next((one["aborted"] for one in abouts if one["aborted"]), None),
        "tick_lag_ms": [value for one in abouts for value in one["tick_lag_ms"]],
        "websocket": {
            name: sum(one["websocket"][name] for one in abouts) for name in ("messages", "failures")
        },
    }


async def _of_target(target: Target, credentials: Credentials, began: float) -> Mapping[str, Any]:
    """Who answered, and how its resources grew."""
    async with Wire(target, credentials, lambda _: None) as wire:
        growth = await resources.growth(wire, began, time.time())
    return {**await _who(target), "growth": growth}


async def _who(target: Target) -> dict[str, str | None]:
    async with Wire(target, Credentials(), lambda _: None) as wire:
        try:
            seen = (await wire.http("/api/health")).json()
            return {"version": seen["version"], "revision": seen["revision"]}
        except (WireError, ValueError, KeyError):
            return {"version": None, "revision": None}
