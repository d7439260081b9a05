"""The page: it loads through the proxy, works without an error, and fits a phone."""

import re
from urllib.parse import urlsplit

from gate import check, expect
from tests.ui.browser import Browser
from tests.ui.page import FRONTEND, NEEDS, check_page
from tests.ui.visit import PHONE, Visit

POLICY_WORDS = ("Content Security Policy", "violates the following")
ADDRESSES = re.compile(r"'((?:https?|wss?)://[^']+)'")


def refused_by_policy(errors: list[str]) -> list[str]:
    return [error for error in errors if any(words in error for words in POLICY_WORDS)]


def expect_none(found: list[str], expected: str) -> None:
    expect(not found, expected, found[0] if found else "", "\n".join(found))


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme.replace('ws', 'http')}://{parts.netloc}"


@check(
    "proxy",
    cause="the proxy does not pass `/` on to the page, or a browser refuses its certificate",
    fix="open the address in a browser and read what it says; look at the proxy's log",
    needs=NEEDS,
)
def test_loads_through_the_proxy(visited: Visit) -> None:
    expect(
        visited.arrived == "200",
        "status 200 over TLS for `/` in a browser",
        visited.arrived,
        component=FRONTEND if visited.arrived.startswith("5") else None,
    )


@check_page(
    cause="the page was built against another API base, or loads something from elsewhere",
    fix="let the page use its own origin; look for VITE_… variables when it was built",
)
def test_asks_only_its_own_origin(browser: Browser, visited: Visit) -> None:
    asked = [one.partition(" ")[2] for one in visited.page_log.requests]
    # What the policy forbids never leaves the browser: only the refusal names it.
    asked += ADDRESSES.findall("\n".join(refused_by_policy(visited.page_log.errors)))
    others = [url for url in asked if not url.startswith("data:") and origin(url) != browser.base]
    expect(
        not others,
        f"requests to {browser.base} alone",
        f"{len(others)} of {len(asked)} requests to {', '.join(sorted(set(map(origin, others))))}",
        "\n".join(sorted(set(others))[:10]),
    )


@check(
    "proxy",
    cause="the Content-Security-Policy does not allow what the page is made of",
    fix="compare Content-Security-Policy in compose/proxy/nginx.conf with the scripts, styles and"
    " connections that the page names",
    needs=NEEDS,
    follows="ui.page.asks_only_its_own_origin",
)
def test_policy_allows_the_page(visited: Visit) -> None:
    expect_none(refused_by_policy(visited.page_log.errors), "nothing of the page refused")


@check_page(
    cause="a file of the page is missing, or an operation of the API that it uses",
    fix="deploy page and API of one build, as a whole; look at the proxy's log for the requests",
    follows=("ui.page.asks_only_its_own_origin", "ui.page.policy_allows_the_page"),
)
def test_no_request_fails(visited: Visit) -> None:
    expect_none(visited.page_log.failed, "an answer below 400 to every request")


@check_page(
    cause="a script of the page throws: people see a white or a frozen page",
    fix="read the exception below; go back to the build before, or mend and build again",
    follows=(
        "ui.page.asks_only_its_own_origin",
        "ui.page.policy_allows_the_page",
        "ui.page.no_request_fails",
    ),
)
def test_no_script_throws(visited: Visit) -> None:
    refused = refused_by_policy(visited.page_log.errors)
    errors = [error for error in visited.page_log.errors if error not in refused]
    expect_none(errors, "no exception and no console error")


@check_page(
    cause="something on the page is wider than a phone",
    fix="look at the picture of the phone in the report; let it wrap, or scroll in itself",
    follows="*ui.page.stands",
)
def test_fits_a_phone(visited: Visit) -> None:
    width, window = visited.widths
    expect(0 < width <= window, f"nothing wider than {PHONE['width']} pixels", f"{width} pixels")
