"""Every service level of load/slo.toml, held to one run of load."""

import pytest

from gate import check, fail
from gate.errors import MachineError
from gate.operator import API
from load import measures, profile, slo
from load.judge import judge_level
from load.samples import Run
from load.slo import Level
from tests.load.report import PAGE, PROFILE

HELD = measures.held(profile.load(PROFILE).names, slo.load())


@pytest.mark.parametrize(
    ("operation", "level"), [pytest.param(*one, id=measures.title(*one)) for one in HELD]
)
@check(
    API,
    cause="{operation}: {level.cause}",
    fix="{level.next_step}",
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
