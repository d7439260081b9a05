"""Control is rate limited and bodies are bounded, as documented; an emergency stop never waits."""

import time
from typing import Any

from contracts.agreed import load
from contracts.diff import label_parts, operations
from gate import Operator, check, expect
from gate.operator import API
from gate.wire import Answer, WireError
from tests.bot.contract.engine import to_idle
from tests.contract.ledger import Ledger

LIMITED = [label for label, one in operations(load()) if "429" in one.responses]
BOUNDED = [label for label, one in operations(load()) if "413" in one.responses]
FLOOD = 200
FLOOD_SECONDS = 20.0
TOO_LARGE = b" " * 1_100_000
RELOAD: dict[str, Any] = {"path": "/api/engine/reload", "service": API, "method": "POST"}


def _call(label: str) -> dict[str, Any]:
    method, template = label_parts(label)
    call = {"path": template.format(name="balanced"), "service": API, "method": method}
    return {**call, "json": {"command": "reload"}} if template.endswith("/command") else call


def _limited(operator: Operator) -> dict[str, Answer | WireError]:
    """Every limited operation, sent with so many others that there are too many."""
    calls = [_call(label) for label in LIMITED]
    deadline = time.monotonic() + FLOOD_SECONDS
    while True:
        seen = operator.together([RELOAD] * FLOOD + calls)[FLOOD:]
        found = dict(zip(LIMITED, seen, strict=True))
        all_429 = all(isinstance(one, Answer) and one.status == 429 for one in seen)
        if all_429 or time.monotonic() > deadline:
            return found


@check(
    API,
    cause="the limiter is not asked on this route, or its rate is far too high",
    fix="set CONTROL_RATE, and let the proxy limit /api/engine/ until the API does",
    needs=("disposable", "direct:breakout-bot-api", API),
)
def test_control_is_rate_limited(operator: Operator, ledger: Ledger) -> None:
    for label, answer in _limited(operator).items():
        assert isinstance(answer, Answer), answer
        ledger.saw(label, answer.status)
        wanted = f"{label} to answer 429 with Retry-After after {FLOOD} others"
        expect(answer.status == 429 and "retry-after" in answer.headers, wanted, answer.brief)
    stop = operator.http("/api/engine/emergency-stop", method="POST")
    expect(stop.status == 200, "an emergency stop at once all the same", stop.brief)
    operator.until(lambda: operator.http(**RELOAD).status == 200, 10, "control to be open again")
    to_idle(operator)


@check(
    API,
    cause="a body is read into memory whatever its size",
    fix="set `client_max_body_size` in the proxy's location of /api",
    needs=("disposable", "direct:breakout-bot-api", API),
)
def test_bodies_are_bounded(operator: Operator, ledger: Ledger) -> None:
    for label in BOUNDED:
        headers = {"content-type": "application/json"}
        answer = operator.http(**{**_call(label), "json": None}, content=TOO_LARGE, headers=headers)
        ledger.saw(label, answer.status)
        expect(answer.status == 413, f"{label} to answer 413 to 1.1 MB", answer.brief)
