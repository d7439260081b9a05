"""The WebSocket through the proxy: upgrade and first messages."""

import json
from typing import Any

from compose.wire import Conversation, Wire
from tests.checks import check, expect, fail
from tests.evidence import Evidence, probe
from tests.smoke.probes import API, shown


@probe(API)
async def SOCKET(wire: Wire) -> Conversation:
    """A handshake and the first messages."""
    return await wire.websocket("/ws/", messages=2)


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
    message = _message(seen, 0)
    expect(message.get("type") == "HEARTBEAT", "type HEARTBEAT", shown(message))
    complete = {"type", "ts", "data"} <= message.keys()
    expect(complete, "a message with type, ts and data", shown(message))


@check(
    API,
    cause="engine updates do not reach the socket: publishing through Redis is broken",
    fix="PUBSUB CHANNELS in Redis; look for the subscription in the API's log",
    follows=("smoke.websocket.first_message_is_a_heartbeat", "smoke.health.reaches[*]"),
)
def test_engine_state_follows(seen: Evidence) -> None:
    message = _message(seen, 1)
    expect(message.get("type") == "ENGINE_UPDATE", "type ENGINE_UPDATE", shown(message))


def _message(seen: Evidence, number: int) -> dict[str, Any]:
    found = seen[SOCKET]
    if len(found.messages) <= number:
        fail(f"message {number + 1}", f"{len(found.messages)} within {found.seconds:.1f} s")
    try:
        message = json.loads(found.messages[number])
    except ValueError:
        message = None
    if not isinstance(message, dict):
        fail("a JSON object", found.messages[number][:200])
    return message
