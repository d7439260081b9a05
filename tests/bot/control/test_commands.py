"""Commands twice, at once, under load and with bad values; stop by its effects."""

import asyncio
from collections import Counter

import pytest

from contracts.states import explained
from gate import Operator, expect
from gate.operator import KEY_HEADER
from gate.wire import Answer, Wire
from tests.bot.api import Engine
from tests.bot.control.engine import PRESET, check_api, hold, run
from tests.bot.exchange import OURS, QUIET_SECONDS, Exchange

AT_ONCE = 8
READERS = 8
READS = ("/api/positions", "/api/trading/orders", "/api/performance/equity", "/api/health")
COMMAND_SECONDS = 2.0


@check_api(
    cause="start does not ask whether the engine runs already: two loops trade",
    fix="emergency stop, then restart the API's container; send one start at a time until"
    " it is mended",
)
def test_starting_twice_makes_no_second_loop(operator: Operator, exchange: Exchange) -> None:
    before = exchange.mark()
    run(operator, exchange)
    again = Engine(operator).command("start", preset=PRESET)
    expect(again.status == 409, "a second start to answer 409", again.brief)
    exchange.entered("BTCUSDT", "ETHUSDT")
    exchange.expect_no_entry(["BTCUSDT", "ETHUSDT"], QUIET_SECONDS, "where one is held")
    bought = Counter(order["symbol"] for order in exchange.openings(before))
    expect(set(bought.values()) == {1}, "one order for each symbol", dict(bought))


@check_api(
    cause="two starts at the same moment both see IDLE",
    fix="send one start at a time, and run one API container, until a release locks its commands",
)
def test_of_starts_at_once_one_wins(operator: Operator) -> None:
    seen = Counter(at_once(operator, ["start"] * AT_ONCE))
    wanted = {200: 1, 409: AT_ONCE - 1}
    expect(seen == wanted, f"answers {wanted} to {AT_ONCE} starts at once", dict(seen))
    Engine(operator).expect_state("RUNNING", "after them")


@pytest.mark.parametrize(
    "commands",
    [
        ("pause", "stop", "pause", "stop", "resume", "resume"),
        ("emergency-stop", "pause", "resume", "stop", "reset"),
        ("stop", "start", "stop", "start", "pause"),
    ],
    ids=("pause-stop", "emergency", "start-stop"),
)
@check_api(
    cause="commands run into each other: one reads a state that another is changing",
    fix="send one command at a time until a release does them one after another",
)
def test_commands_at_once_act_one_after_another(
    operator: Operator, exchange: Exchange, commands: tuple[str, ...]
) -> None:
    run(operator, exchange)
    answers = at_once(operator, list(commands))
    final = Engine(operator).state()
    possible = explained("RUNNING", commands, answers, final)
    said = ", ".join(
        f"{command}: {status}" for command, status in zip(commands, answers, strict=True)
    )
    expect(possible, "answers that some order of the commands gives", f"{said}; then {final}")


def at_once(operator: Operator, commands: list[str]) -> list[int]:
    """Send the commands at the same time; the statuses of their answers."""
    calls = [{"path": f"/api/engine/{command}", "method": "POST"} for command in commands]
    answers = operator.together(calls)
    return [one.status for one in answers if isinstance(one, Answer)]


@check_api(
    cause="commands wait behind reads: work on the event loop, or one worker for everything",
    fix="look at the request durations in /api/metrics; take load off the API, or give it more CPU",
)
def test_commands_are_quick_under_load(operator: Operator) -> None:
    headers = {KEY_HEADER: operator.credentials.api_key or ""}
    commands = ("start", "pause", "resume", "stop", "start", "emergency-stop", "reset")

    async def command_under_load(wire: Wire) -> list[Answer]:
        async def read(number: int) -> None:
            while True:
                await wire.http(READS[number % len(READS)])

        readers = [asyncio.create_task(read(number)) for number in range(READERS)]
        try:
            return [
                await wire.http(f"/api/engine/{one}", method="POST", headers=headers, fresh=True)
                for one in commands
            ]
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    answers = operator.run(command_under_load)
    for command, answer in zip(commands, answers, strict=True):
        expect(answer.status == 200, f"{command} under load to answer 200", answer.brief)
        slow = f"{command} took {answer.seconds:.2f} s"
        expect(answer.seconds < COMMAND_SECONDS, f"commands within {COMMAND_SECONDS:g} s", slow)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ({"preset": "no-such-preset"}, 400),
        ({"mode": "live"}, 400),
        ({"mode": "yolo"}, 422),
        ({"preset": 7}, 422),
        ({"presett": PRESET}, 422),
    ],
    ids=("unknown-preset", "another-mode", "no-mode", "number", "misspelt"),
)
@check_api(
    cause="start takes what it does not know, and trades by something else than was asked for",
    fix="start with a mode and a preset that GET /api/presets/ lists",
)
def test_start_refuses_what_it_does_not_know(
    operator: Operator, value: dict[str, object], status: int
) -> None:
    answer = Engine(operator).command("start", **value)
    expect(answer.status == status, f"start with {value} to answer {status}", answer.brief)
    Engine(operator).expect_state("IDLE", "after it")


@check_api(
    cause="stop changes the state and leaves the loop, its orders or its positions behind",
    fix="close at the exchange what is open, restart the API's container",
)
def test_stop_leaves_no_loop_and_nothing_open(operator: Operator, exchange: Exchange) -> None:
    hold(operator, exchange, "BTCUSDT", "ETHUSDT")
    exchange.rest(OURS, "XRPUSDT")
    answer = Engine(operator).command("stop")
    expect(answer.status == 200, "stop to answer 200", answer.brief)
    exchange.expect_flat("once stop has answered")
    exchange.expect_no_entry(["SOLUSDT", "BTCUSDT"], QUIET_SECONDS, "after stop")
