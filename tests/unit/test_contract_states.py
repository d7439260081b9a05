"""The state model's pure half: the table, concurrent commands, and what the log may hold."""

from typing import Any

import pytest

from contracts.states import COMMANDS, TABLE, after, breaches, explained, two_traders


def order(seq: int, *, exit_: bool = False, token: int = 5, time: float = 100.0) -> dict[str, Any]:
    return {
        "seq": seq,
        "time": time,
        "event": "order_accepted",
        "reduce_only": exit_,
        "side": "sell" if exit_ else "buy",
        "quantity": 1.0,
        "symbol": "BTCUSDT",
        "fencing_token": token,
    }


def test_the_table_is_closed_and_every_command_is_on_it() -> None:
    reached = {state for row in TABLE.values() for state in row.values()}
    assert reached == set(TABLE)
    assert {command for row in TABLE.values() for command in row} == set(COMMANDS)
    assert after("EMERGENCY", "resume") == (409, "EMERGENCY")


@pytest.mark.parametrize(
    ("statuses", "end", "fits"),
    [
        ([200, 200], "IDLE", True),
        ([200, 409], "RUNNING", True),
        ([409, 200], "RUNNING", False),
        ([200, 200], "RUNNING", False),
        ([200, 429], "RUNNING", True),
        ([429, 409], "IDLE", True),
        ([429, 429], "RUNNING", False),
    ],
)
def test_commands_at_once_end_as_some_order_of_them(
    statuses: list[int], end: str, fits: bool
) -> None:
    assert explained("IDLE", ["start", "stop"], statuses, end) is fits


@pytest.mark.parametrize(
    ("state", "exit_", "unfinished", "breach"),
    [
        ("RUNNING", False, False, False),
        ("PAUSED", True, False, False),
        ("PAUSED", False, False, True),
        ("IDLE", True, False, True),
        ("IDLE", True, True, False),
        ("EMERGENCY", False, True, True),
    ],
)
def test_orders_that_a_state_forbids_are_named(
    state: str, exit_: bool, unfinished: bool, breach: bool
) -> None:
    found = breaches(state, [order(7, exit_=exit_)], 99.0, unfinished)
    assert bool(found) is breach
    assert not breach or "log line 7" in found[0]


def test_an_entry_on_its_way_when_the_pause_was_answered_is_no_breach() -> None:
    assert breaches("PAUSED", [order(1, time=100.2)], 100.0, False) == []


def test_an_older_engine_after_a_newer_one_is_two_traders() -> None:
    assert two_traders([order(1, token=5), order(2, token=6)]) == []
    assert "token 5 after 6" in two_traders([order(1, token=6), order(2, token=5)])[0]
