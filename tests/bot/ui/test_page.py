"""The page shows what the API says, and is of its build."""

from collections.abc import Callable
from typing import Any

import pytest

from gate import Operator, expect
from tests.bot.ui.page import STANDS, WORKS
from tests.bot.ui.visit import INNER, POLL_SECONDS, BotVisit
from tests.ui.browser import Browser
from tests.ui.looking import shown
from tests.ui.page import check_page

PARTS = ("health", "live", "engine-state", "mode", "page-version", "api-version")


@check_page(
    cause="index.html came, the page that its script should draw did not",
    fix="open the page with the browser's console; look at the picture in the report",
    follows=(
        "ui.page.loads_through_the_proxy",
        "ui.page.asks_only_its_own_origin",
        "ui.page.policy_allows_the_page",
        "ui.page.no_request_fails",
        "ui.page.no_script_throws",
    ),
)
def test_stands(visited: BotVisit) -> None:
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
@check_page(
    cause="the page reads another name than the API writes, or shows something of its own",
    fix="compare what the page shows with the API's answer; deploy page and API of one build",
    follows=(*WORKS, "bot.ui.live.becomes_live"),
)
def test_shows_what_the_api_says(
    operator: Operator, browser: Browser, visited: BotVisit, part: str
) -> None:
    expect(visited.shown.get(part), f"{part} on the page", "nothing")
    path, read = WANTED[part]
    operator.until(
        lambda: (browser.do(shown).get(part, "").partition("\n")[0], read(operator.json(path))),
        POLL_SECONDS,
        f"{part} on the page to be what {path} says",
        lambda pair: pair[0] == pair[1],
    )


@check_page(
    cause="page and API are of different builds: an update went half way",
    fix="deploy both of one release; the page says which it is under Versions",
    follows=(*WORKS, "bot.ui.page.shows_what_the_api_says[api-version]"),
)
def test_is_of_the_same_build_as_the_api(visited: BotVisit) -> None:
    warning = visited.shown.get("version-warning")
    page, api = (visited.shown.get(part, "unknown") for part in ("page-version", "api-version"))
    expect(
        page == api and page != "unknown",
        f"page {page} and API of one build",
        f"API {api}",
        warning or "",
    )


@check_page(
    cause="inner addresses are not served as the page, or the page asks for its files beside them",
    fix="`try_files $uri /index.html;` for paths of the page, and assets named from the root",
    follows=STANDS,
)
def test_survives_a_reload_at_an_inner_address(visited: BotVisit) -> None:
    live, state = (visited.deep.get(part, "nothing") for part in ("live", "engine-state"))
    expect(
        live == "live" and state == visited.shown.get("engine-state"),
        f"the page, live, after a reload at {INNER}",
        f"live: {live}, state: {state}",
    )
