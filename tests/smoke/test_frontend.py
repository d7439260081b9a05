"""The page: all of it is there, fresh where it must be, and nothing else is served."""

import asyncio
import re
from dataclasses import dataclass

import pytest

from gate import Evidence, check, expect, get, probe
from gate.wire import Answer, Wire
from tests.smoke.probes import FRONTEND, PAGE, ok

REFERENCE = re.compile(r"""<(?:script|link|img)\b[^>]*?\s(?:src|href)=["']?([^"'\s>]+)""", re.I)
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
    expect(
        answer.status in (403, 404), "403 or 404", f"{answer.status} {answer.content_type}", path
    )


@check(
    FRONTEND,
    cause="the page was built with source maps",
    fix="build it without source maps, and answer 404 for *.map",
    follows="smoke.frontend.every_asset_is_there",
)
def test_serves_no_source_maps(seen: Evidence) -> None:
    served = [path for path, answer in seen[ASSETS].maps.items() if answer.status == 200]
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
