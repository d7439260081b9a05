"""The settings of a deployment (`.env`): compose's reading of them, for there is to be one only.

A line of plain characters means the same to every reader. Where all lines are plain, the file is
read here: a live smoke run is typed by people, and asking compose takes 0.1 s. Any other file is
given to compose, whose rules for quotes, `$`, backslashes and comments differ between its versions.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from gate.errors import UsageError
from gate.machine.commands import run, variables_of

SECRET_WORDS = ("KEY", "PASSWORD", "SECRET", "TOKEN", "WEBHOOK")
"""A setting with one of these in its name is a secret."""
COMPOSE_SECONDS = 20.0
PROBE = "settings"
"""Project and service of the compose file that only asks for values."""

_PLAIN_CHARACTERS = r"[\w./:@%+,=~^?&-]*"
_PLAIN = re.compile(rf"[ \t]*#[^\r\n]*|[ \t]*|([A-Za-z_]\w*)=({_PLAIN_CHARACTERS})", re.ASCII)
_WRITTEN = re.compile(
    r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*[=:][ \t]*"
    r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\n]*)([^\n]*)""",
    re.ASCII | re.MULTILINE | re.DOTALL,
)
# Compose 2.26, in its log `The \"NAME\" variable is not set. Defaulting to a blank …`
UNSET = re.compile(r'The \\?"([^"\\]*)\\?" variable is not set')
_NO_TEXT = re.compile(rb"\0|\r(?!\n)")
_REFERENCE = re.compile(r"\$\{?([A-Za-z_]\w*)")


class SettingsError(UsageError):
    """Settings that cannot be used, in one sentence that quotes none of them."""


class Written(NamedTuple):
    """A setting as a person reads it in the file."""

    name: str
    value: str
    """Without the quotes around the whole of it."""
    quote: str
    """The quotation mark around it, or nothing."""


class Change(NamedTuple):
    """A setting that compose changes."""

    name: str
    reason: str
    fix: str


@dataclass(frozen=True)
class _Read:
    values: dict[str, str]
    unset: frozenset[str]
    """Names of variables that a value refers to and that are not set."""


def is_secret(name: str) -> bool:
    """Whether the value of a setting must not be shown."""
    return any(word in name.upper() for word in SECRET_WORDS)


