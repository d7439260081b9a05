"""TOML files that people write: read, and refused with the file, the line and one sentence."""

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class FileError(ValueError):
    """A file that cannot be used: `FILE:LINE: key: expected …, got …`."""


@dataclass(frozen=True)
class Rule:
    """What a value has to be, in words and as a test."""

    words: str
    holds: Callable[[Any], object]
    required: bool = False


Rules = Mapping[str, Rule]


def number(low: float, high: float = float("inf"), *, required: bool = False) -> Rule:
    """A number from `low` to `high`."""
    words = f"a number from {low:g}" + (f" to {high:g}" if high != float("inf") else "")
    return Rule(words, lambda value: _is_number(value) and low <= value <= high, required)


def one_of(*words: str, required: bool = False) -> Rule:
    """One of these words."""
    return Rule(f"one of {', '.join(words)}", lambda value: value in words, required)


def text(*, required: bool = False) -> Rule:
    """Text that is not blank."""
    return Rule("text", lambda value: isinstance(value, str) and value.strip(), required)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Document:
    """A TOML file with what is needed to say where something stands in it."""

    path: Path
    source: str
    table: Mapping[str, Any]

    def check(self, table: Any, rules: Rules, header: str = "", index: int = 0) -> None:
        """Hold one table of the file to its rules. Raises `FileError`."""
        if not isinstance(table, Mapping):
            raise FileError(f"{self._at(header, index)}: expected a table, got {table!r}")
        for key, rule in rules.items():
            if key not in table and not rule.required:
                continue
            if key not in table or not rule.holds(table[key]):
                got = repr(table[key]) if key in table else "nothing"
                where = self._at(header, index, key)
                raise FileError(f"{where}: {key}: expected {rule.words}, got {got}")
        for key in table:
            if key not in rules:
                where = self._at(header, index, key)
                raise FileError(f"{where}: expected one of {', '.join(rules)}, got {key!r}")

    def fault(self, message: str, header: str = "", index: int = 0, key: str = "") -> FileError:
        """An error about a place in the file."""
        return FileError(f"{self._at(header, index, key)}: {message}")

    def _at(self, header: str, index: int = 0, key: str = "") -> str:
        return f"{self.path}:{line_of(self.source, header, index, key)}"


def read(path: Path) -> Document:
    """The file, parsed. Raises `FileError`."""
    try:
        source = path.read_text(encoding="utf-8")
        return Document(path, source, tomllib.loads(source))
    except OSError as error:
        raise FileError(f"expected a readable file, got {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: expected TOML, got: {error}") from None


def line_of(source: str, header: str = "", index: int = 0, key: str = "") -> int:
    """The line of a key under the `index`-th `[header]` or `[[header]]`, or of the header itself.

    tomllib keeps no positions; keys are looked for as people write them, at the start of a line.
    """
    lines = source.splitlines()
    heads = [n for n, line in enumerate(lines) if re.match(rf"\s*\[+{re.escape(header)}\]+", line)]
    start = heads[index] + 1 if header and index < len(heads) else 0
    for number in range(start, len(lines)):
        if key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", lines[number]):
            return number + 1
        if number > start and re.match(r"\s*\[", lines[number]):
            break
    return max(start, 1)
