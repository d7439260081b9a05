"""The page: it loads through the proxy, works without an error, and shows what the API says."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from gate.checks import check, expect
from gate.operator import Operator
from tests.ui.browser import Browser
from tests.ui.looking import shown
from tests.ui.visit import INNER, PHONE, POLL_SECONDS, Visit

FRONTEND = "breakout-bot-frontend"
NEEDS = ("disposable", "proxy", "breakout-bot-api", FRONTEND)
POLICY_WORDS = ("Content Security Policy", "violates the following")
ADDRESSES = re.compile(r"'((?:https?|wss?)://[^']+)'")
STANDS = "ui.page.stands"
WORKS = (STANDS, "ui.page.asks_only_its_own_origin", "ui.page.policy_allows_the_page")
"""Without these nothing on the page does."""
PARTS = ("health", "live", "engine-state", "mode", "page-version", "api-version")


def refused_by_policy(errors: list[str]) -> list[str]:
    return [error for error in errors if any(words in error for words in POLICY_WORDS)]


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme.replace('ws', 'http')}://{parts.netloc}"


@check(
    "proxy",
    cause="the proxy does not pass `/` on to the page, or a browser refuses its certificate",
    fix="open the address in a browser and read what it says; look at the proxy's log",
    needs=NEEDS,
)
def test_loads_through_the_proxy(visited: Visit) -> None:
    expect(
        visited.arrived == "200",
        "status 200 over TLS for `/` in a browser",
        visited.arrived,
        component=FRONTEND if visited.arrived.startswith("5") else None,
    )


@check(
    FRONTEND,
    cause="the page was built against another API base, or loads something from elsewhere",
    fix="let the page use its own origin; look for VITE_… variables when it was built",
    needs=NEEDS,
)
def test_asks_only_its_own_origin(browser: Browser, visited: Visit) -> None:
    asked = [one.partition(" ")[2] for one in visited.diary.requests]
    # What the policy forbids never leaves the browser: only the refusal names it.
    asked += ADDRESSES.findall("\n".join(refused_by_policy(visited.diary.errors)))
    others = [url for url in asked if not url.startswith("data:") and origin(url) != browser.base]
    expect(
        not others,
        f"requests to {browser.base} alone",
        f"{len(others)} of {len(asked)} requests to {', '.join(sorted(set(map(origin, others))))}",
        "\n".join(sorted(set(others))[:10]),
    )


@check(
    "proxy",
    cause="the Content-Security-Policy does not allow what the page is made of",
    fix="compare Content-Security-Policy in compose/proxy/nginx.conf with the scripts, styles and"
    " connections that the page names",
    needs=NEEDS,
    follows="ui.page.asks_only_its_own_origin",
)
def test_policy_allows_the_page(visited: Visit) -> None:
    refused = refused_by_policy(visited.diary.errors)
    expect(
        not refused,
        "nothing of the page refused",
        refused[0] if refused else "",
        "\n".join(refused),
    )


@check(
    FRONTEND,
    cause="a file of the page is missing, or an operation of the API that it uses",
    fix="deploy page and API of one build, as a whole; look at the proxy's log for the requests",
    needs=NEEDS,
    follows=("ui.page.asks_only_its_own_origin", "ui.page.policy_allows_the_page"),
)
def test_no_request_fails(visited: Visit) -> None:
    failed = visited.diary.failed
    expect(
        not failed,
        "an answer below 400 to every request",
        failed[0] if failed else "",
        "\n".join(failed),
    )


@check(
    FRONTEND,
    cause="a script of the page throws: people see a white or a frozen page",
    fix="read the exception below; go back to the build before, or mend and build again",
    needs=NEEDS,
    follows=(
        "ui.page.asks_only_its_own_origin",
        "ui.page.policy_allows_the_page",
        "ui.page.no_request_fails",
    ),
)
def test_no_script_throws(visited: Visit) -> None:
    refused = refused_by_policy(visited.diary.errors)
    errors = [error for error in visited.diary.errors if error not in refused]
    expect(
        not errors,
        "no exception and no console error",
        errors[0] if errors else "",
        "\n".join(errors),
    )


@check(
    FRONTEND,
    cause="index.html came, the page that its script should draw did not",
    fix="open the page with the browser's console; look at the picture in the report",
    needs=NEEDS,
    follows=(
        "ui.page.loads_through_the_proxy",
        "ui.page.asks_only_its_own_origin",
        "ui.page.policy_allows_the_page",
        "ui.page.no_request_fails",
        "ui.page.no_script_throws",
    ),
)
def test_stands(visited: Visit) -> None:
    missing = [part for part in PARTS if not visited.shown.get(part)]
    expect(not missing, f"a page with {', '.join(PARTS)}", f"nothing for {', '.join(missing)}")


def build(said: dict[str, Any]) -> str:
    revision = said["revision"] if said["revision"] != "unknown" else ""
    return f"{said['version']} ({revision[:12]})" if revision else str(said["version"])


def status(said: dict[str, Any]) -> str:
    return str(said["status"]).capitalize()


def dependency(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda said: str(said["api_connectivity"][name])


WANTED: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "health": ("/api/health", status),
    "engine-state": ("/api/engine/status", lambda said: str(said["state"])),
    "mode": ("/api/engine/status", lambda said: str(said["mode"])),
    "api-version": ("/api/health", build),
    "page-version": ("/version.json", build),
    "dependency-database": ("/api/health", dependency("database")),
    "dependency-redis": ("/api/health", dependency("redis")),
    "dependency-exchange": ("/api/health", dependency("exchange")),
    "dependency-websocket": ("/api/health", dependency("websocket")),
}
"""What the page shows, and what the API says of it."""


@pytest.mark.parametrize("part", list(WANTED))
@check(
    FRONTEND,
    cause="the page reads another name than the API writes, or shows something of its own",
    fix="compare what the page shows with the API's answer; deploy page and API of one build",
    needs=NEEDS,
    follows=(*WORKS, "ui.live.becomes_live"),
)
def test_shows_what_the_api_says(
    operator: Operator, browser: Browser, visited: Visit, part: str
) -> None:
    expect(visited.shown.get(part), f"{part} on the page", "nothing")
    path, read = WANTED[part]
    operator.until(
        lambda: (browser.do(shown).get(part, "").partition("\n")[0], read(operator.json(path))),
        POLL_SECONDS,
        f"{part} on the page to be what {path} says",
        lambda pair: pair[0] == pair[1],
    )


@check(
    FRONTEND,
    cause="page and API are of different builds: an update went half way",
    fix="deploy both of one release; the page says which it is under Versions",
    needs=NEEDS,
    follows=(*WORKS, "ui.page.shows_what_the_api_says[api-version]"),
)
def test_is_of_the_same_build_as_the_api(visited: Visit) -> None:
    warning = visited.shown.get("version-warning")
    page, api = (visited.shown.get(part, "unknown") for part in ("page-version", "api-version"))
    expect(
        page == api and page != "unknown",
        f"page {page} and API of one build",
        f"API {api}",
        warning or "",
    )


@check(
    FRONTEND,
    cause="inner addresses are not served as the page, or the page asks for its files beside them",
    fix="`try_files $uri /index.html;` for paths of the page, and assets named from the root",
    needs=NEEDS,
    follows=STANDS,
)
def test_survives_a_reload_at_an_inner_address(visited: Visit) -> None:
    live, state = (visited.deep.get(part, "nothing") for part in ("live", "engine-state"))
    expect(
        live == "live" and state == visited.shown.get("engine-state"),
        f"the page, live, after a reload at {INNER}",
        f"live: {live}, state: {state}",
    )


@check(
    FRONTEND,
    cause="something on the page is wider than a phone",
    fix="look at the picture of the phone in the report; let it wrap, or scroll in itself",
    needs=NEEDS,
    follows=STANDS,
)
def test_fits_a_phone(visited: Visit) -> None:
    width, window = visited.widths
    expect(0 < width <= window, f"nothing wider than {PHONE['width']} pixels", f"{width} pixels")
