"""Drives the page: a button is pressed there, and its effect is looked for everywhere."""

from contextlib import suppress
from dataclasses import dataclass, field

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Locator, Page

from contracts.states import COMMANDS, TABLE, way
from gate import CheckFailed, Operator
from tests.bot.api import Engine
from tests.ui.browser import Browser
from tests.ui.looking import attempt, comes_to_show, shown

BEGINS = ("RUNNING", "IDLE", "PAUSED", "EMERGENCY")
"""A command is pressed in the first of these states that allows it."""
PRESSED = {
    command: next((state, TABLE[state][command]) for state in BEGINS if command in TABLE[state])
    for command in COMMANDS
}
"""command → the state it is pressed in, and the state it leads to."""
BUTTONS = """() => Object.fromEntries(
    [...document.querySelectorAll("#controls .buttons button")]
        .filter((one) => !one.closest("dialog"))
        .map((one) => [one.innerText.toLowerCase().replaceAll(" ", "-"), !one.disabled]))"""
POLLED, POLL_MS = "**/api/health", 6_000.0
EFFECT_SECONDS = 4.0
SHOWN_SECONDS = 2.5
"""Less than the 5 s after which the page asks by itself: what is shown so soon after a poll was
pushed to it."""


@dataclass
class Press:
    """One button pressed, and what came of it."""

    allowed: dict[str, bool] = field(default_factory=dict)
    """Before it: each command, and whether the API allowed it."""
    offered: dict[str, bool] = field(default_factory=dict)
    """Before it: each command, and whether its button could be pressed."""
    trouble: str = ""
    """Why it could not be pressed."""
    said: str = ""
    """What the page said came of it."""
    state: str = "nothing"
    """The engine's state afterwards, by the API."""
    shown: str = "nothing"
    """The state that the page shows afterwards."""


class PageDriver:
    """An operator with a browser."""

    def __init__(self, operator: Operator, browser: Browser) -> None:
        self.operator = operator
        self.engine = Engine(operator)
        self.browser = browser

    def reach(self, state: str) -> None:
        """Bring the engine to a state, past the page, and wait for the page to show it."""
        for command in way(self.engine.state(), state):
            self.engine.command(command)
        self.shows_state(state)

    def shows_state(self, state: str) -> bool:
        """Whether the page shows this state in time."""
        return self.browser.do(
            lambda page: comes_to_show(page, "engine-state", state, SHOWN_SECONDS)
        )

    def press(self, command: str) -> Press:
        """Press a command's button in the state it is meant for."""
        before, after = PRESSED[command]
        self.reach(before)
        done = Press(allowed=self.allowed())
        done.offered = self.browser.do(lambda page: offered(page, done.allowed))
        done.trouble = self.browser.do(lambda page: press(page, command))
        self.look(done, after)
        return done

    def look(self, done: Press, state: str) -> None:
        """Wait for a state, and keep what is to be seen then."""
        with suppress(CheckFailed):
            self.operator.until(
                self.engine.state, EFFECT_SECONDS, f"state {state}", lambda now: now == state
            )
        done.state = self.engine.state()
        self.shows_state(done.state)
        texts = self.browser.do(shown)
        done.shown, done.said = texts.get("engine-state", "nothing"), texts.get("outcome", "")

    def allowed(self) -> dict[str, bool]:
        """Each command, and whether the API allows it now."""
        said = self.operator.json("/api/engine/commands")["commands"]
        return {one["name"]: one["allowed"] for one in said if one["name"] in COMMANDS}


def after_a_poll(page: Page) -> None:
    """Wait until the page has just asked by itself: it will not soon do so again."""
    with suppress(BrowserError), page.expect_request(POLLED, timeout=POLL_MS):
        pass


def button(page: Page, label: str) -> Locator:
    """A button by what is written on it."""
    return page.get_by_role("button", name=label, exact=True)


def use_key(page: Page, key: str) -> None:
    """Type a key as an operator does."""
    page.get_by_label("API key").fill(key)
    button(page, "Use key").click()


def offered(page: Page, allowed: dict[str, bool]) -> dict[str, bool]:
    """Each command, and whether its button can be pressed; waits for it to be as allowed."""
    found: dict[str, bool] = {}
    for _ in range(int(SHOWN_SECONDS * 10)):
        found = dict(page.evaluate(BUTTONS))
        if found == allowed:
            break
        page.wait_for_timeout(100)
    return found


def press(page: Page, command: str) -> str:
    """Press a command's button, and confirm where the page asks; returns what stood in the way."""
    return attempt(lambda: _press(page, command))


def _press(page: Page, command: str) -> None:
    button(page, command.replace("-", " ").capitalize()).click()
    if command == "emergency-stop":
        button(page, "Stop everything").click()
    answered(page)


def answered(page: Page) -> None:
    """Wait until the page says what came of a command. Raises `BrowserError` where it does not."""
    page.locator('[data-testid="outcome"]:not(:empty)').wait_for(timeout=EFFECT_SECONDS * 1000)
