"""Visits a page: opens it, lets its scripts do their work, holds it like a phone."""

from dataclasses import dataclass, field

from playwright.sync_api import Page, ViewportSize

from tests.ui.browser import DESKTOP, Browser, PageLog
from tests.ui.looking import WIDTHS, open_page, photograph

SETTLE_MS = 5_000.0
"""For what a page asks for once it is open, and asks for again."""
PHONE: ViewportSize = {"width": 360, "height": 740}


@dataclass
class Visit:
    """What was seen; `pictures` by title."""

    arrived: str = "nothing"
    """The status that `/` answered, or why there was none."""
    widths: tuple[int, int] = (0, 0)
    """On a phone: of what there is to see, and of the window, in pixels."""
    page_log: PageLog = field(default_factory=PageLog)
    """All that happened until the end of the visit."""
    pictures: dict[str, bytes] = field(default_factory=dict)


def visit(browser: Browser, page: Page) -> Visit:
    """Open the page, let it settle, hold it like a phone."""
    seen = Visit(open_page(page, "/"))
    page.wait_for_timeout(SETTLE_MS)
    photograph(seen.pictures, "page on a desktop", page)
    hold_like_a_phone(page, seen)
    seen.page_log = browser.page_log.copy()
    return seen


def hold_like_a_phone(page: Page, seen: Visit) -> None:
    """Look at the page in the window of a phone."""
    page.set_viewport_size(PHONE)
    width, window = page.evaluate(WIDTHS)
    seen.widths = (width, window)
    photograph(seen.pictures, "page on a phone", page)
    page.set_viewport_size(DESKTOP)
