"""The engine's state model played against the real stack by Hypothesis, mishaps included."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contracts.budget import Budget
from contracts.states import (
    COMMANDS,
    RATE_LIMITED,
    TABLE,
    Entry,
    after,
    breaches,
    explained,
    orders,
    two_traders,
)
from gate import Operator
from gate.operator import API
from gate.wire import Answer, WireError
from tests.bot.api import COMMANDS as PATH
from tests.bot.api import Engine
from tests.bot.contract.engine import PRESET, SYMBOL, at_rest, to_idle
from tests.bot.exchange import EXCHANGE, OURS, Exchange
from tests.contract.explorer import pause, repeatable
from tests.contract.ledger import Ledger, as_curl

LEASE = "breakout-bot:lease"
SHRINK_SECONDS = 40.0
RESTART_SECONDS = 30.0
PATIENCE = 5


class Broken(Exception):
    """The model and the stack disagree."""


@dataclass
class Play:
    """What all histories share, and the shortest one that failed."""

    operator: Operator
    ledger: Ledger
    histories: int = 0
    steps: int = 0
    failed: list[str] = field(default_factory=list)
    what: str = ""
    stop_at: float = float("inf")

    def break_(self, history: list[str], what: str) -> None:
        """Keep the history when it is the shortest. Raises `Broken`."""
        if not self.failed:
            self.stop_at = time.monotonic() + SHRINK_SECONDS
        if not self.failed or len(history) < len(self.failed):
            self.failed, self.what = list(history), what
        raise Broken(what)

    @property
    def over(self) -> bool:
        """Whether enough time went into making a failure shorter."""
        return time.monotonic() > self.stop_at


class Machine(RuleBasedStateMachine):
    """One history: commands and mishaps, with the state that the model expects."""

    def __init__(self, play: Play) -> None:
        super().__init__()
        self.play = play
        self.operator = play.operator
        self.engine, self.exchange = Engine(play.operator), Exchange(play.operator)
        self.state = "IDLE"
        self.history: list[str] = []
        self.cut = False
        self.unfinished = False
        self.seen = 0
        self.last: list[Entry] = []
        """The last order that the exchange took."""
        self.since = 0.0

    @initialize()
    def begin(self) -> None:
        """Rest, without drills; the log is read from here."""
        if self.play.over:
            return
        self.play.histories += 1
        self.exchange.end_drills()
        to_idle(self.operator)
        what = "no order and no position before a history"
        self.operator.until(lambda: not self.exchange.positions(), 15, what)
        self._entries()
        self.since = self.exchange.time()

    @precondition(lambda self: not self.play.over)
    @rule(choice=st.integers(0, len(COMMANDS) - 1))
    def allowed(self, choice: int) -> None:
        """A command that the table allows leads where it says."""
        commands = [one for one in COMMANDS if one in TABLE[self.state]]
        self._one(commands[choice % len(commands)])

    @precondition(lambda self: not self.play.over)
    @rule()
    def refused(self) -> None:
        """Each command that the table does not allow is refused and changes nothing."""
        for command in (one for one in COMMANDS if one not in TABLE[self.state]):
            self._one(command)
            state = self.engine.state()
            self._expect(state == self.state, f"{state} after {command} in {self.state}")

    @precondition(lambda self: not self.play.over)
    @rule(commands=st.lists(st.sampled_from(COMMANDS), min_size=2, max_size=3))
    def together(self, commands: list[str]) -> None:
        """Commands at the same time end as some order of them would."""
        self._judge_log()
        answers = self._send(commands)
        statuses = [answer.status for answer in answers]
        end = self.engine.state()
        fits = explained(self.state, commands, statuses, end)
        told = ", ".join(f"{c} {s}" for c, s in zip(commands, statuses, strict=True))
        self._expect(fits, f"no order of {told} at once leads from {self.state} to {end}")
        self._moved(end, answers)

    @precondition(lambda self: not self.play.over and self.state in ("RUNNING", "PAUSED"))
    @rule(percent=st.sampled_from((4.0, -4.0)))
    def price_jumps(self, percent: float) -> None:
        """A breakout to trade, or a fall."""
        if not self.cut:
            self._drill({"moves": {SYMBOL: percent}})

    @precondition(lambda self: not self.play.over)
    @rule()
    def exchange_cuts(self) -> None:
        """The exchange goes away, or comes back."""
        self.cut = not self.cut
        self._drill({"cut": self.cut})

    @precondition(lambda self: not self.play.over)
    @rule()
    def lease_is_lost(self) -> None:
        """Redis forgets who holds the lease."""
        self.history.append(f"redis-cli DEL {LEASE}")
        self.operator.redis(("DEL", LEASE))

    @precondition(lambda self: not self.play.over)
    @rule()
    def restarts(self) -> None:
        """The API restarts, and is in the state it was in."""
        self._judge_log()
        self.history.append(f"docker restart {self.operator.container(API)}")
        self.operator.docker("restart", "--time", "5", self.operator.container(API))
        state = self.operator.until(self.engine.state, RESTART_SECONDS, "the API back")
        self._expect(state == self.state, f"{self.state} before a restart and {state} after it")

    @invariant()
    def state_is_the_models(self) -> None:
        """The engine says that it is where the model has it."""
        if self.history and not self.play.over:
            state = self.engine.state()
            self._expect(state == self.state, f"{state} where the model has {self.state}")
            self._judge_log()

    def teardown(self) -> None:
        """Let the exchange be reached again."""
        self.play.steps += len(self.history)
        self.exchange.end_drills()

    # Helpers

    def _drill(self, body: dict[str, Any]) -> None:
        answer = self.operator.http("/drills", EXCHANGE, "PUT", json=body)
        self.history.append(as_curl("PUT", answer.url, body))

    def _one(self, command: str) -> None:
        self._judge_log()
        answer = self._send([command])[0]
        status, state = after(self.state, command)
        self._expect(answer.status == status, f"{command} in {self.state}: {answer.brief}")
        self._moved(state, [answer])

    def _send(self, commands: list[str]) -> list[Answer]:
        calls = [self._call(command) for command in commands]
        for call in calls:
            url = self.operator.target.url + call["path"]
            self.history.append(as_curl("POST", url, call["json"]) + " &" * (len(calls) > 1))
        for _ in range(PATIENCE):
            answers = self.operator.together(calls)
            lost = [one for one in answers if isinstance(one, WireError)]
            self._expect(not lost, f"no answer: {lost}")
            found = [one for one in answers if isinstance(one, Answer)]
            for command, answer in zip(commands, found, strict=True):
                self.play.ledger.saw(f"POST /api/engine/{command}", answer.status)
            if len(calls) > 1 or found[0].status != RATE_LIMITED:
                return found
            time.sleep(pause(found[0]))
        return found

    def _call(self, command: str) -> dict[str, Any]:
        body = {"preset": PRESET} if command == "start" else None
        return {"path": f"{PATH}/{command}", "method": "POST", "json": body}

    def _moved(self, state: str, answers: list[Answer]) -> None:
        bodies = [answer.json() for answer in answers if answer.status == 200]
        self.unfinished = self.cut or any(not body["success"] for body in bodies)
        self.state = state
        self._of_one_trader(self._entries())
        self.since = self.exchange.time()

    def _judge_log(self) -> None:
        self.unfinished |= self.cut
        entries = self._entries()
        found = breaches(self.state, entries, self.since, self.unfinished)
        self._expect(not found, "; ".join(found[:3]))
        self._of_one_trader(entries)

    def _entries(self) -> list[dict[str, Any]]:
        entries = self.exchange.log(self.seen)
        self.seen = entries[-1]["seq"] if entries else self.seen
        return [one for one in entries if one.get("client_id") == OURS]

    def _of_one_trader(self, entries: list[dict[str, Any]]) -> None:
        found = two_traders([*self.last, *entries])
        self.last = [*self.last, *orders(entries)][-1:]
        self._expect(not found, "; ".join(found[:3]))

    def _expect(self, holds: object, what: str) -> None:
        if not holds:
            self.play.break_(self.history, what)


_run: Callable[..., None] = run_state_machine_as_test
"""It takes any factory of a machine, which its annotation does not say."""


def play(operator: Operator, ledger: Ledger, budget: Budget) -> Play:
    """Play the model; a failure's shortest history is in the result."""
    shared = Play(operator, ledger)

    def made() -> Machine:
        return Machine(shared)

    with at_rest(operator):
        try:
            _run(seed(budget.seed)(made), settings=_settings(budget))
        except Exception:
            if not shared.failed:
                raise
    return shared


def _settings(budget: Budget) -> settings:
    phases = (Phase.generate, Phase.shrink)
    return repeatable(
        budget.histories, budget.steps, phases=phases, report_multiple_bugs=False, print_blob=False
    )
