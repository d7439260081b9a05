"""The WebSocket through the proxy: upgrade and first message."""

import json
from typing import Any

from gate.checks import check, expect, fail
from gate.evidence import Evidence, probe
from gate.wire import Conversation, Wire
from tests.smoke.probes import API, shown


@probe(API)
async def SOCKET(wire: Wire) -> Conversation:
    """A handshake and the first message."""
    return await wire.websocket("/ws/", messages=1)


@check(
    "proxy",
    cause="the proxy does not pass Upgrade and Connection on, or has no route for /ws",
    fix="proxy_http_version 1.1 and both headers in `location /ws/`; compare with port 8000",
    follows=("smoke.reach.answers[breakout-bot-api]", "smoke.health.reaches[*]"),
)
def test_upgrades_through_the_proxy(seen: Evidence) -> None:
    found = seen[SOCKET]
    expect(
        found.status == 101, "status 101 Switching Protocols", f"status {found.status}", found.url
    )


@check(
    API,
    cause="the API accepts the socket and then sends nothing: its event hub is stuck",
    fix="look for the hub in the API's log; check its subscription in Redis",
    follows=("smoke.websocket.upgrades_through_the_proxy", "smoke.health.reaches[*]"),
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
