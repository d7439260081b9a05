"""Every service level of load/slo.toml, held to one run of load."""

import pytest

from gate.checks import check, fail
from gate.machine.console import MachineError
from gate.model import model
from gate.operator import API
from load import measures, profile, slo
from load.judge import judge_level
from load.samples import Run
from load.slo import Level

PROFILE = "gate"
PAGE = {"GET /": model().name("page")}
"""Operations that the API does not answer, and who does."""
HELD = measures.held(profile.load(PROFILE).names, slo.load())
CAUSES = {
    "error_rate": "answers with an error under load: a pool, a limit or a worker is too small",
    "throughput": "the stack answers fewer requests than arrive: something is full and queues",
    "tick_lag": "the engine's cycle waits behind requests, or takes longer than a tick itself",
    "recovery": "after a spike the queue does not drain: a pool or a retry storm holds it",
    "lost": "WebSockets are refused or closed under load: a limit or a queue is too small",
    "memory_growth": "memory is kept for every request",
    "handles_growth": "files or sockets are opened and never closed",
}
FIXES = {
    "error_rate": "split the errors by status in load/run.json, then read the proxy's log",
    "throughput": "compare the proxy's and the API's durations; look at worker_connections",
    "tick_lag": "look at the cycle's duration in /api/metrics; move blocking work off the loop",
    "recovery": "look at the latency over time in the report, and at open connections",
    "lost": "read the proxy's log for /ws/; the API closes a client that is slow, with 1013",
    "memory_growth": "compare process_resident_memory_bytes with requests; look for a growing list",
    "handles_growth": "list /proc/1/fd in the API's container: what is there many times?",
}


def _id(name: str, level: Level) -> str:
    return measures.title(name, level)


@pytest.mark.parametrize(("operation", "level"), [pytest.param(*one, id=_id(*one)) for one in HELD])
@check(
    API,
    cause="{operation} is slow under load",
    fix="compare latency and service time in load/run.json; look at request durations in Grafana",
    needs=("disposable", "proxy", API),
)
def test_keeps(load_run: Run, operation: str, level: Level) -> None:
    answer = judge_level(level, measures.values(load_run, operation, level))
    if answer.outcome == "missed":
        own = PAGE.get(operation, API)
        others = [one for one in load_run.operations if PAGE.get(one, API) != own]
        proxys = measures.from_the_proxy(load_run, operation, level, others)
        whose = "proxy" if proxys else own
        fail(f"{operation}: {level.words}", answer.words, component=whose)
    if answer.outcome != "met" and load_run.summary["aborted"]:
        pytest.skip(f"the run was ended early: {load_run.summary['aborted']}")
    if answer.outcome != "met":
        raise MachineError(
            f"expected enough data on {operation} {level.metric}, but {answer.words}"
        )
