"""What is served is judged by its content: a catch-all leaks nothing, and hides no leak."""

import httpx
import pytest

from gate.checks import CheckFailed
from gate.evidence import Evidence
from gate.target import Target
from gate.wire import Answer
from tests.smoke import probes, test_frontend, test_headers

URL = "https://bot.test"
PAGE = """<!doctype html><html><head><meta name="nonce" content="{nonce}">
<link rel="canonical" href="{url}"><script src="/assets/app-1.js"></script></head></html>"""
ENV = "API_KEY=abc\nREDIS_PASSWORD=def\n"
FILES = {
    "/.env": ENV,
    "/.git/config": "[core]\n\trepositoryformatversion = 0\n",
    "/.git/HEAD": "ref: refs/heads/main\n",
    "/docker-compose.yml": "name: bot\nservices:\n  api:\n",
    "/assets/.env": ENV,
}


def answer(path: str, text: str, status: int = 200, kind: str = "text/html") -> Answer:
    return Answer(URL + path, status, httpx.Headers({"content-type": kind}), text.encode(), 0.1)


def page(path: str, nonce: str = "n") -> Answer:
    """The page as a server gives it under a path: with a nonce, and its own address in it."""
    return answer(path, PAGE.format(nonce=nonce, url=path))


def catch_all(**served: Answer) -> Evidence:
    """What is seen of a server that gives the page for every path, but those of `served`."""
    answers: dict[object, object] = {
        probes.PAGE: page("/", "first"),
        test_frontend.UNKNOWN: page("/.no-such-file-0123abcd", "second"),
        test_frontend.UNKNOWN_ASSET: page("/assets/no-such-asset-0123abcd.js", "third"),
    }
    for number, (path, probe) in enumerate(test_frontend.FORBIDDEN_PROBES.items()):
        answers[probe] = served.get(path) or page(path, str(number))
    assets = {"/assets/app-1.js": answer("/assets/app-1.js", "let a=1", kind="text/javascript")}
    maps = {"/assets/app-1.js.map": served.get("map") or page("/assets/app-1.js.map")}
    answers[test_frontend.ASSETS] = test_frontend.Assets(assets, maps)
    return Evidence(Target("t", "live", {"proxy": URL}), answers)  # type: ignore[arg-type]


def found(seen: Evidence) -> list[str]:
    """The checks of this kind that fail."""
    failed = []
    for path in test_frontend.FORBIDDEN:
        try:
            test_frontend.test_serves_nothing_private(seen, path)
        except CheckFailed:
            failed.append(path)
    for check in (
        test_frontend.test_serves_no_source_maps,
        test_frontend.test_unknown_asset_is_404,
    ):
        try:
            check(seen)
        except CheckFailed:
            failed.append(check.__name__)
    return failed


def test_a_catch_all_is_one_finding_and_no_leak() -> None:
    assert found(catch_all()) == ["test_unknown_asset_is_404"]


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "text/html"])
@pytest.mark.parametrize("path", FILES)
def test_a_leak_behind_a_catch_all_is_found(path: str, kind: str) -> None:
    seen = catch_all(**{path: answer(path, FILES[path], kind=kind)})
    assert found(seen) == [path, "test_unknown_asset_is_404"]


def test_what_every_dotfile_leaks_is_a_leak() -> None:
    seen = catch_all(**{"/.env": answer("/.env", "DB_PASSWORD=x")})
    seen.answers[test_frontend.UNKNOWN] = answer("/.no-such-file-0123abcd", "DB_PASSWORD=x")
    assert "/.env" in found(seen)


def test_a_leak_that_is_shown_in_a_page_is_found() -> None:
    shown = answer("/.env", f"<html><body><pre>\n{ENV}</pre></body></html>")
    assert found(catch_all(**{"/.env": shown})) == ["/.env", "test_unknown_asset_is_404"]


def test_a_server_that_says_the_same_json_to_every_path_leaks_nothing() -> None:
    seen = catch_all(
        **{path: answer(path, '{"ok": true}', kind="application/json") for path in FILES}
    )
    seen.answers[test_frontend.UNKNOWN] = answer("/.no", '{"ok": true}', kind="application/json")
    assert found(seen) == ["test_unknown_asset_is_404"]


def test_the_page_is_known_by_its_scripts_where_others_paths_are_404() -> None:
    seen = catch_all()
    seen.answers[test_frontend.UNKNOWN] = answer("/.no", "", 404)
    assert found(seen) == ["test_unknown_asset_is_404"]


def test_a_page_of_its_own_at_a_private_path_is_no_catch_all() -> None:
    seen = catch_all(**{"/.env": answer("/.env", "<html>Index of /</html>")})
    seen.answers[test_frontend.UNKNOWN] = answer("/.no", "", 404)
    assert "/.env" in found(seen)


def test_a_source_map_behind_a_catch_all_is_found() -> None:
    seen = catch_all(map=answer("/x", '{"version":3,"mappings":"AAAA"}', kind="application/json"))
    assert found(seen) == ["test_serves_no_source_maps", "test_unknown_asset_is_404"]


@pytest.mark.parametrize("status", [301, 302, 401, 403, 404, 410])
def test_who_is_refused_or_sent_away_is_given_nothing(status: int) -> None:
    assert found(catch_all(**{"/.env": answer("/.env", "", status)})) == [
        "test_unknown_asset_is_404"
    ]


@pytest.mark.parametrize(("status", "cause"), [(429, "too many requests"), (503, "nobody now")])
def test_no_answer_to_a_private_path_is_no_evidence(status: int, cause: str) -> None:
    seen = catch_all(**{"/.env": answer("/.env", "", status)})
    with pytest.raises(CheckFailed) as raised:
        test_frontend.test_serves_nothing_private(seen, "/.env")
    assert cause in str(raised.value.failure.cause)


def test_the_page_under_the_type_of_an_asset_is_no_asset() -> None:
    seen = catch_all()
    path = "/assets/app-1.js"
    fake = answer(path, PAGE.format(nonce="x", url=path), kind="text/javascript")
    seen.answers[test_frontend.ASSETS] = test_frontend.Assets({path: fake}, {})
    with pytest.raises(CheckFailed, match="seen the page"):
        test_frontend.test_assets_have_their_type(seen)


@pytest.mark.parametrize(
    ("text", "is_html"),
    [
        ("\ufeff\n<!DOCTYPE html><p>", True),
        ("<!-- a --> <!-- b -->\n<html lang=en>", True),
        ("<!-- a -->" * 5000 + "<svg>", False),
        ("<htmlx>", False),
    ],
)
def test_html_is_known_by_its_beginning(text: str, is_html: bool) -> None:
    assert (test_frontend.HTML.match(text) is not None) == is_html


@pytest.mark.parametrize("text", ["<svg xmlns='x'/>", "<?xml version='1.0'?><svg/>", "a=1", ""])
def test_an_asset_of_a_catch_all_is_itself(text: str) -> None:
    path = "/assets/icon.svg"
    seen = catch_all()
    icon = answer(path, text, kind="image/svg+xml")
    seen.answers[test_frontend.ASSETS] = test_frontend.Assets({path: icon}, {})
    test_frontend.test_assets_have_their_type(seen)
    seen.answers[test_frontend.UNKNOWN] = answer("/.no", "", 404)
    test_frontend.test_assets_have_their_type(seen)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://localhost:32768", "https://localhost"),
        ("https://localhost.test:8443", "https://localhost.test:8443"),
        ("https://my-localhost:8443", "https://my-localhost:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_a_port_belongs_to_the_origin_of_every_other_name(url: str, origin: str) -> None:
    assert test_headers.origin(url) == origin
