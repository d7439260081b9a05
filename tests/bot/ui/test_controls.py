"""The controls: each button does what it says, seen at the API and at the exchange."""

import json
from functools import partial

import pytest

from gate import Operator, check, expect
from gate.operator import API
from tests.bot.ui.page import WORKS
from tests.bot.ui.page_driver import PRESSED, SHOWN_SECONDS
from tests.bot.ui.session import PRESET, RISEN, TRADE_SECONDS, Session
from tests.ui.page import FRONTEND

NEEDS = ("disposable", "proxy", API, FRONTEND, "direct:exchange")
check_page = partial(check, FRONTEND, needs=NEEDS)
START = "bot.ui.controls.button_does_what_it_says[start]"
SHOWN = (*WORKS, "bot.ui.live.becomes_live", "bot.ui.live.updates_keep_coming")
"""What a button does is seen on the page by what the WebSocket tells it."""
TRADES = "bot.ui.controls.start_makes_it_trade"


@pytest.mark.parametrize("command", list(PRESSED))
@check_page(
    cause="the button sends another command or none, or the page says what did not happen",
    fix="press {command} with the browser's network view open; the request must be"
    " POST /api/engine/{command} with the key in its header",
    follows=(*SHOWN, START),
)
def test_button_does_what_it_says(pressed: Session, command: str) -> None:
    done, (before, after) = pressed.presses[command], PRESSED[command]
    expect(not done.trouble, f"{command} to be pressed while {before}", done.trouble)
    expect(done.state == after, f"state {after} at the API after {command}", done.state, done.said)
    expect(done.shown == after, f"{after} on the page after {command}", done.shown, done.said)
    expect(done.said.startswith("Done:"), "the page to say that it is done", repr(done.said))


@pytest.mark.parametrize(
    ("state", "command"),
    [("IDLE", "start"), ("RUNNING", "pause"), ("PAUSED", "resume"), ("EMERGENCY", "reset")],
)
@check_page(
    cause="the page does not follow the state, or has a table of its own that is wrong",
    fix="compare the buttons in {state} with GET /api/engine/commands",
    follows=SHOWN,
)
def test_offers_what_the_state_allows(pressed: Session, state: str, command: str) -> None:
    done = pressed.presses[command]
    wrong = {name: on for name, on in done.offered.items() if on != done.allowed.get(name)}
    expect(
        done.offered and not wrong,
        f"in {state} the buttons that the API allows: {_on(done.allowed)}",
        _on(done.offered),
    )


def _on(commands: dict[str, bool]) -> str:
    return ", ".join(sorted(name for name, on in commands.items() if on)) or "none"


@check_page(
    cause="the page hides that the API refused the key, or the API takes any key",
    fix="type a wrong key and press a button: the API must answer 403 and the page must say so",
    follows=SHOWN,
)
def test_wrong_key_changes_nothing_and_is_said(pressed: Session) -> None:
    done = pressed.wrong_key
    expect(done.state == "IDLE", "state IDLE after a start with a wrong key", done.state)
    said = done.said.startswith("Not done:") and "key" in done.said
    expect(said, "the page to say that the key was refused", repr(done.said), done.trouble)


@check_page(
    cause="the page puts the key where others read it: proxy logs, history, a shared browser",
    fix="send the key in the X-API-Key header alone, and keep it in sessionStorage",
    follows=SHOWN,
)
def test_key_is_in_no_address_and_not_kept(operator: Operator, pressed: Session) -> None:
    key = operator.credentials.api_key or ""
    found = [url.partition("?")[0] for url in pressed.addresses if key in url]
    expect(not found, "no address with the key in it", found[:3])
    expect(key not in pressed.stored, "no key in localStorage or a cookie", "the key")


@check_page(
    cause="the preset chosen on the page is not sent along with start",
    fix='look at the body of POST /api/engine/start: {{"preset": …}}',
    follows=(*SHOWN, START),
)
def test_starts_with_the_chosen_preset(pressed: Session) -> None:
    expect(pressed.preset == PRESET, f"the engine on preset {PRESET}", pressed.preset)


