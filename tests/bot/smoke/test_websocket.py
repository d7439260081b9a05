"""The first message of the WebSocket is a heartbeat."""

import json
from typing import Any

from gate import Evidence, check, expect, fail
from tests.smoke.probes import API, SOCKET, shown


@check(
    API,
    cause="the API accepts the socket and then sends nothing: its event hub is stuck",
    fix="look for /ws/ in the API's log; ask Redis whether anybody listens (`PUBSUB CHANNELS`)",
    follows=("smoke.websocket.upgrades_through_the_proxy", "bot.smoke.health.reaches[*]"),
)
def test_first_message_is_a_heartbeat(seen: Evidence) -> None:
    message = _message(seen)
    expect(message.get("type") == "HEARTBEAT", "type HEARTBEAT", shown(message))
    complete = {"type", "ts", "data"} <= message.keys()
    expect(complete, "a message with type, ts and data", shown(message))


def _message(seen: Evidence) -> dict[str, Any]:
    found = seen[SOCKET]
    if not found.messages:
        fail("a first message", f"none within {found.seconds:.1f} s")
    try:
        message = json.loads(found.messages[0])
    except ValueError:
        message = None
    if not isinstance(message, dict):
        fail("a JSON object", found.messages[0][:200])
    return message
