"""Looking at a page: what it shows, and whether it comes to show something in time."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Page, Response

SHOWN = """() => Object.fromEntries([...document.querySelectorAll("[data-testid]")].map(
    (one) => [one.dataset.testid, one.innerText.trim()]))"""
WIDTHS = "() => [document.documentElement.scrollWidth, window.innerWidth]"
JPEG_QUALITY = 60
PICTURE_BYTES = 150_000
PICTURE_MS = 5_000.0


def attempt(work: Callable[[], Any]) -> str:
    """Do something to a page; returns why that could not be done, or nothing."""
    try:
        work()
    except BrowserError as error:
        return str(error).partition("\n")[0]
    return ""


def open_page(page: Page, path: str) -> str:
    """Open an address; returns the status that it answered, or why there was none."""
    answers: list[Response | None] = []
    problem = attempt(lambda: answers.append(page.goto(path)))
    return problem or " ".join(str(one.status) for one in answers if one)


def shown(page: Page) -> dict[str, str]:
    """Every marked text of the page, by its test id; empty where there is no page."""
    with suppress(BrowserError):
        return dict(page.evaluate(SHOWN))
    return {}


def comes_to_show(page: Page, name: str, pattern: str, within: float) -> bool:
    """Whether the marked text becomes `pattern` within so many seconds, without a reload."""
    whole = re.compile(rf"^\s*{pattern}\s*$")
    try:
        page.get_by_test_id(name).filter(has_text=whole).first.wait_for(timeout=within * 1000)
    except BrowserError:
        return False
    return True


def photograph(pictures: dict[str, bytes], title: str, page: Page, whole: bool = True) -> None:
    """Keep a picture of the page, small enough for a report; none where the browser is too slow."""
    half = JPEG_QUALITY // 2
    for quality, all_of_it in ((JPEG_QUALITY, whole), (half, whole), (half, False)):
        with suppress(BrowserError):
            data = page.screenshot(
                type="jpeg", quality=quality, full_page=all_of_it, timeout=PICTURE_MS
            )
            if len(data) <= PICTURE_BYTES:
                pictures[title] = data
                return
