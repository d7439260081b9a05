"""What the benches of a trading stack share: give it commands."""

import sys
from typing import Any

from gate.model import model
from gate.wire import Wire

API, EXCHANGE = map(model().name, ("api", "exchange"))
BOT = "breakout-bot"


async def control(wire: Wire, path: str, method: str = "POST", body: Any = None) -> Any:
    """One operation that needs the key. Ends the bench when it is refused."""
    headers = {"X-API-Key": wire.credentials.api_key or ""}
    answer = await wire.http(path, API, method, headers, json=body)
    if answer.status != 200:
        sys.exit(f"expected {method} {path} to be carried out, got {answer.brief}")
    return answer.json()
