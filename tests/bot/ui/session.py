"""A session at the controls: every button once, and what the exchange saw of it."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Error as BrowserError
from playwright.sync_api import Page, Route

from gate import CheckFailed, Operator
from tests.bot.exchange import EXCHANGE, Exchange
from tests.bot.ui.page_driver import (
    SHOWN_SECONDS,
    PageDriver,
    Press,
    after_a_poll,
    answered,
    button,
    press,
    use_key,
)
from tests.ui.looking import attempt, open_page, photograph

PRESET, LIKE = "gate-ui", "aggressive"
"""The preset chosen on the page, and the built-in one that it is made from."""
FREE = {"daily_loss_limit_r": 100, "cooldown_seconds": 0}
WRONG_KEY = "not-the-key-of-this-stack"
RISEN = "BTCUSDT"
"""The symbol whose price is made to rise, so that the engine has something to buy."""
RISE_PERCENT = 8.0
TRADE_SECONDS = 8.0
STOP = "**/api/engine/stop"
STORED = "() => JSON.stringify(localStorage) + document.cookie"


@dataclass
class Session:
    """What was seen, in the order it was done."""

    wrong_key: Press = field(default_factory=Press)
    presses: dict[str, Press] = field(default_factory=dict)
    """By command."""
    preset: str = "nothing"
    """The engine's, after the start."""
    bought: list[dict[str, Any]] = field(default_factory=list)
    """Buy orders in the exchange's log since the start."""
    positions: str = ""
    orders: str = ""
    """What the page shows of them while the exchange holds some."""
    followed: bool = False
    """Whether the page showed in time what another client did."""
    question: str = ""
    """What the page asked before the emergency stop."""
    sent: list[str] = field(default_factory=list)
    """What the page sent, reads aside, from asking to cancelling."""
    after_cancel: Press = field(default_factory=Press)
    blocked: str = "nothing"
    """What stood in the way of an emergency stop while another command had no answer yet."""
    left: list[dict[str, Any]] = field(default_factory=list)
    """The bot's open orders and positions at the exchange after the emergency stop."""
    emptied: str = ""
    """What the page then shows of positions."""
    addresses: list[str] = field(default_factory=list)
    """Every address that the page asked for."""
    stored: str = ""
    """What the page left in the browser for good."""
    pictures: dict[str, bytes] = field(default_factory=dict)


def session(driver: PageDriver) -> Session:
    """Sit down at the page, press every button, leave the engine idle."""
    seen, do = Session(), driver.browser.do
    # A preset that trades on, whatever was traded and lost on this stack just now.
    driver.engine.put_preset(PRESET, {**driver.engine.preset(LIKE), **FREE})
    do(lambda page: open_page(page, "/"))
    driver.reach("IDLE")
    _wrong_key(driver, seen)
    key = driver.operator.credentials.api_key or ""
    do(lambda page: attempt(lambda: use_key(page, key)))
    _start(driver, seen)
    _follow(driver, seen)
    for command in ("resume", "pause"):
        seen.presses[command] = driver.press(command)
    _emergency(driver, seen)
    seen.presses["reset"] = driver.press("reset")
    driver.reach("RUNNING")
    seen.blocked = do(lambda page: attempt(lambda: _stop_while_another_waits(page)))
    seen.presses["stop"] = driver.press("stop")
    seen.addresses = [*driver.browser.page_log.requests]
    seen.stored = do(lambda page: str(page.evaluate(STORED)))
    return seen


def _wrong_key(driver: PageDriver, seen: Session) -> None:
    def enter(page: Page) -> str:
        return attempt(lambda: use_key(page, WRONG_KEY)) or press(page, "start")

    seen.wrong_key.trouble = driver.browser.do(enter)
    driver.look(seen.wrong_key, "IDLE")


