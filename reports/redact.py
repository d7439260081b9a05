"""The one layer in front of all writers that takes secrets out of what is reported."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import shlex
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, quote_plus

from reports.words import uncoloured

MARK = "«redacted»"
SHORT = 3
"""Characters of a secret that is redacted only where it stands alone: as a part of words it would
make every text unreadable, and hide nothing that a second try does not find."""

_NO_NAME = re.compile(r"(?=.*[A-Za-z])(?=.*\d).{16,}", re.DOTALL)
"""Secrets that a machine made: no name holds one by chance."""
_WORD = r"(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|requirepass)"
_NAME = rf"(?![\w.-]*fencing)[\w.-]{{0,60}}{_WORD}\w{{0,30}}"
_QUOTED = r"\"[^\"\n]*\"|'[^'\n]*'"
_HARMLESS = r"(?!(?:None|null|true|false|\$\{\w+\})(?:[\s,;)\]}]|$))"
_PROSE = r"(?!(?:auth\w*|tokens?|scheme|header|realm|is|was|of|and|or|not)[.,;:)]?(?:\s|$))"
_SECRET_KEY = re.compile(
    r"passw(or)?d|passphrase|secret|token|api[_-]?key|authorization|cookie", re.IGNORECASE
)

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.MULTILINE), replacement)
    for pattern, replacement in (
        (
            r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----"
            r"[\s\S]*?(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY-----|\Z)",
            MARK,
        ),
        (r"\b([a-z][a-z0-9+.-]{1,20}://[^\s/:@\"']{0,200}):[^\s/\"']+@", rf"\1:{MARK}@"),
        (
            r"(\b(?:proxy-)?authorization\\*[\"']?\s*[:=]\s*\\*[\"']?)"
            r"(?:(digest\s)[^\r\n]+|((?:basic|bearer|token|apikey)\s+)?[^\s\"',;}\\]+)",
            rf"\1\2\3{MARK}",
        ),
        (r"(\bx-api-key\\*[\"']?\s*[:=]\s*\\*[\"']?)[^\s\"',;}\\]+", rf"\1{MARK}"),
        (
            r"(\b(?:set-)?cookie\\*[\"']?\s*:\s*\\*[\"']?)[^\s=;\"']+=[^\r\n\"']*",
            rf"\1{MARK}",
        ),
        (rf"(\bbearer\s+){_PROSE}[\w.~+/=-]{{4,}}", rf"\1{MARK}"),
        (
            rf"((\\*[\"']){_NAME}\2\s*:\s*)(\\*[\"'])(?:\\.|(?!\3).)*?\3",
            rf"\1\3{MARK}\3",
        ),
        (
            rf"\b({_NAME}[ \t]{{0,9}}=[ \t]{{0,9}})(?!=){_HARMLESS}(?:{_QUOTED}|[^\s&\"',;]+)",
            rf"\1{MARK}",
        ),
        (
            rf"^(\s*(?:- )?{_NAME}:[ \t]+){_HARMLESS}(?:{_QUOTED}|\S+)[ \t]*$",
            rf"\1{MARK}",
        ),
        (rf"(\s--{_NAME}[ \t]+)(?!-)(?:{_QUOTED}|\S+)", rf"\1{MARK}"),
        (r"(\brequirepass\s+)\S+", rf"\1{MARK}"),
    )
)
_BASIC = re.compile(r"(\bbasic\s+)([A-Za-z0-9+/]{4,}={0,2})", re.IGNORECASE)
_HINT = re.compile(
    r"passw|passphrase|requirepass|secret|token|key|authorization|cookie|bearer|basic|://",
    re.IGNORECASE,
)


class Redactor:
    """Replaces known secrets, and whatever looks like one, by «redacted»."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._forms: set[str] = set()
        self._words: set[str] = set()
        self._unlike_names: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self._in_names: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, value: str | None) -> None:
        """Keep this value out of every report from now on, in all its written forms."""
        if not value:
            return
        forms = self._words if len(value) <= SHORT else self._forms
        forms |= _written_forms(value)
        whole = [rf"(?<![^\W_])(?:{_longest_first(self._words)})(?![^\W_])"] if self._words else []
        self._known = re.compile("|".join([_longest_first(self._forms), *whole]).strip("|"))
        if _NO_NAME.fullmatch(value):
            self._unlike_names |= _written_forms(value)
            self._in_names = re.compile(_longest_first(self._unlike_names))

    def text(self, text: str) -> str:
        """The text without secrets, and without the colours that would stand between them."""
        text = uncoloured(text)
        if self._known is not None:
            text = self._known.sub(MARK, text)
        if _HINT.search(text) is None:
            return text
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return _BASIC.sub(_basic_auth, text)

    def name(self, name: str) -> str:
        """The name as it is, even where its words are a password; one made by a machine goes."""
        return self._in_names.sub(MARK, name) if self._in_names is not None else name

    def value(self, value: Any, is_name: bool = False) -> Any:
        """The JSON-like value without secrets; what JSON cannot hold becomes redacted text.

        Keys are names.
        """
        if isinstance(value, str):
            return self.name(value) if is_name else self.text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return value if is_name else self._number(value)
        if isinstance(value, dict):
            told = ((str(key), of) for key, of in value.items())
            return {self.name(key): self._entry(key, of) for key, of in told}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(item, is_name) for item in value]
        return self.text(str(value))

    def _number(self, value: int | float) -> int | float | str:
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        text = str(value)
        is_known = self._known is not None and self._known.fullmatch(text) is not None
        return MARK if is_known and len(text) > SHORT else value

    def _entry(self, key: str, value: Any) -> Any:
        secret = _SECRET_KEY.search(key) is not None and "fencing" not in key.lower()
        if not secret or value is None or isinstance(value, bool) or value == "":
            return self.value(value)
        return MARK


