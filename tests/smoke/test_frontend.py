"""The page: all of it is there, fresh where it must be, and nothing else is served."""

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from gate import Evidence, check, expect, get, probe
from gate.wire import Answer, Wire
from tests.smoke.probes import FRONTEND, PAGE, ok

REFERENCE = re.compile(r"""<(?:script|link|img)\b[^>]*?\s(?:src|href)=["']?([^"'\s>]+)""", re.I)
HTML = re.compile(
    r"[\s\ufeff]*(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype\s+html|html|head)\b", re.I | re.S
)
SCRIPT = re.compile(r"""<script\b[^>]*?\ssrc=["']?([^"'\s>]+)""", re.I)
KINDS = {
    "js": ("text/javascript", "application/javascript"),
    "css": ("text/css",),
    "svg": ("image/svg+xml",),
    "png": ("image/png",),
    "ico": ("image/x-icon", "image/vnd.microsoft.icon"),
    "json": ("application/json",),
    "woff2": ("font/woff2",),
}
BAKED_IN = re.compile(
    r"""["'`](?:https?:|wss?:)?//(?:localhost|127\.0\.0\.1|[\w.-]+:(?:8000|3000))\b"""
)
FORBIDDEN = ("/.env", "/.git/config", "/.git/HEAD", "/docker-compose.yml", "/assets/.env")
FORBIDDEN_PROBES = {path: get(path, FRONTEND) for path in FORBIDDEN}
SETTING = re.compile(r"^(?:export )?[A-Z][A-Z0-9_]{2,}=|^\[core\]|^services:\s*$|^ref: refs/", re.M)
"""A line of a private file, wherever it stands."""
REFUSED = (301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410, 451)
"""Statuses without the content of a file."""
UNKNOWN = get("/.no-such-file-0123abcd", FRONTEND)
UNKNOWN_ASSET = get("/assets/no-such-asset-0123abcd.js", FRONTEND)
DEEP_LINK = get("/positions", FRONTEND)


@dataclass(frozen=True)
class Assets:
    """What the page names, and the source maps beside it."""

    named: dict[str, Answer]
    maps: dict[str, Answer]


@probe(FRONTEND)
async def ASSETS(wire: Wire) -> Assets:
    """Every asset that index.html names, and its source map if there were one."""
    page = await wire.http("/")
    paths = sorted({_path(link) for link in REFERENCE.findall(page.text) if _ours(link)})
    maps = [f"{path}.map" for path in paths if path.endswith((".js", ".css"))]
    answers = await asyncio.gather(*(wire.http(path) for path in [*paths, *maps]))
    return Assets(
        dict(zip(paths, answers, strict=False)), dict(zip(maps, answers[len(paths) :], strict=True))
    )


def _ours(link: str) -> bool:
    return not link.startswith(("data:", "http:", "https:", "//", "#"))


def _path(link: str) -> str:
    return link if link.startswith("/") else f"/{link.removeprefix('./')}"


def is_catch_all(seen: Evidence, path: str, answer: Answer) -> bool:
    """Whether an answer is what the page's server says to every path, and so not that of `path`.

    Told by its content: such a server gives the page a good status, and often the type of the name.
    """
    is_html, is_private = HTML.match(answer.text), SETTING.search(answer.text)
    if is_private and not is_html:
        return False
    page, unknown = seen[PAGE], seen[UNKNOWN]
    known = [page, *([unknown] if unknown.status == 200 else ())]
    if _without(answer, path) in [_without(one, one.url) for one in known]:
        return True
    if is_private or not is_html:
        return False
    named, own = (set(SCRIPT.findall(one.text)) for one in (answer, page))
    every_path_is_a_page = len(known) == 2 and HTML.match(unknown.text) is not None
    return every_path_is_a_page or bool(named and named == own)


def _without(answer: Answer, path: str) -> str:
    """The text of an answer without its own address, which some pages show."""
    name = urlsplit(path).path
    return answer.text.replace(name, "") if len(name) > 1 else answer.text


@check(
    FRONTEND,
    cause="index.html and the assets come from different builds, or a file was lost",
    fix="build the page again and deploy it as a whole",
)
def test_every_asset_is_there(seen: Evidence) -> None:
    found = seen[ASSETS].named
    expect(any(path.endswith(".js") for path in found), "a page that names a script", list(found))
    missing = {path: answer.brief for path, answer in found.items() if answer.status != 200}
    why = next((one.cause for one in found.values() if one.status != 200), None)
    cause = why and why.cause
    expect(not missing, "status 200 for every asset that the page names", missing, cause=cause)


