"""What the benches of a trading stack share: give it commands, say how it went."""

import sys
from collections.abc import Sequence
from typing import Any

from gate.machine.console import say
from gate.model import model
from gate.wire import Wire
from tests.bench.record import FOLDER, Figure, write

API, EXCHANGE = map(model().name, ("api", "exchange"))
BOT = "breakout-bot"


async def control(wire: Wire, path: str, method: str = "POST", body: Any = None) -> Any:
    """One operation that needs the key. Ends the bench when it is refused."""
    headers = {"X-API-Key": wire.credentials.api_key or ""}
    answer = await wire.http(path, API, method, headers, json=body)
    if answer.status != 200:
        sys.exit(f"expected {method} {path} to be carried out, got {answer.brief}")
    return answer.json()


def report(name: str, figures: Sequence[Figure]) -> int:
    """Write the figures and say them; 1 when one misses its target."""
    path = write(name, list(figures))
    for figure in figures:
        met = {True: "meets", False: "MISSES", None: "no target"}[figure.meets]
        say(f"{figure.name:36} {figure.value:12.3f} {figure.unit:9} {met}")
    say(f"written: {path.relative_to(FOLDER.parent.parent)}")
    return int(any(figure.meets is False for figure in figures))