def _basic_auth(match: re.Match[str]) -> str:
    scheme, code = match[1], match[2]
    try:
        holds_a_pair = b":" in base64.b64decode(code + "=" * (-len(code) % 4))
    except binascii.Error:
        holds_a_pair = False
    return f"{scheme}{MARK}" if holds_a_pair else match[0]


def _longest_first(forms: set[str]) -> str:
    return "|".join(sorted(forms, key=len, reverse=True))


def _written_forms(value: str) -> set[str]:
    quoted = {quote(value, safe=""), quote(value), quote_plus(value)}
    quoted |= {quote(form, safe="") for form in quoted}  # a URL inside a URL
    any_case = {
        re.sub(r"%([0-9A-F]{2})", r"(?i:%\1)", re.escape(form)) for form in quoted if form != value
    }
    plain = {re.escape(form) for form in (value, *_escaped(value))}
    return plain | any_case | set(_base64_forms(value.encode()))


def _escaped(value: str) -> Iterable[str]:
    once = {_json_text(value, ascii_only) for ascii_only in (True, False)}
    once |= {form.replace("/", "\\/") for form in once}
    yield from once
    yield from (_json_text(form, True) for form in once)
    yield repr(value)[1:-1]
    yield repr(value.encode())[2:-1]
    yield shlex.quote(value)
    yield value.replace("$", "$$")  # as Compose writes it
    html = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    yield html
    for quote_mark, apostrophe in (("&quot;", "&#x27;"), ("&#34;", "&#39;")):
        yield html.replace('"', quote_mark).replace("'", apostrophe)


def _json_text(value: str, ascii_only: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii_only)[1:-1]


_ENCODERS: tuple[Callable[[bytes], bytes], ...] = (base64.b64encode, base64.urlsafe_b64encode)


def _base64_forms(raw: bytes) -> Iterable[str]:
    """The value alone, and wherever it stands inside a longer encoded text (`user:value`)."""
    for encode in _ENCODERS:
        yield re.escape(encode(raw).decode().rstrip("=")) + "={0,2}"
        for offset in range(3):
            encoded = encode(b"\0" * offset + raw).decode().rstrip("=")
            whole_groups = encoded[4 if offset else 0 : len(encoded) // 4 * 4]
            if len(whole_groups) >= 8:
                around = r"[\w+/-]{0,4}"
                yield f"{around}{re.escape(whole_groups)}{around}={{0,2}}"
