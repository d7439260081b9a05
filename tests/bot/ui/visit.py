"""One visit: what the page shows and does before anyone presses anything."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from playwright.sync_api import Page, WebSocketRoute

from tests.ui.browser import Browser, PageLog
from tests.ui.looking import attempt, comes_to_show, open_page, photograph, shown
from tests.ui.visit import Visit, hold_like_a_phone

LIVE_SECONDS = 5.0
WATCH_SECONDS = 4.5
"""Longer than the API ever pauses: it sends a heartbeat every 3 s."""
ENOUGH_MESSAGES = 5
SILENCE_SECONDS = 8.0
POLL_SECONDS = 6.0
"""The page asks for everything anew every 5 s."""
KNOWN = "(?!unknown).+"
INNER = "/positions"


@dataclass
class BotVisit(Visit):
    """What was seen of the bot's page besides."""

    live: bool = False
    shown: dict[str, str] = field(default_factory=dict)
    deep: dict[str, str] = field(default_factory=dict)
    """What a reload of an inner address shows."""
    silent: str = ""
    """What the page calls a WebSocket that fell silent."""
    messages: list[tuple[float, str]] = field(default_factory=list)
    """What came over the WebSocket while the page was watched, and when (monotonic seconds)."""


def visit(browser: Browser, page: Page) -> BotVisit:
    """Open the page, watch it, open an inner address, hold it like a phone."""
    seen = BotVisit()
    deaf, was_live = _deafened(browser)
    _open(page, seen)
    if seen.live:
        _watch(page, browser.page_log)
    seen.shown = shown(page)
    seen.messages = list(browser.page_log.messages)
    photograph(seen.pictures, "page on a desktop", page)
    if seen.arrived == "200":
        _go_deep(page, seen)
    hold_like_a_phone(page, seen)
    seen.silent = _what_it_calls_silence(deaf, was_live)
    seen.page_log = browser.page_log.copy()
    return seen


def _open(page: Page, seen: BotVisit) -> None:
    seen.arrived = open_page(page, "/")
    if seen.arrived == "200":
        seen.live = comes_to_show(page, "live", "live", LIVE_SECONDS)
        comes_to_show(page, "api-version", KNOWN, POLL_SECONDS)


def _watch(page: Page, page_log: PageLog) -> None:
    """Wait for messages to keep coming."""
    deadline = time.monotonic() + WATCH_SECONDS
    while time.monotonic() < deadline and len(page_log.messages) < ENOUGH_MESSAGES:
        page.wait_for_timeout(100)


def _go_deep(page: Page, seen: BotVisit) -> None:
    open_page(page, INNER)
    attempt(page.reload)
    if seen.live:
        comes_to_show(page, "live", "live", LIVE_SECONDS)
        comes_to_show(page, "engine-state", KNOWN, LIVE_SECONDS)
    seen.deep = shown(page)


def _deafened(browser: Browser) -> tuple[Page, bool]:
    """A second page whose WebSocket gets the first message only, and whether it was live then."""
    page = browser.page(PageLog())
    page.route_web_socket("**/*", _first_message_only)
    arrived = open_page(page, "/") == "200"
    return page, arrived and comes_to_show(page, "live", "live", LIVE_SECONDS)


def _first_message_only(socket: WebSocketRoute) -> None:
    server = socket.connect_to_server()
    heard: list[str | bytes] = []

    def pass_on(message: str | bytes) -> None:
        heard.append(message)
        if len(heard) == 1:
            socket.send(message)

    server.on_message(pass_on)


def _what_it_calls_silence(page: Page, was_live: bool) -> str:
    called = shown(page).get("live", "nothing") if was_live else "nothing"
    if called == "live" and comes_to_show(page, "live", "(?!live$).+", SILENCE_SECONDS):
        called = shown(page).get("live", "nothing")
    page.context.close()
    return called


def gaps(messages: Iterable[tuple[float, str]]) -> list[float]:
    """Seconds between one message and the next."""
    times = [at for at, _ in messages]
    return [later - earlier for earlier, later in pairwise(times)]
