"""The trading engine lives, and is in the mode that this deployment is for."""

from typing import Any

import pytest

from gate import Evidence, check, expect
from tests.bot.smoke.report import AWAY, health
from tests.smoke.probes import API, ENGINE_STATUS, body_of, ok, shown

STATES = ("IDLE", "RUNNING", "PAUSED", "EMERGENCY")
MOST_SECONDS = {"heartbeat_age_seconds": 10.0, "market_data_age_seconds": 15.0}


def status(seen: Evidence) -> dict[str, Any]:
    body = body_of(ok(seen[ENGINE_STATUS]))
    return body if isinstance(body, dict) else {}


@check(
    API,
    cause="the deployment was started with another MODE than meant: paper money or real money",
    fix="stop the engine, set MODE, deploy again; a target file says `mode` for real money",
    follows="bot.smoke.health.reaches[*]",
)
def test_trades_in_the_mode_that_the_target_says(seen: Evidence) -> None:
    mode = status(seen).get("mode")
    expect(mode == seen.target.mode, f"mode {seen.target.mode}", f"mode {shown(mode)}")


@check(
    API,
    cause="start-up stopped half way: no state could be read, or the loop never began",
    fix="read the API's log from its last start",
    follows=AWAY,
)
def test_is_initialized(seen: Evidence) -> None:
    value = health(seen).get("engine_initialized")
    expect(value is True, "engine_initialized: true", shown(value))


@check(
    API,
    cause="health and engine status come from different copies of the state (several workers?)",
    fix="run one worker process; state belongs to one engine",
    follows="bot.smoke.health.reaches[*]",
)
def test_says_one_state_everywhere(seen: Evidence) -> None:
    state, in_health = status(seen).get("state"), health(seen).get("engine_state")
    expect(state in STATES, f"one of {', '.join(STATES)}", shown(state))
    expect(state == in_health, f"engine_state {state} in health too", shown(in_health))


@pytest.mark.parametrize("age", list(MOST_SECONDS))
@check(
    API,
    cause="the engine's loop is dead or blocked, or its market data stopped",
    fix="look for the last cycle in the API's log; check the exchange's feed",
    follows=AWAY,
)
def test_is_alive(seen: Evidence, age: str) -> None:
    value, most = health(seen).get(age), MOST_SECONDS[age]
    right = isinstance(value, int | float) and 0 <= value <= most
    expect(right, f"{age} of at most {most:g}", shown(value))
