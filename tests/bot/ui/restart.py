"""A restart of the API, lived through by a page that stays open."""

from dataclasses import dataclass, field

from playwright.sync_api import Page

from gate import Operator
from gate.operator import API
from tests.ui.browser import Browser
from tests.ui.looking import comes_to_show, photograph, shown

AWAY_SECONDS = 20.0
NOTICED_SECONDS = 3.0
BACK_SECONDS = 15.0
MARK = "() => { window.openSince = window.openSince ?? 'before the restart'; }"
MARKED = "() => window.openSince ?? 'reloaded'"


@dataclass
class Restart:
    """What the page showed."""

    before: dict[str, str] = field(default_factory=dict)
    away: dict[str, str] = field(default_factory=dict)
    """While the API was away."""
    back: dict[str, str] = field(default_factory=dict)
    """Once it was back, or when the wait for that was over."""
    open_since: str = ""
    pictures: dict[str, bytes] = field(default_factory=dict)


def restart(operator: Operator, browser: Browser) -> Restart:
    """Stop the API's container under an open page, and start it once the page has been looked at.

    A restart in one is over in a second: a page on a busy machine would be asked too late.
    """
    seen = Restart(before=browser.do(_mark))
    operator.docker("stop", "--time", "10", operator.container(API))
    try:
        browser.do(lambda page: _away(page, seen))
    finally:  # the checks after this one need it
        operator.docker("start", operator.container(API))
    operator.ready()
    seen.back = browser.do(_back)
    seen.open_since = browser.do(lambda page: str(page.evaluate(MARKED)))
    return seen


def _mark(page: Page) -> dict[str, str]:
    page.evaluate(MARK)
    return shown(page)


def _away(page: Page, seen: Restart) -> None:
    comes_to_show(page, "live", "offline.*", AWAY_SECONDS)
    comes_to_show(page, "health", "(?!Healthy|Degraded).+", NOTICED_SECONDS)
    seen.away = shown(page)
    photograph(seen.pictures, "while the API is away", page)


def _back(page: Page) -> dict[str, str]:
    comes_to_show(page, "live", "live", BACK_SECONDS)
    comes_to_show(page, "health", "Healthy", BACK_SECONDS / 2)
    return shown(page)