@check(
    FRONTEND,
    cause="a catch-all serves index.html for assets, or the types are not configured",
    fix="look at `include mime.types` and try_files in compose/frontend/nginx.conf",
    follows="smoke.frontend.every_asset_is_there",
)
def test_assets_have_their_type(seen: Evidence) -> None:
    for path, answer in seen[ASSETS].named.items():
        kinds = KINDS.get(path.rpartition(".")[2].partition("?")[0])
        if kinds:
            expect(answer.content_type in kinds, f"{path} as {kinds[0]}", answer.content_type)
            expect(not is_catch_all(seen, path, answer), f"{path} as {kinds[0]}", "the page")


@check(
    FRONTEND,
    cause="the page may be kept by browsers: after an update they ask for assets that are gone",
    fix="Cache-Control: no-cache for index.html",
)
def test_page_is_always_asked_for_anew(seen: Evidence) -> None:
    header = ok(seen[PAGE]).headers.get("cache-control", "")
    fresh = any(word in header for word in ("no-cache", "no-store", "max-age=0"))
    expect(fresh, "Cache-Control: no-cache", header or "no Cache-Control")


@check(
    FRONTEND,
    cause="the cache headers of /assets/ were lost",
    fix="Cache-Control: public, max-age=31536000, immutable for names with a hash",
    follows="smoke.frontend.every_asset_is_there",
)
def test_hashed_assets_are_kept(seen: Evidence) -> None:
    for path, answer in seen[ASSETS].named.items():
        if path.startswith("/assets/"):
            header = answer.headers.get("cache-control", "")
            expect(
                "max-age=" in header and "no-cache" not in header,
                "a long max-age",
                header or "no Cache-Control",
                path,
            )


@check(
    FRONTEND,
    cause="the catch-all for deep links answers for missing files too",
    fix="`try_files $uri =404;` under /assets/",
)
def test_unknown_asset_is_404(seen: Evidence) -> None:
    ok(seen[UNKNOWN_ASSET], 404)


@check(
    FRONTEND,
    cause="only / is served: a reload on an inner page fails",
    fix="`try_files $uri /index.html;` for paths of the page",
)
def test_deep_link_opens_the_page(seen: Evidence) -> None:
    answer = ok(seen[DEEP_LINK])
    expect(answer.body == seen[PAGE].body, "the page itself", answer.brief)


@pytest.mark.parametrize("path", FORBIDDEN)
@check(
    "proxy",
    cause="a folder with more than the built page is served",
    fix="serve the build's folder only and answer 404 for dotfiles; change any secret that was out",
    follows=f"smoke.reach.answers[{FRONTEND}]",
)
def test_serves_nothing_private(seen: Evidence, path: str) -> None:
    answer = seen[FORBIDDEN_PROBES[path]]
    if answer.status in REFUSED or (answer.status == 200 and is_catch_all(seen, path, answer)):
        return  # a catch-all has a check of its own: unknown_asset_is_404
    cause = answer.cause and answer.cause.cause
    told = f"{answer.status} {answer.content_type}"
    expect(False, "403 or 404, or the page as for any path", told, path, cause=cause)


@check(
    FRONTEND,
    cause="the page was built with source maps",
    fix="build it without source maps, and answer 404 for *.map",
    follows="smoke.frontend.every_asset_is_there",
)
def test_serves_no_source_maps(seen: Evidence) -> None:
    maps = seen[ASSETS].maps.items()
    served = [p for p, one in maps if one.status == 200 and not is_catch_all(seen, p, one)]
    expect(not served, "no source map", served)


@check(
    FRONTEND,
    cause="the page was built with a developer's API address",
    fix="let the page use its own origin; look for VITE_… variables at build time",
    follows="smoke.frontend.every_asset_is_there",
)
def test_no_address_is_baked_in(seen: Evidence) -> None:
    for path, answer in seen[ASSETS].named.items():
        baked = BAKED_IN.findall(answer.text) if path.endswith(".js") else []
        expect(not baked, "addresses relative to the page's own origin", baked[:3], path)
