"""Containers as Docker sees them, wherever Docker is at hand."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from gate import Evidence, check, expect
from gate.containers import Container
from gate.model import model
from gate.target import ENTRY, SERVICES

RESTART_WINDOW = timedelta(minutes=10)
WITH_DATA = model().data
each_service = pytest.mark.parametrize("service", SERVICES)
check_service = partial(check, "{service}", needs=("project", "{service}"))


@each_service
@check_service(
    cause="it was stopped, paused or killed, or it exits by itself",
    fix="`docker compose ps -a` and `docker compose logs {service}` in compose/, then start it",
    follows=("smoke.stack.starts[{service}]", "smoke.stack.is_prepared[*]"),
)
def test_is_running(seen: Evidence, service: str) -> None:
    found = seen.container(service)
    expect(
        found.state == "running",
        "state running",
        f"state {found.state}, exit code {found.exit_code}",
        seen.listed,
    )


@each_service
@check_service(
    cause="the service cannot do its work, or its probe's tool is missing from the image (127)",
    fix="run the health check by hand: `docker compose exec {service} …`",
    follows=(
        "smoke.stack.*",
        "smoke.containers.is_running[*]",
        "*smoke.health.*",
        "smoke.containers.health_*",
    ),
)
def test_is_healthy(seen: Evidence, service: str) -> None:
    found = seen.container(service)
    young = found.health == "starting" and _age(found) < timedelta(seconds=30)
    expect(
        found.health == "healthy" or (young and seen.target.live),
        "health healthy",
        f"health {found.health}",
        found.health_output,
    )


@each_service
@check_service(
    cause="a crash loop, or too little memory",
    fix="`docker compose logs --tail 100 {service}`; raise mem_limit if it was out of memory",
    follows=("smoke.stack.starts[{service}]", "smoke.stack.is_prepared[*]"),
)
def test_has_not_crashed_lately(seen: Evidence, service: str) -> None:
    found = seen.container(service)
    limit = f"memory limit {found.memory_limit // 2**20} MiB"
    expect(not found.oom_killed, "no kill for want of memory", "OOMKilled", limit)
    crashed = found.restarts and _age(found) < RESTART_WINDOW
    expect(
        not crashed,
        f"no restart by Docker in the last {RESTART_WINDOW.seconds // 60} minutes",
        f"{found.restarts} restarts, the last at {found.started_at}",
        f"last exit code {found.exit_code}",
    )


def _age(found: Container) -> timedelta:
    started = datetime.fromisoformat(found.started_at[:19] + "+00:00")
    return datetime.now(UTC) - started


@each_service
@check_service(
    cause="compose.yaml or an override has no `restart:` for it",
    fix="set `restart: unless-stopped`: without it a crash or a reboot ends the service",
)
def test_is_restarted_after_a_crash(seen: Evidence, service: str) -> None:
    policy = seen.container(service).restart_policy
    expect(policy in ("unless-stopped", "always"), "unless-stopped or always", policy)


@each_service
@check_service(
    cause="compose.yaml or an override has no `logging:` options for it",
    fix="set max-size and max-file (json-file), else the log fills the disk within weeks",
)
def test_rotates_its_log(seen: Evidence, service: str) -> None:
    found = seen.container(service)
    rotates = found.log_driver == "local" or found.log_options.get("max-size")
    expect(
        rotates or found.log_driver not in ("json-file", "local"),
        "a log with max-size",
        f"driver {found.log_driver}, options {dict(found.log_options) or 'none'}",
    )


@each_service
@check_service(
    cause="compose.yaml or an override has no `mem_limit` for it",
    fix="set mem_limit: one leak must not take the host down with it",
)
def test_has_a_memory_limit(seen: Evidence, service: str) -> None:
    limit = seen.container(service).memory_limit
    expect(limit > 0, "a memory limit", "none")


@each_service
@check_service(
    cause="its image or compose.yaml sets no user, or it is privileged",
    fix="set `user:` to a number other than 0 and drop `privileged`",
)
def test_does_not_run_as_root(seen: Evidence, service: str) -> None:
    found = seen.container(service)
    name = found.user.partition(":")[0]
    expect(name not in ("", "0", "root"), "a user other than root", found.user or "root")
    expect(not found.privileged, "an unprivileged container", "privileged: true")


@each_service
@check_service(
    cause="the health check is missing, switched off, or a command that always succeeds",
    fix="probe the real service in `healthcheck:`, with the tool that its image has",
)
def test_health_check_can_fail(seen: Evidence, service: str) -> None:
    found = seen.container(service)
    drilled = seen.drills.get(service)
    expect(found.health_test not in ([], ["NONE"]), "a health check", found.health_test or "none")
    expect(
        not _cannot_fail(found.health_test),
        "a health check that probes the service",
        " ".join(found.health_test),
    )
    if drilled is not None:
        expect(
            drilled != 0,
            "a health check that fails where no service runs",
            "exit 0 in an empty container of the same image",
            " ".join(found.health_test),
        )


def _cannot_fail(test: list[str]) -> bool:
    words = " ".join(test[1:]).strip().rstrip(";").strip()
    always = ("true", "/bin/true", ":", "exit 0", "sh -c true")
    ends = ("|| true", "|| exit 0", "; true", "; exit 0", "|| :")
    return words in always or words.endswith(ends) or words.startswith("echo ")


@pytest.mark.parametrize("service", list(WITH_DATA))
@check_service(
    cause="the volume is missing from compose.yaml, anonymous, or at another path",
    fix="mount a named volume at the data folder: a recreated container loses anything else",
)
def test_keeps_its_data_in_a_named_volume(seen: Evidence, service: str) -> None:
    found, place = seen.container(service), WITH_DATA[service]
    mounts = [one for one in found.mounts if one["Destination"] == place]
    expect(mounts, f"a volume at {place}", "none", str(found.mounts))
    anonymous = len(mounts[0].get("Name", "")) == 64
    bound = mounts[0]["Type"] == "bind" and Path(mounts[0]["Source"]).is_absolute()
    named = mounts[0]["Type"] == "volume" and not anonymous
    expect(named or bound, "a named volume", f"{mounts[0]['Type']} {mounts[0].get('Name', '')}")


@each_service
@check_service(
    cause="a `ports:` entry without an address binds to every interface, past the firewall",
    fix="bind it to 127.0.0.1 in compose.yaml; only the proxy is for everyone",
)
def test_is_closed_to_the_world(seen: Evidence, service: str) -> None:
    found = seen.container(service)
    if service == ENTRY:
        return expect(dict(found.published()), "a published proxy", "no published port")
    published = found.published()
    wide = [f"{ip}:{port}" for ip, port in published if not ip.startswith("127.") and ip != "::1"]
    return expect(not wide, "published on loopback only", ", ".join(wide))
