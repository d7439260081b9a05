"""Prometheus follows the engine: its cycles and its state."""

from gate import Operator, check, fail
from gate.operator import API
from tests.bot.api import Engine
from tests.observability.files import NEEDS, counters, series


@check(
    API,
    cause="the loop that the engine trades in is dead, or its counter is not wired to it",
    fix="look for the last cycle in the API's log",
    needs=NEEDS,
)
def test_cycles_rise(operator: Operator) -> None:
    name = "breakout_bot_cycles_total"
    before = counters(operator.http("/api/metrics")).get(name)
    if before is None:
        fail(name, "no such metric")

    def risen() -> float:
        return counters(operator.http("/api/metrics"))[name]

    operator.until(risen, 5, f"{name} above {before:g}", lambda now: now > before)


@check(
    API,
    cause="the metric of the engine's state is not wired to the state: alerts about it are blind",
    fix="compare breakout_bot_engine_state with /api/engine/status",
    needs=NEEDS,
    follows="observability.alerts.asks_for_metrics_that_exist",
)
def test_tells_the_engine_s_state(operator: Operator) -> None:
    for command in ("emergency-stop", "reset"):
        Engine(operator).command(command)
        _tells(operator, Engine(operator).state())


def _tells(operator: Operator, state: str) -> None:
    def told() -> str:
        found = series(operator, "breakout_bot_engine_state == 1")
        return ", ".join(one["metric"]["state"] for one in found)

    operator.until(told, 15, f"the state {state} in Prometheus", lambda seen: seen == state)
