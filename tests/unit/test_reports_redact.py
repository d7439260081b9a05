"""Secrets never reach a report; ordinary text does."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from reports.events import CheckResult, Component, Finding, Outcome, Request
from reports.redact import MARK, Redactor
from reports.stream import Stream, read
from reports.verdict import judge
from tests.unit.reports_sample import HOLD

SECRET = 'p@ss "w/rd"&é<+$1\''


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FORMS = {
    "as it is": SECRET,
    "URL-encoded": quote(SECRET, safe=""),
    "URL-encoded in lower case": quote(SECRET, safe="").replace("%2F", "%2f").replace("%3C", "%3c"),
    "URL-encoded path": quote(SECRET),
    "form-encoded": quote_plus(SECRET),
    "base64": b64(SECRET),
    "base64 without padding": b64(SECRET).rstrip("="),
    "URL-safe base64": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "basic auth": b64(f"admin:{SECRET}"),
    "basic auth of a longer name": b64(f"administrator:{SECRET}"),
    "basic auth without a name": b64(f":{SECRET}"),
    "JSON-escaped": json.dumps(SECRET)[1:-1],
    "JSON-escaped, not ASCII": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "JSON in JSON": json.dumps(json.dumps({"x": SECRET})),
    "HTML-escaped": html.escape(SECRET),
    "repr": repr(SECRET)[1:-1],
    "repr of bytes": repr(SECRET.encode())[2:-1],
    "as a word of a shell": shlex.quote(SECRET),
    "in a URL inside a URL": quote(quote(SECRET, safe=""), safe=""),
    "as Compose writes it": SECRET.replace("$", "$$"),
}


def test_a_colour_inside_a_known_secret_hides_it_not() -> None:
    assert Redactor(["hunter2-long"]).text("a hunter2\x1b[1m-long b") == f"a {MARK} b"


@pytest.mark.parametrize("form", FORMS)
def test_a_known_secret_is_redacted(form: str) -> None:
    text = f"before [{FORMS[form]}] after"
    told = Redactor([SECRET]).text(text)
    assert MARK in told
    assert FORMS[form] not in told
    assert "w/rd" not in told
    assert told.startswith("before [")
    assert told.endswith("] after")


def test_no_end_of_a_secret_inside_base64_is_left() -> None:
    for name in ("", "a", "ab", "abc", "abcd"):
        told = Redactor(["correct-horse"]).text(b64(f"{name}:correct-horse"))
        left = told.replace(MARK, "")
        decoded = base64.b64decode(left + "=" * (-len(left) % 4))
        assert b"orse" not in decoded
        assert b"corr" not in decoded


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert Redactor(["hunter2", "hunter2-and-more"]).text("x hunter2-and-more x") == f"x {MARK} x"


@pytest.mark.parametrize("secret", ["a", "1", "ok", "abc"])
def test_a_secret_of_three_characters_is_redacted_where_it_stands_alone(secret: str) -> None:
    told = Redactor([secret, ""]).text(f"AUTH {secret}: '{secret}', {secret}bc {b64(secret)}")
    assert told == f"AUTH {MARK}: '{MARK}', {secret}bc {MARK}"


@pytest.mark.parametrize(
    "secret",
    ["redis", "check", "stage", "true", "passed", "smoke", "name", "kind", "1", "200", "a"],
)
def test_a_secret_that_is_a_common_word_takes_no_name_away(secret: str, tmp_path: Path) -> None:
    plain, told = Stream(tmp_path / "plain", Redactor()), Stream(tmp_path / "r", Redactor([secret]))
    seen = Finding("PONG", f"AUTH {secret} refused", None, "start redis", f"a {secret} b")
    failed = CheckResult.unknown("smoke.redis.ping", "smoke", "1 of 200")
    failed = replace(failed, outcome=Outcome.FAILED, component="redis", finding=seen)
    requests = [Request("PING", "redis://r", "redis", 0.0, 0.0, of, None, False) for of in (200, 1)]
    component = Component("redis", "redis:8", "8", "a", "running", "true", 1, None, None)
    for event in (*HOLD, component, *requests, failed):
        plain.emit(event)
        told.emit(event)
    before, after = judge(read(tmp_path / "plain")), judge(read(tmp_path / "r"))
    for key in ("verdict", "exit_code", "stages", "checks", "components", "target", "expected"):
        assert after[key] == before[key]
    names = ("check", "title", "stage", "component", "next_step")
    for was, now in zip(before["findings"], after["findings"], strict=True):
        assert [now[key] for key in names] == [was[key] for key in names]
        for text in (now["seen"], *now["evidence"]):
            assert re.search(rf"(?<![^\W_]){secret}(?![^\W_])", text) is None


def test_a_secret_added_later_is_known_from_then_on() -> None:
    redactor = Redactor()
    redactor.add("late-secret")
    assert redactor.text("a late-secret") == f"a {MARK}"


PATTERNS = {
    "Authorization: Bearer abc.def-ghi": f"Authorization: Bearer {MARK}",
    "Authorization: Basic dXNlcjpwYXNz": f"Authorization: Basic {MARK}",
    "authorization: opaque": f"authorization: {MARK}",
    "{'Authorization': 'Bearer abc123', 'a': 1}": f"{{'Authorization': 'Bearer {MARK}', 'a': 1}}",
    'Authorization: Digest username="a", response="b"': f"Authorization: Digest {MARK}",
    "X-API-Key: s3cr3t": f"X-API-Key: {MARK}",
    "-H 'X-API-Key: s3cr3t' -v": f"-H 'X-API-Key: {MARK}' -v",
    "got password=hunter2, sorry": f"got password={MARK}, sorry",
    "GET /x?api_key=abc&y=1": f"GET /x?api_key={MARK}&y=1",
    "GATE_REDIS_PASSWORD=hunter2": f"GATE_REDIS_PASSWORD={MARK}",
    'REDIS_PASSWORD="two words" next': f"REDIS_PASSWORD={MARK} next",
    "redis://:hunter2@redis:6379/0": f"redis://:{MARK}@redis:6379/0",
    "https://me:p@ss@host/x": f"https://me:{MARK}@host/x",
    "curl with Bearer abcdef": f"curl with Bearer {MARK}",
    "Basic YWRtaW46c2VjcmV0": f"Basic {MARK}",
    '{"password": "hun\\"ter2", "b": 1}': f'{{"password": "{MARK}", "b": 1}}',
    r"{\"apiKey\": \"abc\"}": rf"{{\"apiKey\": \"{MARK}\"}}",
    "  requirepass hunter2": f"  requirepass {MARK}",
    "environment:\n  API_KEY: abc\n": f"environment:\n  API_KEY: {MARK}\n",
    "password: 'two words'": f"password: {MARK}",
    "admin_password = hunter2": f"admin_password = {MARK}",
    "start --api-key hunter2 --fast": f"start --api-key {MARK} --fast",
    "\x1b[33mpassword\x1b[0m=\x1b[35mhunter2\x1b[0m": f"password={MARK}",
    "Set-Cookie: session=abc; Path=/": f"Set-Cookie: {MARK}",
    "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nx": f"{MARK}\nx",
    "-----BEGIN PRIVATE KEY-----\nMIIcut": MARK,
}


@pytest.mark.parametrize("text", PATTERNS)
def test_what_looks_like_a_secret_is_redacted(text: str) -> None:
    told = Redactor().text(text)
    assert told == PATTERNS[text]
    assert Redactor().text(told) == told, "redacting twice changes nothing more"


ORDINARY = [
    "the API key is missing: set GATE_API_KEY",
    "401 without a key, 403 with a wrong one",
    "Bearer authentication is required",
    "Basic understanding of the password policy: see the manual",
    "fencing_token=7 was refused",
    '{"fencing_token": "7", "status": "healthy"}',
    "expected token=None",
    "API_KEY=${GATE_API_KEY}",
    "https://bot.example.org:443/api/health?x=1",
    "mail ops@example.org about https://bot.example.org",
    "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----",
    "docker compose -p breakout-bot start redis && docker logs --tail 50 breakout-bot-redis-1",
    "connection refused at 127.0.0.1:6379",
    "the secret to success: tests",
    "if token == last: return",
    "password = None",
    "use --api-key-file or --password --verbose",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert Redactor(["hunter2-secret"]).text(text) == text


def test_values_are_redacted_by_the_names_of_their_keys() -> None:
    told = Redactor(["hunter2", "hunter2-and-more"]).value(
        {
            "api_key": "x",
            "headers": {"Authorization": "abc", "Cookie": ["a", "b"], "Accept": "json"},
            "deep": [{"password": 12345}, ("hunter2", 1.5)],
            "fencing_token": 7,
            "token_present": True,
            "secret": None,
            "hunter2": 1,
            "key hunter2-and-more": 1,
        }
    )
    assert told == {
        "api_key": MARK,
        "headers": {"Authorization": MARK, "Cookie": MARK, "Accept": "json"},
        "deep": [{"password": MARK}, [MARK, 1.5]],
        "fencing_token": 7,
        "token_present": True,
        "secret": None,
        "hunter2": 1,
        f"key {MARK}": 1,
    }


def test_what_json_cannot_hold_becomes_redacted_text() -> None:
    error = ValueError("no hunter2 here")
    assert Redactor(["hunter2"]).value([error, float("nan"), {"x"}]) == [
        f"no {MARK} here",
        "nan",
        ["x"],
    ]


def test_a_secret_of_digits_is_redacted_as_a_number_too() -> None:
    assert Redactor(["90210007"]).value({"pin": 90210007, "n": 9021}) == {"pin": MARK, "n": 9021}


def test_a_long_log_is_redacted_in_good_time() -> None:
    import time

    redactor = Redactor(["hunter2-secret", "another-secret"])
    log = "".join(f"a-b.c_{i} token x://y GET /api/health 200 {'z' * 60}\n" for i in range(10_000))
    started = time.perf_counter()
    redactor.text(log)
    assert time.perf_counter() - started < 5
