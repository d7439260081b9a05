"""The WebSocket keeps the agreed message types, their fields, their order and their time."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from contracts.messages import (
    HEARTBEAT_MS,
    LATE_MS,
    TYPES,
    Message,
    longest_silence,
    of_type,
    out_of_order,
    parsed,
    problems,
)
from gate import Evidence, Operator, check, expect, probe
from gate.operator import API
from gate.wire import Answer, Conversation, Wire
from tests.bot.api import Api
from tests.bot.contract.engine import PRESET, at_rest, jump
from tests.contract.ledger import Ledger

FIRST_MESSAGES = 3
LEAST_SECONDS, MOST_SECONDS = 9.0, 14.0
"""How long a session is heard: three heartbeats, and longer where the engine takes its time (an
operator's call has 15 s)."""
ENTRY_SECONDS = 10.0
AFTER_SECONDS = 2.0
"""For the messages of the stop."""
CYCLE = ("disposable", "direct:exchange", "proxy", API)


@probe(API)
async def GREETING(wire: Wire) -> Conversation:
    """The first messages of a connection, while nothing is done."""
    return await wire.websocket("/ws/", messages=FIRST_MESSAGES, within=2.0)


@check(
    API,
    cause="a message lost a field, changed a type, or a new type is sent that clients do not know",
    fix="compare the message with contracts/messages; agree on a new type before it is sent",
    follows="bot.contract.messages.session_has_every_type*",
)
def test_first_messages_fit(seen: Evidence) -> None:
    messages = parsed(seen[GREETING].messages)
    expect(messages, "messages on /ws/", f"none, status {seen[GREETING].status}")
    first = messages[0].get("type")
    expect(first == "HEARTBEAT", "HEARTBEAT first", first)
    _fit(messages)


@dataclass(frozen=True)
class Session:
    """Everything heard on one connection while the engine traded."""

    messages: list[Message]
    ended_ms: int
    position: Answer
    """Of GET /api/trading/positions/{position_id} while there was one."""


@pytest.fixture(scope="module")
def session(operator: Operator) -> Iterator[Session]:
    """One connection during a start, an entry, a scan and a stop."""
    with at_rest(operator):
        symbol = jump(operator, 5.0)
        heard, position = operator.run(lambda wire: _listen(wire, symbol))
        yield Session(parsed(heard.messages), int(time.time() * 1000), position)


async def _listen(wire: Wire, symbol: str) -> tuple[Conversation, Answer]:
    over, began = asyncio.Event(), time.monotonic()
    listening = asyncio.create_task(wire.websocket("/ws/", 10_000, MOST_SECONDS, over))
    api = Api(wire)
    answer = await api.command("start", preset=PRESET)
    expect(answer.status == 200, "the engine to start", answer.brief)
    identity = await _entered(wire, symbol)
    position = await wire.http(f"/api/trading/positions/{identity}")
    await api.send("/api/scanner/scan")
    await api.command("stop")
    await asyncio.sleep(max(AFTER_SECONDS, began + LEAST_SECONDS - time.monotonic()))
    over.set()
    return await listening, position


async def _entered(wire: Wire, symbol: str) -> str:
    """The id of the position that the engine opens; none in time shows in the messages."""
    deadline = time.monotonic() + ENTRY_SECONDS
    while time.monotonic() < deadline:
        found = _parsed(await wire.http("/api/positions"))
        for one in found if isinstance(found, list) else []:
            if isinstance(one, dict) and one.get("symbol") == symbol:
                return str(one.get("id"))
        await asyncio.sleep(0.1)
    return "none"


def _parsed(answer: Answer) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


@check(
    API,
    cause="the event is not sent any more, or not as agreed",
    fix="compare the message with contracts/messages/{kind}.json; deploy API and page of one build",
    needs=CYCLE,
)
@pytest.mark.parametrize("kind", TYPES)
def test_session_has_every_type(session: Session, kind: str) -> None:
    own = of_type(session.messages, kind)
    types = sorted({str(message.get("type")) for message in session.messages})
    expect(own, f"{kind} messages in a session with an entry, a scan and a stop", ", ".join(types))
    _fit(own)


@check(
    API,
    cause="a position that is listed cannot be asked for, or is another one under its id",
    fix="compare GET /api/positions with GET /api/trading/positions/{{position_id}}",
    needs=CYCLE,
    follows="bot.contract.messages.session_has_every_type*",
)
def test_a_position_can_be_asked_for(session: Session, ledger: Ledger) -> None:
    answer = session.position
    ledger.saw("GET /api/trading/positions/{position_id}", answer.status, {"path position_id"})
    expect(answer.status == 200, "the open position", answer.brief, answer.url)
    found = _parsed(answer)
    identity = found.get("id") if isinstance(found, dict) else None
    own = identity is not None and answer.url.endswith(f"/{identity}")
    expect(own, "the position of that id", answer.brief)


@check(
    API,
    cause="a type is sent that clients do not know, or text that is no JSON object",
    fix="agree on it: a schema in contracts/messages, named as the type",
    needs=CYCLE,
)
def test_session_has_no_other_type(session: Session) -> None:
    _fit([message for message in session.messages if message.get("type") not in TYPES])


@check(
    API,
    cause="messages wait in a queue, or a clock of the deployment runs wrong",
    fix="compare the clocks of the containers; look at Redis' latency and at the API's CPU",
    needs=CYCLE,
    follows="bot.contract.messages.session_has_every_type*",
)
def test_time_does_not_run_backwards(session: Session) -> None:
    wrong = out_of_order(session.messages)
    expect(not wrong, "messages in the order of their ts", "; ".join(wrong[:3]))


@check(
    API,
    cause="heartbeats wait behind other messages, so a page takes the connection for dead",
    fix="look at the API's CPU and at the proxy's buffering of /ws/",
    needs=CYCLE,
    follows="bot.contract.messages.session_has_every_type[HEARTBEAT]",
)
def test_heartbeats_keep_time(session: Session) -> None:
    silence = longest_silence(session.messages, session.ended_ms)
    wanted = f"a heartbeat every {HEARTBEAT_MS} ms, none missed"
    expect(silence < LATE_MS, wanted, f"{silence} ms without one")


@check(
    API,
    cause="a position is told of before the order and the signal that made it",
    fix="send SIGNAL, ORDER_UPDATE and POSITION_UPDATE in the order in which they happen",
    needs=CYCLE,
    follows="bot.contract.messages.session_has_every_type*",
)
def test_an_entry_is_told_in_order(session: Session) -> None:
    told = [_step(message) for message in session.messages]
    steps = [step for step in told if step]
    wanted = ["SIGNAL", "ORDER_UPDATE filled", "POSITION_UPDATE open", "POSITION_UPDATE closed"]
    first = [steps.index(step) if step in steps else -1 for step in wanted]
    in_order = -1 not in first and first == sorted(first)
    expect(in_order, " → ".join(wanted), " → ".join(steps) or "none of them")


def _step(message: Message) -> str:
    kind = str(message.get("type"))
    if kind not in ("SIGNAL", "ORDER_UPDATE", "POSITION_UPDATE"):
        return ""
    data: Any = message.get("data")
    status = data.get("status", "") if isinstance(data, dict) else ""
    return f"{kind} {status}".strip()


def _fit(messages: list[Message]) -> None:
    wrong = [(message, found) for message in messages if (found := problems(message))]
    if wrong:
        message, found = wrong[0]
        rest = f" ({len(wrong)} of {len(messages)} messages)"
        expect(False, "messages as agreed", "; ".join(found[:3]) + rest, str(message))
