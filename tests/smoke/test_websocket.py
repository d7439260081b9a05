"""The WebSocket through the proxy is upgraded."""

from gate import Evidence, check, expect
from tests.smoke.probes import API, SOCKET


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
