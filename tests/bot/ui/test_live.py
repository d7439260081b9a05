"""Updates: they come over the WebSocket, keep coming, and when they do not, the page says so."""

from gate import check, expect
from tests.bot.ui.page import STANDS
from tests.bot.ui.visit import LIVE_SECONDS, WATCH_SECONDS, BotVisit, gaps
from tests.ui.page import API, NEEDS, check_page


@check(
    API,
    cause="the WebSocket does not open, or says nothing when it did",
    fix="look for /ws/ in the proxy's log; 101 must be its status, and HEARTBEAT its first message",
    needs=NEEDS,
    follows=STANDS,
)
def test_becomes_live(visited: BotVisit) -> None:
    shown = visited.shown.get("live", "nothing")
    expect(visited.live, f"`live` within {LIVE_SECONDS:g} s of opening the page", repr(shown))


@check(
    API,
    cause="the WebSocket falls silent after its first message: the page goes stale unseen",
    fix="look at the API's log for the sender of events, and at Redis' pub/sub",
    needs=NEEDS,
    follows=(STANDS, "bot.ui.live.becomes_live"),
)
def test_updates_keep_coming(visited: BotVisit) -> None:
    pauses = gaps(visited.messages)
    expect(
        pauses and max(pauses) < WATCH_SECONDS,
        f"message after message, less than {WATCH_SECONDS:g} s apart",
        f"{len(pauses) + 1} messages, the longest pause {max(pauses, default=0):.1f} s"
        if visited.messages
        else "no message",
    )


@check_page(
    cause="the page does not notice that messages stopped: people trust old figures",
    fix="reload the page where figures matter, and deploy a page that times the pauses",
    follows=(STANDS, "bot.ui.live.becomes_live"),
)
def test_silence_is_shown(visited: BotVisit) -> None:
    expect(
        visited.silent not in ("live", "nothing", ""),
        "something other than `live` once its WebSocket has fallen silent",
        repr(visited.silent),
    )
