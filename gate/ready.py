"""Readiness: whether the services of a stack answer, and what is wrong with those that do not."""

import asyncio
from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass

from gate.containers import Container, containers, last_lines
from gate.errors import MachineError
from gate.model import model
from gate.target import Credentials, Target
from gate.wait import Deadline, waiting_for
from gate.wire import Wire, WireError
from reports.words import listed

OTHERS_LIMIT = 5.0
POLL_SECONDS = 0.1
WHOLE_STACK = "stack"
"""Name of the problem that compose itself has."""


@dataclass(frozen=True)
class Problem:
    """One service that did not come up, with what it said last."""

    service: str
    seen: str
    last_words: str = ""


async def wait_ready(target: Target, credentials: Credentials, limit: float) -> list[Problem]:
    """Wait until every service of `target` answers a real request, at most `limit` seconds.

    For a service that exited, restarts or is unhealthy nobody waits; the others get a moment
    more, so that what is merely slower than it does not look broken too.
    """
    deadline = Deadline(limit)
    broken: list[Problem] = []
    async with Wire(target, credentials, lambda _: None, limit=2.0) as wire:
        waiting = dict.fromkeys(target.urls, "not asked yet")
        with waiting_for("the services") as wait:
            while waiting and not deadline.passed:
                if not broken and (broken := await find_broken(wire)):
                    deadline.shorten(OTHERS_LIMIT)
                left = waiting.keys() - {problem.service for problem in broken}
                waiting = await _unanswered(wire, left)
                wait.what = listed(sorted(waiting))
                if waiting:
                    await asyncio.sleep(POLL_SECONDS)
        return broken or [await _late(wire, service, seen) for service, seen in waiting.items()]


async def find_broken(wire: Wire) -> list[Problem]:
    """Give the services that exited, restart or are unhealthy now."""
    found = await containers(wire)
    bad = [(one, _what_is_wrong(one)) for one in found.values()]
    return [Problem(one.service, wrong, await last_lines(wire, one)) for one, wrong in bad if wrong]


def _what_is_wrong(one: Container) -> str | None:
    if one.one_shot:
        failed = one.state == "exited" and one.exit_code
        return f"its one job failed with exit code {one.exit_code}" if failed else None
    if one.state == "restarting" or (one.restarts and one.health != "healthy"):
        return f"restarted {one.restarts} times, last exit code {one.exit_code}"
    if one.state in ("exited", "dead"):
        return f"exited with code {one.exit_code}"
    if one.health == "unhealthy":
        return f"unhealthy: {one.health_output}"
    return None


async def _unanswered(wire: Wire, waiting: Set[str]) -> dict[str, str]:
    answers = await asyncio.gather(*(_ask(wire, service) for service in waiting))
    return {service: seen for service, seen in zip(waiting, answers, strict=True) if seen}


async def _ask(wire: Wire, service: str) -> str | None:
    """None once the service answers, else what was seen instead."""
    try:
        row = model().services[service]
        if row.scheme == "redis":
            answer = await wire.redis(("PING",), password=wire.credentials.redis_password)
            return None if answer == ["PONG"] else f"PING answered {answer[0]}"
        path = row.ready or "/"
        seen = await wire.http(path, service)
        return None if seen.status == 200 else f"{path} answered {seen.brief}"
    except MachineError:
        raise
    except WireError as error:
        return str(error)


async def _late(wire: Wire, service: str, seen: str) -> Problem:
    found = await containers(wire)
    words = await last_lines(wire, found[service]) if service in found else ""
    return Problem(service, f"not ready in time: {seen}", words)


async def wait_settled(wire: Wire, broken: Set[str], limit: float) -> None:
    """Wait until Docker and Prometheus have looked once at every service that is not `broken`."""
    deadline = Deadline(limit)
    with waiting_for("the first scrape and health checks"):
        while not deadline.passed and not await _settled(wire, broken):  # noqa: ASYNC110 (polls)
            await asyncio.sleep(POLL_SECONDS)


async def _settled(wire: Wire, broken: Set[str]) -> bool:
    with suppress(WireError, ValueError, KeyError):
        found = await containers(wire)
        if any(one.health == "starting" for name, one in found.items() if name not in broken):
            return False
        scraped = (await wire.http("/api/v1/targets?state=active", "prometheus")).json()
        return all(one["health"] != "unknown" for one in scraped["data"]["activeTargets"])
    return False
