"""The evidence of this stage, each gathered once: a visit, buttons pressed, a restart."""

from collections.abc import Iterator

import pytest

from tests.operator import Operator
from tests.ui.browser import Browser
from tests.ui.visit import Visit, visit


@pytest.fixture(scope="session")
def browser(operator: Operator) -> Iterator[Browser]:
    """A browser with one page, for the whole stage."""
    with Browser(operator.target) as made:
        yield made


@pytest.fixture(scope="session")
def visited(operator: Operator, browser: Browser) -> Visit:
    """The page as it is before anything is pressed."""
    seen = browser.do(lambda page: visit(browser, page))
    for title, data in seen.pictures.items():
        operator.picture(title, data)
    return seen
