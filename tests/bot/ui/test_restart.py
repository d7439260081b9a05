"""A restart of the API: the page says that it is away, keeps its figures, and comes back itself."""

from functools import partial

from gate import check, expect
from gate.operator import API
from tests.bot.ui.page import WORKS
from tests.bot.ui.restart import BACK_SECONDS, Restart
from tests.ui.page import FRONTEND

NEEDS = ("disposable", "stack", "proxy", API, FRONTEND)
check_page = partial(check, FRONTEND, needs=NEEDS)
LIVE = "bot.ui.live.becomes_live"
BACK = "bot.ui.restart.page_comes_back_by_itself"


@check_page(
    cause="the page does not notice that the API is gone: people trust old figures",
    fix="let the page show when its WebSocket is closed and its requests fail",
    follows=(*WORKS, LIVE),
)
def test_page_says_that_the_api_is_away(restarted: Restart) -> None:
    shown = restarted.away.get("live", "nothing")
    expect(shown.startswith("offline"), "`offline` while the API restarts", repr(shown))
    health = restarted.away.get("health", "nothing").partition("\n")[0]
    expect("not answer" in health, "a page that claims no health meanwhile", repr(health))


@check_page(
    cause="the page forgets what it knew when a request fails",
    fix="keep the last answer of each operation and mark it as old",
    follows=(*WORKS, LIVE, "bot.ui.restart.page_says_that_the_api_is_away"),
)
def test_figures_stay_while_the_api_is_away(restarted: Restart) -> None:
    parts = ("engine-state", "mode", "api-version")
    before, away = (
        {part: seen.get(part) for part in parts} for seen in (restarted.before, restarted.away)
    )
    expect(away == before, f"still {before}", away)


@check_page(
    cause="the page does not reconnect, or only after too long a pause",
    fix="reload the page; look for /ws/ in the proxy's log after the API's start",
    follows=(*WORKS, LIVE),
)
def test_page_comes_back_by_itself(restarted: Restart) -> None:
    live = restarted.back.get("live", "nothing")
    expect(live == "live", f"`live` within {BACK_SECONDS:g} s of the API's return", repr(live))
    expect(
        restarted.open_since != "reloaded",
        "the same page as before the restart",
        "a page that was loaded again",
    )


@check_page(
    cause="after the reconnect the page shows what it knew before",
    fix="ask for everything anew once the WebSocket is open again",
    follows=(*WORKS, LIVE, BACK),
)
def test_page_shows_the_api_as_healthy_again(restarted: Restart) -> None:
    shown = restarted.back.get("health", "nothing")
    expect(shown.startswith("Healthy"), "`Healthy` after the restart", repr(shown))