@check(
    API,
    cause="the engine runs by its own word and trades nothing: no lease, no prices, no loop",
    fix="look at GET /api/engine/status (leaseHeld, trading) and at the API's log",
    needs=NEEDS,
    follows=(*SHOWN, START),
)
def test_start_makes_it_trade(pressed: Session) -> None:
    expect(
        pressed.bought,
        f"an order to buy in the exchange's log within {TRADE_SECONDS:g} s of a breakout",
        "none",
    )


@pytest.mark.parametrize("part", ["positions", "orders"])
@check_page(
    cause="the page does not ask again when the API says over the WebSocket that {part} changed",
    fix="look at the page's requests after ORDER_UPDATE and POSITION_UPDATE",
    follows=(*SHOWN, TRADES),
)
def test_shows_what_is_traded(pressed: Session, part: str) -> None:
    text = getattr(pressed, part)
    symbols = {one["symbol"] for one in pressed.bought}
    shown = {symbol for symbol in symbols if symbol in text}
    expect(
        shown and RISEN in shown,
        f"{RISEN} under {part}, which the exchange holds",
        " ".join(text.split()) or "nothing",
        json.dumps(pressed.bought),
    )


@check_page(
    cause="what another client does shows on the page with its next poll only, or never",
    fix="look for ENGINE_UPDATE among the WebSocket's messages, and what the page does with it",
    follows=SHOWN,
)
def test_follows_what_others_do(pressed: Session) -> None:
    expect(
        pressed.followed,
        f"PAUSED on the page within {SHOWN_SECONDS:g} s of a pause by another client",
        "another state",
    )


@check_page(
    cause="the page waits for one command before it lets another through, whichever it is",
    fix="stop by curl (runbook emergency-stop) while a command waits, until the page is mended",
    follows=(*SHOWN, START),
)
def test_emergency_stop_waits_for_no_other_command(pressed: Session) -> None:
    seen = pressed.blocked
    expect(not seen, "an emergency stop that can be pressed while a stop has no answer", seen)


@check_page(
    cause="the emergency stop acts at the first touch, or the question says nothing",
    fix="ask in a dialog that says what will happen, before anything is sent",
    follows=(*SHOWN, START),
)
def test_emergency_stop_asks_first(pressed: Session) -> None:
    expect(pressed.question, "a dialog", "none", pressed.after_cancel.trouble)
    expect(
        "position" in pressed.question and "order" in pressed.question,
        "a question that says what happens to orders and positions",
        repr(pressed.question),
    )


@check_page(
    cause="Cancel stops all the same: people learn not to trust it",
    fix="send nothing until the question is answered with yes",
    follows=(*SHOWN, START, "bot.ui.controls.emergency_stop_asks_first"),
)
def test_cancel_does_nothing(pressed: Session) -> None:
    done = pressed.after_cancel
    expect(not done.trouble, "the question to go away with Cancel", done.trouble)
    expect(not pressed.sent, "nothing sent to the API", ", ".join(pressed.sent))
    expect(done.state == "RUNNING", "state RUNNING after Cancel", done.state)


@check(
    API,
    cause="the emergency stop answers success and leaves orders or positions at the exchange",
    fix="close them by hand at the exchange now; then look at the API's log of the liquidation",
    needs=NEEDS,
    follows=(*SHOWN, "bot.ui.controls.button_does_what_it_says[emergency-stop]"),
)
def test_emergency_stop_leaves_nothing_open(pressed: Session) -> None:
    left = pressed.left
    expect(not left, "no open order and no position of the bot", f"{len(left)}", json.dumps(left))


@check_page(
    cause="the page goes on showing positions that are closed",
    fix="look at the page's requests after POSITION_UPDATE",
    follows=(*SHOWN, "bot.ui.controls.emergency_stop_leaves_nothing_open", TRADES),
)
def test_shows_that_nothing_is_open(pressed: Session) -> None:
    text = " ".join(pressed.emptied.split())
    expect("No open position" in text, "no open position on the page", text or "nothing")
