"""The evidence of this stage, each gathered once: a visit, buttons pressed, a restart."""

import pytest

from gate import Operator, expect
from tests.bot.ui.page_driver import PageDriver
from tests.bot.ui.restart import Restart, restart
from tests.bot.ui.session import Session, session
from tests.bot.ui.visit import BotVisit, visit
from tests.ui.browser import Browser
from tests.ui.fixtures import keep


@pytest.fixture(scope="session")
def visited(operator: Operator, browser: Browser) -> BotVisit:
    """The page as it is before anything is pressed."""
    seen = browser.do(lambda page: visit(browser, page))
    keep(operator, seen.pictures)
    return seen


@pytest.fixture(scope="session")
def pressed(operator: Operator, browser: Browser, visited: BotVisit) -> Session:
    """Every button pressed, once the page has been looked at and there is something to press."""
    expect(
        visited.live and visited.shown.get("engine-state"),
        "a live page to press buttons on",
        f"live: {visited.shown.get('live', 'no page')}",
    )
    seen = session(PageDriver(operator, browser))
    keep(operator, seen.pictures)
    return seen


@pytest.fixture(scope="session")
def restarted(operator: Operator, browser: Browser, pressed: Session) -> Restart:
    """The API restarted under the open page, after all else."""
    assert pressed is not None
    seen = restart(operator, browser)
    keep(operator, seen.pictures)
    return seen
