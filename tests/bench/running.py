"""What the benches of a trading stack share: give it commands."""

import sys
from typing import Any

from gate.model import model
from gate.wire import Wire
from tests.bot.api import Api

API, EXCHANGE = map(model().name, ("api", "exchange"))


async def control(wire: Wire, path: str, method: str = "POST", body: Any = None) -> Any:
    """One operation that needs the key. Ends the bench when it is refused."""
    answer = await Api(wire, API).send(path, method, body)
    if answer.status != 200:
        sys.exit(f"expected {method} {path} to be carried out, got {answer.brief}")
    return answer.json()
