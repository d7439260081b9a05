"""Messages are held to the schema of their type, and sessions to order and time."""

import json
from typing import Any

import pytest

from contracts.messages import (
    FOLDER,
    TYPES,
    longest_silence,
    out_of_order,
    parsed,
    problems,
    validator,
)

START = 1_700_000_000_000
BEAT: dict[str, Any] = {
    "type": "HEARTBEAT",
    "ts": START,
    "data": {
        "state": "IDLE",
        "version": "1.0",
        "heartbeatAgeSeconds": 0.1,
        "timestamp": "2026-11-24T03:00:00Z",
    },
}
CLOSED: dict[str, Any] = {
    "type": "POSITION_UPDATE",
    "ts": START,
    "data": {
        "id": "p1",
        "symbol": "BTCUSDT",
        "quantity": 1,
        "entry_price": 100,
        "stop_price": 99,
        "target_price": 102,
        "opened_at": 1.5,
        "status": "closed",
        "exitPrice": 101,
        "reason": "target",
    },
}


@pytest.mark.parametrize("kind", TYPES)
def test_each_schema_is_one_and_says_what_it_is_for(kind: str) -> None:
    validator(kind).check_schema(validator(kind).schema)
    assert json.loads((FOLDER / f"{kind}.json").read_text())["description"]
    assert problems({"type": kind}) != []


def test_a_good_message_has_no_problem() -> None:
    assert problems(BEAT) == problems(CLOSED) == []


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({key: BEAT[key] for key in ("type", "data")}, "'ts' is a required property"),
        ({**BEAT, "ts": "now"}, "ts: 'now' is not of type 'integer'"),
        ({**BEAT, "type": "GOSSIP"}, "type 'GOSSIP' was not agreed on"),
        ({**BEAT, "data": {**BEAT["data"], "state": "ASLEEP"}}, "data.state: 'ASLEEP'"),
        ({**CLOSED, "data": {**CLOSED["data"], "reason": 5}}, "data.reason: 5 is not of type"),
    ],
)
def test_what_is_wrong_is_said(message: dict[str, Any], words: str) -> None:
    assert words in "; ".join(problems(message))


def test_a_closed_position_says_at_what_price_and_why() -> None:
    data = {key: value for key, value in CLOSED["data"].items() if key != "reason"}
    assert "'reason' is a required property" in "; ".join(problems({**CLOSED, "data": data}))


def test_what_is_no_object_is_a_problem_too() -> None:
    (found,) = parsed(["[]"])
    assert "type None" in problems(found)[0]


def test_time_that_runs_backwards_and_long_silences_are_seen() -> None:
    later = {**BEAT, "ts": START + 3000}
    assert out_of_order([BEAT, later, {**CLOSED, "ts": START + 2900}]) == []
    assert out_of_order([later, {**CLOSED, "ts": START}]) == [
        "POSITION_UPDATE is 3000 ms older than HEARTBEAT before it"
    ]
    assert longest_silence([BEAT, later], START + 4000) == 3000
    assert longest_silence([BEAT], START + 9000) == 9000
    assert longest_silence([CLOSED], START + 9000) == START + 9000  # no heartbeat at all
