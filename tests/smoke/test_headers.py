"""Headers that browsers rely on: security headers and CORS."""

from urllib.parse import urlsplit

import pytest

from gate import Evidence, check, expect, get, probe
from gate.wire import Answer, Wire
from tests.smoke.probes import API, HEALTH, ORIGIN_ELSEWHERE, PAGE

WANTED = {
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("DENY", "SAMEORIGIN"),
    "Referrer-Policy": (
        "same-origin",
        "strict-origin",
        "no-referrer",
        "strict-origin-when-cross-origin",
    ),
}
PAGES = {"/": PAGE, "/api/health": HEALTH, "/api/no-such-route": get("/api/no-such-route", API)}
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}


@probe(API)
async def OWN_PREFLIGHT(wire: Wire) -> Answer:
    """May the page, from its own origin, send a command?"""
    return await _preflight(wire, origin(wire.base("proxy")))


@probe(API)
async def FOREIGN_PREFLIGHT(wire: Wire) -> Answer:
    """May a page from elsewhere?"""
    return await _preflight(wire, ORIGIN_ELSEWHERE)


@probe(API)
async def FOREIGN_GET(wire: Wire) -> Answer:
    """A read from elsewhere."""
    return await wire.http("/api/health", headers={"origin": ORIGIN_ELSEWHERE})


async def _preflight(wire: Wire, origin: str) -> Answer:
    headers = {"origin": origin, **PREFLIGHT}
    return await wire.http("/api/engine/start", method="OPTIONS", headers=headers)


def origin(url: str) -> str:
    """The origin of a deployment's page: a port that was chosen here is not part of its name."""
    parts = urlsplit(url)
    return f"{parts.scheme}://localhost" if parts.hostname == "localhost" else url


@pytest.mark.parametrize("header", list(WANTED))
@pytest.mark.parametrize("path", list(PAGES))
@check(
    "proxy",
    cause="an add_header in a location drops those of the server, or `always` is missing",
    fix="set it once, at server level, with `always`, so that errors have it too",
)
def test_security_header_is_set(seen: Evidence, path: str, header: str) -> None:
    value = seen[PAGES[path]].headers.get(header, "")
    expect(value in WANTED[header], f"{header}: {WANTED[header][0]}", value or "no such header")


@pytest.mark.parametrize("path", ["/", "/api/health"])
@check(
    "proxy",
    cause="the policy was dropped or loosened",
    fix="Content-Security-Policy with default-src 'self' and frame-ancestors",
)
def test_content_security_policy_is_set(seen: Evidence, path: str) -> None:
    value = seen[PAGES[path]].headers.get("content-security-policy", "")
    expect("default-src 'self'" in value, "default-src 'self'", value or "no such header")


@check(
    "proxy",
    cause="server_tokens is on",
    fix="`server_tokens off;`: a version tells which attacks to try",
)
def test_server_version_is_not_told(seen: Evidence) -> None:
    value = seen[PAGE].headers.get("server", "")
    expect("/" not in value, "a Server header without a version", value)


@check(
    API,
    cause="CORS_ORIGINS does not name the origin that the page is served from",
    fix="set CORS_ORIGINS to the page's origin",
    follows="*smoke.health.reaches[*]",
)
def test_own_origin_may_send_commands(seen: Evidence) -> None:
    answer = seen[OWN_PREFLIGHT]
    own = origin(seen.target.url)
    allowed = answer.headers.get("access-control-allow-origin", "")
    expect(
        answer.status in (200, 204) and allowed == own,
        f"allow-origin {own}",
        f"{answer.status}, allow-origin {allowed or 'not set'}",
    )


@check(
    API,
    cause="CORS allows every origin, or repeats whatever it is asked with",
    fix="list the origins in CORS_ORIGINS; never `*` together with credentials",
)
def test_foreign_origin_is_refused(seen: Evidence) -> None:
    for answer in (seen[FOREIGN_PREFLIGHT], seen[FOREIGN_GET]):
        allowed = answer.headers.get("access-control-allow-origin", "")
        expect(allowed not in ("*", ORIGIN_ELSEWHERE), "no allow-origin for elsewhere", allowed)
