"""The evidence of this stage: a browser, and one visit to the page."""

from collections.abc import Iterator

import pytest

from gate import Operator
from tests.ui.browser import Browser
from tests.ui.visit import Visit, visit


@pytest.fixture(scope="session")
def browser(operator: Operator) -> Iterator[Browser]:
    """A browser with one page, for the whole stage."""
    with Browser(operator.target) as made:
        yield made


@pytest.fixture(scope="session")
def visited(operator: Operator, browser: Browser) -> Visit:
    """The page as people find it; a stack's own checks may look at more of it."""
    seen = browser.do(lambda page: visit(browser, page))
    keep(operator, seen.pictures)
    return seen


def keep(operator: Operator, pictures: dict[str, bytes]) -> None:
    """Keep pictures in the report, by title."""
    for title, data in pictures.items():
        operator.picture(title, data)
