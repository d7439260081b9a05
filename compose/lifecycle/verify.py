"""Verification from outside: the smoke stage, and short looks through the proxy."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compose.lifecycle import proxy
from compose.lifecycle.deployment import PROXY, Deployment, docker, inspected, remove
from compose.lifecycle.errors import Rejected, report_and_continue
from compose.lifecycle.releases import image
from compose.release import HERE, Release
from gate.containers import Container
from gate.errors import MachineError
from gate.machine import docker as engines
from gate.machine.commands import run
from gate.model import model
from gate.sweep import RUN_LABEL, STARTED_LABEL
from gate.target import SERVICES, Credentials, Target, Trust
from gate.urls import leading_to, plain_url
from gate.wire import Wire, WireError

SMOKE_LIMIT = 120.0
PROMOTE, HOLD = 0, 1
TLS_PORT, PLAIN_PORT = 8443, 8080
SCRATCH = "/tmp"  # noqa: S108 (the container's)
GATE_LABELS = (RUN_LABEL, STARTED_LABEL)


def ca_file(deployment: Deployment) -> Path | None:
    """Copy out the authority that the deployment made for itself; None with a public one."""
    done = run(["docker", "exec", proxy.live(deployment).id, "cat", "/tls/ca.crt"], 10.0)
    if not done.ok:
        return None
    path = deployment.state / "ca.crt"
    path.write_text(done.out, encoding="utf-8")
    return path


def target(deployment: Deployment, container: Container, trust: Trust = "verify") -> Target:
    """Give the deployment under its public name, connected to a proxy container of this host.

    Raises `Rejected` for a proxy that this host cannot reach.
    """
    url, address = deployment.url, container.host_address(TLS_PORT)
    if address is None:
        raise Rejected(
            f"expected the proxy to publish port {TLS_PORT} on this host, got no such port:"
            " whether a release may serve is looked at through it"
        )
    return Target(
        name=deployment.project,
        kind="live",
        urls={PROXY: url},
        connect=leading_to(url, address, container.host_address(PLAIN_PORT)),
        ca_file=ca_file(deployment),
        trust=trust,
        plain_http=plain_url(url),
    )


def look(where: Target, path: str) -> dict[str, Any]:
    """Read the JSON that a GET through the proxy answers; empty without a good answer."""
    return asyncio.run(_look(where, path))[0]


def scraped(where: Target, service: str = "", since: str = "") -> bool:
    """Tell whether Prometheus's last look at each target (of a service, if named) found it up.

    It has to have begun after `since` (ISO 8601, UTC).
    """
    answer = look(where, "/prometheus/api/v1/targets?state=active").get("data", {})
    targets = [
        scrape for scrape in answer.get("activeTargets", ()) if service in scrape["scrapeUrl"]
    ]
    return bool(targets) and all(
        scrape["health"] == "up" and scrape["lastScrape"] > since for scrape in targets
    )


async def _look(where: Target, path: str) -> tuple[dict[str, Any], str]:
    """Read the JSON of a good answer, and what was seen."""
    async with Wire(where, Credentials(), lambda _: None) as wire:
        try:
            answer = await wire.http(path)
            return (dict(answer.json()) if answer.status == 200 else {}), answer.brief
        except (WireError, ValueError) as error:
            return {}, str(error)


@contextmanager
def entry(
    deployment: Deployment, release: Release, folder: str, trust: Trust = "verify"
) -> Iterator[Target]:
    """Run a proxy of the new release on free ports of loopback, before it gets any traffic."""
    name = entry_name(deployment)
    remove([name])
    front = proxy.live(deployment)
    labels = [
        f"--label={label}={front.labels[label]}" for label in GATE_LABELS if label in front.labels
    ]
    flags = ["--detach", "--name", name, "--read-only", f"--tmpfs={SCRATCH}", "--memory", "96m"]
    ports = ["-p", f"127.0.0.1::{TLS_PORT}", "-p", f"127.0.0.1::{PLAIN_PORT}"]
    place = ["--network", deployment.volume("front"), "--volumes-from", f"{front.id}:ro"]
    serve = ["nginx", "-e", "stderr", "-c", f"/live/{folder}/nginx.conf", "-g", "daemon off;"]
    try:
        docker("run", *flags, *labels, *ports, *place, image(PROXY, release), *serve)
        yield _entry_target(deployment, name, trust)
    finally:
        with report_and_continue(f"{name} was not removed"):
            remove([name])


def entry_name(deployment: Deployment) -> str:
    """Give the name of the proxy that only the verification asks."""
    return f"{deployment.project}-entry"


def _entry_target(deployment: Deployment, name: str, trust: Trust) -> Target:
    deadline = time.monotonic() + 10.0
    while True:
        (container,) = inspected([name])
        if container.state == "exited":
            log = run(["docker", "logs", "--tail", "3", name], 10.0).text
            raise Rejected(f"the new proxy configuration does not start: {log[-300:]}")
        where = target(deployment, container, trust)
        good, seen = asyncio.run(_look(where, "/healthz"))
        if good:
            return where
        if time.monotonic() > deadline:
            raise Rejected(f"the new proxy gives no good answer within 10 s: {seen}")


def smoke(deployment: Deployment, where: Target, release: Release) -> str:
    """Run the smoke stage on a target; its run id. Raises `Rejected` for HOLD."""
    folder = deployment.state / "reports"
    file = deployment.state / "target.toml"
    file.write_text(_as_toml(deployment, where), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-m", "smoke", f"--target={file}"]
    command += [f"--report-dir={folder}", *_expected(release)]
    if where.trust == "any":
        command += ["--waive=smoke.tls.certificate_*=a rollback is not refused for a certificate"]
    secrets = deployment.credentials
    environment = {
        "GATE_API_KEY": secrets.api_key or "",
        "GATE_REDIS_PASSWORD": secrets.redis_password or "",
    }
    # Nothing of ours but that: a CA, a waiver or an option of pytest would be for another target.
    done = run(command, SMOKE_LIMIT, cwd=HERE.parent, env=environment, base=engines.environment())
    if done.code not in (PROMOTE, HOLD):
        raise MachineError(f"the smoke stage came to no verdict: {done.text[-400:]}")
    verdict = json.loads((folder / "latest" / "verdict.json").read_text(encoding="utf-8"))
    if done.code == HOLD:
        raise Rejected(f"the smoke stage says HOLD: {_first(verdict)}")
    return str(verdict["run_id"])


def _expected(release: Release) -> list[str]:
    options = [f"--expect-version={release.version}"]
    known = not release.revision.startswith("unknown")
    return [*options, f"--expect-revision={release.revision}"] if known else options


def _first(verdict: dict[str, Any]) -> str:
    for finding in verdict["findings"]:
        return f"{finding['check']}: expected {finding['expected']}, seen {finding['seen']}"
    return f"required checks did not run: {verdict['not_run'][:1]}"


def _as_toml(deployment: Deployment, where: Target) -> str:
    lines = [
        f'name = "{deployment.project}"',
        'kind = "live"',
        f'mode = "{deployment.values.get("MODE") or "paper"}"',
        f'plain_http = "{where.plain_http}"',
    ]
    if where.ca_file:
        lines.append(f'ca_file = "{where.ca_file.resolve()}"')
    lines.append(f'trust = "{where.trust}"')
    lines.append("[connect]")
    lines += [f'"{name}" = "{place}"' for name, place in where.connect.items()]
    lines.append("[services]")
    for service in SERVICES:
        profile = model().services[service].profile
        without = "internal" if profile is None or profile in deployment.profiles else "absent"
        lines.append(f'{service} = "{where.urls.get(service) or without}"')
    return "\n".join(lines) + "\n"
