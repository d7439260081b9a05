"""The WebSocket through the proxy is upgraded."""

from gate.checks import check, expect
from gate.evidence import Evidence, probe
from gate.wire import Conversation, Wire
from tests.smoke.probes import API


@probe(API)
async def SOCKET(wire: Wire) -> Conversation:
    """A handshake and the first message."""
    return await wire.websocket("/ws/", messages=1)


@check(
    "proxy",
    cause="the proxy does not pass Upgrade and Connection on, or has no route for /ws",
    fix="proxy_http_version 1.1 and both headers in `location /ws/`; compare with port 8000",
    follows=(f"smoke.reach.answers[{API}]", "*smoke.health.reaches[*]"),
)
def test_upgrades_through_the_proxy(seen: Evidence) -> None:
    found = seen[SOCKET]
    expect(
        found.status == 101, "status 101 Switching Protocols", f"status {found.status}", found.url
    )