def _start(driver: PageDriver, seen: Session) -> None:
    operator, do = driver.operator, driver.browser.do
    exchange = Exchange(operator)
    ends = exchange.mark()
    with suppress(CheckFailed):
        _raise(operator, exchange)
    do(lambda page: attempt(lambda: page.get_by_label("Preset").select_option(PRESET)))
    seen.presses["start"] = driver.press("start")
    seen.preset = str(driver.engine.status().get("preset"))

    def bought() -> list[dict[str, Any]]:
        return [one for one in exchange.log(ends) if one.get("side") == "buy"]

    with suppress(CheckFailed):
        seen.bought = operator.until(bought, TRADE_SECONDS, "an order to buy")
    seen.positions = do(lambda page: _part(page, "positions", RISEN))
    seen.orders = do(lambda page: _part(page, "orders", RISEN))
    do(lambda page: photograph(seen.pictures, "while it trades", page))


def _raise(operator: Operator, exchange: Exchange) -> None:
    """Make a price rise, and wait for the exchange's chart to show it."""

    def price() -> float:
        return exchange.candles(RISEN, 1)[-1]["close"]

    before = price()
    exchange.drill(moves={RISEN: RISE_PERCENT})
    operator.until(price, TRADE_SECONDS, "a risen price", lambda now: now > before * 1.05)


def _part(page: Page, part: str, text: str) -> str:
    """A part of the page, once it shows a text or does not in time."""
    found = page.locator(f"#{part}")
    with suppress(BrowserError):
        found.filter(has_text=text).wait_for(timeout=SHOWN_SECONDS * 1000)
    with suppress(BrowserError):
        return found.inner_text()
    return ""


def _follow(driver: PageDriver, seen: Session) -> None:
    driver.reach("RUNNING")
    driver.browser.do(after_a_poll)
    driver.engine.command("pause")
    seen.followed = driver.shows_state("PAUSED")


def _emergency(driver: PageDriver, seen: Session) -> None:
    browser = driver.browser
    driver.reach("RUNNING")
    before = len(browser.page_log.requests)
    cancelled = seen.after_cancel
    cancelled.trouble = browser.do(lambda page: attempt(lambda: _ask_and_cancel(page, seen)))
    driver.look(cancelled, "RUNNING")
    seen.sent = [one for one in browser.page_log.requests[before:] if not one.startswith("GET ")]
    seen.presses["emergency-stop"] = driver.press("emergency-stop")
    seen.left = _of_the_bot(driver, seen)
    seen.emptied = browser.do(lambda page: _part(page, "positions", "No open position"))
    browser.do(lambda page: photograph(seen.pictures, "after the emergency stop", page))


def _stop_while_another_waits(page: Page) -> None:
    """Raises `BrowserError` where the emergency stop cannot be pressed while a stop waits."""
    waiting: list[Route] = []
    page.route(STOP, lambda route: waiting.append(route))
    try:
        with page.expect_request(STOP):
            button(page, "Stop").click()
        button(page, "Emergency stop").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    finally:
        for route in waiting:
            route.continue_()
        page.unroute(STOP)
        with suppress(BrowserError):  # until then no other button can be pressed
            answered(page)


def _ask_and_cancel(page: Page, seen: Session) -> None:
    button(page, "Emergency stop").click()
    dialog = page.get_by_role("dialog")
    seen.question = dialog.inner_text()
    photograph(seen.pictures, "emergency stop asks first", page, whole=False)
    dialog.get_by_role("button", name="Cancel").click()
    dialog.wait_for(state="hidden")


def _of_the_bot(driver: PageDriver, seen: Session) -> list[dict[str, Any]]:
    """What the exchange still holds open of whoever bought."""
    clients = {one["client_id"] for one in seen.bought}
    orders = driver.operator.json("/orders", EXCHANGE)
    held = driver.operator.json("/positions", EXCHANGE)
    is_open = [one for one in orders if one["status"] in ("open", "partially_filled")]
    return [one for one in [*is_open, *held] if one["client_id"] in clients]
