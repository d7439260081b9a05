"""Health touches what the API depends on: what is away, hangs or is locked is said, in time."""

import pytest

from gate import Operator, check, expect
from gate.operator import API
from gate.wire import Answer
from tests.bot.api import Engine
from tests.bot.control.engine import away

NEEDS = ("disposable", "proxy", API, "stack")
NOTICE_SECONDS = 6.0
ANSWER_SECONDS = 3.0
"""Its own time limit for each dependency, and some time for the rest."""
LOCK_SECONDS = 5
LOCK = f"""
import glob, sqlite3, time
connection = sqlite3.connect(glob.glob("/data/*.sqlite3")[0], timeout=5)
connection.execute("BEGIN EXCLUSIVE")
time.sleep({LOCK_SECONDS})
"""
"""Holds the database for a while, as a backup or an operator's shell would."""


def expect_told(operator: Operator, dependency: str) -> None:
    """Fails the check unless health soon says that a dependency is lost, and says so quickly."""

    def told(answer: Answer) -> bool:
        return bool(answer.json()["api_connectivity"][dependency] != "connected")

    what = f"health to say that {dependency} is disconnected"
    answer = operator.until(lambda: operator.http("/api/health", API), NOTICE_SECONDS, what, told)
    took = f"{answer.seconds:.2f} s"
    expect(answer.seconds < ANSWER_SECONDS, f"health within {ANSWER_SECONDS:g} s", took)
    status = answer.json()["status"]
    expect(status != "healthy", "status degraded or unhealthy then", status)
    code = 503 if status == "unhealthy" else 200
    expect(answer.status == code, f"{code} for {status}", answer.brief)


@pytest.mark.parametrize("verb", ["freeze", "stop"])
@pytest.mark.parametrize("service", ["redis", "exchange"])
@check(
    API,
    cause="health says connected from memory, or waits for {service} without a time limit",
    fix="look at {service} itself, and trust no `api_connectivity` of it in /api/health until then",
    needs=(*NEEDS, f"direct:{API}", "{service}"),
)
def test_health_tells_of_what_is_lost(operator: Operator, service: str, verb: str) -> None:
    with away(operator, service, verb):
        expect_told(operator, service)


@check(
    API,
    cause="health says that the database is connected without writing to it",
    fix="look at the disk and at the data volume; trust no `database` in /api/health until then",
    needs=(*NEEDS, f"direct:{API}"),
)
def test_health_tells_of_a_locked_database(operator: Operator) -> None:
    python = ("/venv/bin/python", "-c", LOCK)
    operator.docker("exec", "--detach", operator.container(API), *python)
    expect_told(operator, "database")
    Engine(operator).wait_until_connected()


@check(
    API,
    cause="the engine starts without the trading lease, so that two may trade",
    fix="stop the engine until Redis is back: without the lease two engines may trade",
    needs=(*NEEDS, "redis"),
)
def test_nothing_starts_without_redis(operator: Operator) -> None:
    with away(operator, "redis", "stop"):
        answer = Engine(operator).command("start")
        expect(answer.status == 503, "start without Redis to answer 503", answer.brief)
    Engine(operator).expect_state("IDLE", "after it")


@check(
    "proxy",
    cause="the proxy answers for the API, from a cache or a page of its own",
    fix="look at the location /api in compose/proxy/nginx.conf",
    needs=NEEDS,
)
def test_proxy_does_not_answer_for_the_api(operator: Operator) -> None:
    with away(operator, API, "stop"):
        answer = operator.http("/api/health")
        expect(answer.status in (502, 503, 504), "502, 503 or 504 without the API", answer.brief)
        took = f"{answer.seconds:.2f} s"
        expect(answer.seconds < ANSWER_SECONDS, f"it within {ANSWER_SECONDS:g} s", took)