def exists(path: Path) -> bool:
    """Whether there is anything at `path`, be it readable or not."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def read(path: Path) -> dict[str, str]:
    """Read the settings that are set to something. Raises `SettingsError`."""
    values = _read(path, _text(path)).values
    return {name: value for name, value in values.items() if value}


def secrets(path: Path) -> Iterator[str]:
    """List what must not be shown of a file: its secrets, as compose and as people read them."""
    text = _text(path)
    for one in _written(text):
        if is_secret(one.name):
            yield one.value
    for name, value in _read(path, text).values.items():
        if is_secret(name):
            yield value


def changes(path: Path) -> list[Change]:
    """List the settings whose value is not the one that is written. Raises `SettingsError`.

    A secret is expected to be meant as it is written. Elsewhere references, comments and escapes
    are meant too, unless something is lost by them.
    """
    text = _text(path)
    seen = _read(path, text)
    found: dict[str, Change] = {}
    for one in _written(text):
        found.pop(one.name, None)  # the last line of a name counts
        value = seen.values.get(one.name)
        bare_comment = one.value.startswith("#") and not one.quote
        if (value == one.value and not bare_comment) or one.name in variables_of("docker"):
            continue
        change = _change(one, value or "", seen.unset)
        if change:
            found[one.name] = change
    return list(found.values())


def _change(one: Written, value: str, unset: frozenset[str]) -> Change | None:
    single = "put the value in single quotes"
    lost = bool(unset.intersection(_REFERENCE.findall(one.value)))
    if lost or ("$" in one.value and is_secret(one.name)):
        what = "`$` begins a reference to a variable" + (" that is not set" if lost else "")
        return Change(one.name, what, f"write `$$` for each `$`, or {single}")
    if one.value[:1] in ("'", '"') and not one.quote:
        return Change(one.name, "a value in quotes ends at the second one", single)
    if "://" in value and one.value.partition(" #")[0].rstrip() == value:
        return None  # a URL, and a comment that it cannot hold
    if value.startswith("#") or (is_secret(one.name) and " #" in one.value and not one.quote):
        return Change(one.name, "` #` begins a comment, or is taken for one", single)
    if is_secret(one.name):
        what = "a backslash in it is an escape" if "\\" in one.value else "it is not plain text"
        return Change(one.name, what, single)
    return None


def quoted(value: str) -> str:
    """Write a value so that compose reads it back."""
    if re.fullmatch(_PLAIN_CHARACTERS, value, re.ASCII):
        return value
    if "'" not in value and not value.endswith("\\"):
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"'


def unset_in_settings(warning: str, path: Path) -> bool:
    """Whether a warning of compose is of a value in the settings: it quotes a piece of it then."""
    referred = _REFERENCE.findall(_text(path))
    return any(name in referred for name in UNSET.findall(warning))


def _text(path: Path) -> str:
    wanted = f"expected settings in {path}"
    try:
        if path.is_fifo():  # which could be read once, and compose reads it too
            raise SettingsError(f"{wanted}, got a pipe; write them to a file")
        raw = path.read_bytes()
    except FileNotFoundError:
        got = "a link that leads nowhere" if path.is_symlink() else "no file"
        raise SettingsError(f"{wanted}, got {got}; `make env` writes compose/.env") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SettingsError(f"{wanted} that can be read, got: {reason}") from None
    if odd := _NO_TEXT.search(raw):  # of UTF-16 too, and line ends that no reader here knows
        got = "a zero byte" if odd[0] == b"\0" else "a carriage return without a line feed"
        line = raw.count(b"\n", 0, odd.start()) + 1
        raise SettingsError(f"{wanted} as lines of text in UTF-8, got {got} in line {line}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{wanted} as UTF-8, got other bytes in line {line}") from None


def _written(text: str) -> Iterator[Written]:
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n")
    for name, value, rest in _WRITTEN.findall(plain):
        quote = value[0] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else ""
        if quote and re.fullmatch(r"[ \t]*(?:[ \t]#.*)?", rest):
            yield Written(name, value[1:-1], quote)
        else:
            yield Written(name, (value + rest).strip(), "")


@lru_cache(maxsize=4)
def _read(path: Path, text: str) -> _Read:
    lines = [_PLAIN.fullmatch(line) for line in text.split("\n")]
    if all(lines):
        return _Read({one[1]: one[2] for one in lines if one and one[1]}, frozenset())
    return _as_compose_reads(path, text)


def _as_compose_reads(path: Path, text: str) -> _Read:
    """Have compose render a service that takes every variable of the file from its environment.

    `docker compose config --environment` does so too, but 2.26 does not have it yet.
    """
    names = sorted({one.name for one in _written(text)} - set(variables_of("docker")))
    service = {"image": PROBE, "environment": names, "labels": {"dollar": "$$"}}
    head = ["docker", "compose", "-p", PROBE, "--env-file", str(path), "-f", "-"]
    done = run(
        [*head, "config", "--format", "json"],
        COMPOSE_SECONDS,
        feed=json.dumps({"services": {PROBE: service}}),
    )
    try:
        seen = json.loads(done.out)["services"][PROBE]
    except (ValueError, KeyError):
        raise SettingsError(_refused(path, done.err, done.code)) from None
    dollar = seen["labels"]["dollar"]  # rendered files have `$` as `$$`, to be read again
    values = {
        name: value.replace(dollar, "$")
        for name, value in (seen.get("environment") or {}).items()
        if value is not None
    }
    return _Read(values, frozenset(UNSET.findall(done.err)))


def _refused(path: Path, error: str, code: int) -> str:
    """Say that compose does not take a file, without its own words, which quote what is in it."""
    wanted = f"expected settings that compose can read in {path}"
    if "invalid template" in error.lower() or "required variable" in error:
        hint = "write `$$` for each `$` of a value, or put the value in single quotes"
        return f"{wanted}, got a `$` that begins no reference it knows; {hint}"
    if line := re.search(r"\bline (\d+)", error):
        return f"{wanted}, got line {line[1]}, which it refuses; put values in single quotes"
    if str(path) in error or "setenv" in error:
        return f"{wanted}, which it refuses; put values in single quotes"
    return f"{wanted}, but `docker compose config` gave no answer (exit code {code})"
