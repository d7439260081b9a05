"""TOML files that people write: read key by key, or refused in one sentence that says where.

    table = toml.read(path)                         # raises FileError, or the class that is given
    name = table.get("name", toml.TEXT)             # required
    mode = table.get("mode", toml.one_of("paper", "live"), "paper")
    for row in table.rows("slo"):                   # [[slo]]
        limit = row.get("at_most", toml.number(0), None)
    table.refuse_unknown()                          # keys that nobody asked for, in sub-tables too

Errors are `FILE:LINE: KEY.PATH: expected …, got …`; the line is left out where it is not certain.
"""

import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from gate.errors import UsageError

T = TypeVar("T", covariant=True)
D = TypeVar("D")
W = TypeVar("W", bound=str)
Where = tuple[str | int, ...]
"""Keys and indices that lead to a value."""
_MISSING: Any = object()


class FileError(UsageError):
    """A file that cannot be used."""


@dataclass(frozen=True)
class Kind(Generic[T]):
    """What a value has to be, in words and as a test."""

    words: str
    holds: Callable[[Any], object]
    required: bool = True
    """For `Table.take`."""


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_pattern(value: object) -> bool:
    try:
        return _is_text(value) and re.compile(str(value)) is not None
    except re.error:
        return False


ANYTHING = Kind[Any]("anything", lambda _: True)
TEXT = Kind[str]("text", _is_text)
ANY_TEXT = Kind[str]("text, perhaps empty", lambda value: isinstance(value, str))
PATTERN = Kind[str]("a regular expression", _is_pattern)
FLAG = Kind[bool]("true or false", lambda value: isinstance(value, bool))
TABLE = Kind[dict[str, Any]]("a table", lambda value: isinstance(value, dict))
TEXTS = Kind[list[str]](
    "a list of text", lambda value: isinstance(value, list) and value and all(map(_is_text, value))
)
TABLE_OF_TEXT = Kind[dict[str, str]](
    "a table of text",
    lambda value: isinstance(value, dict) and all(isinstance(one, str) for one in value.values()),
)
POSITIVE = Kind[float]("a number above 0", lambda value: _is_number(value) and value > 0)


def number(low: float, high: float = math.inf) -> Kind[float]:
    """Give the kind of a number from `low` to `high`."""
    words = f"a number from {low:g}" + (f" to {high:g}" if high != math.inf else "")
    return Kind(words, lambda value: _is_number(value) and low <= value <= high)


def whole(low: int, high: int | None = None) -> Kind[int]:
    """Give the kind of a whole number from `low` to `high`."""
    most = math.inf if high is None else high
    words = f"a whole number from {low}" + (f" to {high}" if high is not None else "")
    return Kind(words, lambda value: type(value) is int and low <= value <= most)


def one_of(*words: W) -> Kind[W]:
    """Give the kind of one of these words."""
    return Kind(f"one of {', '.join(words)}", lambda value: value in words)


def exactly(expected: D) -> Kind[D]:
    """Give the kind of this one value."""
    return Kind(f"{expected!r}", lambda value: value == expected)


def optional(kind: Kind[T]) -> Kind[T]:
    """Give the same kind for a key that `Table.take` can do without."""
    return replace(kind, required=False)


@dataclass(frozen=True)
class Table:
    """One table of a file. It remembers which keys were asked for, to refuse the others."""

    path: Path
    source: str
    values: Mapping[str, Any]
    where: Where = ()
    error_class: type[ValueError] = FileError
    _known: list[str] = field(default_factory=list, compare=False)
    _below: list["Table"] = field(default_factory=list, compare=False)

    def __contains__(self, key: str) -> bool:
        return key in self.values

    @overload
    def get(self, key: str, kind: Kind[T]) -> T: ...
    @overload
    def get(self, key: str, kind: Kind[T], default: D) -> T | D: ...
    def get(self, key: str, kind: Kind[T], default: Any = _MISSING) -> Any:
        """Give the value of a key, which is required without a `default`."""
        self._known.append(key)
        value = self.values.get(key, _MISSING)
        if value is _MISSING and default is not _MISSING:
            return default
        if value is _MISSING:
            unknown = [other for other in self.values if other not in self._known]
            raise self.error(f"expected {kind.words}, got nothing{nearest(key, unknown)}", key)
        if not kind.holds(value):
            raise self.error(f"expected {kind.words}, got {value!r}", key)
        return value

    def table(self, key: str, *, required: bool = False) -> "Table":
        """Give the table `[key]`; an empty one where the file has none and need not."""
        return self._sub(self.get(key, TABLE) if required else self.get(key, TABLE, {}), key)

    def tables(self) -> Iterator[tuple[str, "Table"]]:
        """Give every key of this table with its own table: services, targets, by name."""
        for key in self.values:
            yield key, self.table(key)

    def rows(self, key: str, *, required: bool = False) -> list["Table"]:
        """Give each of the tables `[[key]]`; `[key]` is one such."""
        rows: Any = self.get(key, ANYTHING, [])
        if required and not rows:
            raise self.error(
                f"expected one [[{key}]] or more, got {self.values.get(key, 'none')}", key
            )
        if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
            return [self.table(key)]
        return [self._sub(row, key, index) for index, row in enumerate(rows)]

    def take(self, kinds: Mapping[str, Kind[Any]]) -> dict[str, Any]:
        """Give the values of these keys that are there, and refuse any other."""
        for key, kind in kinds.items():
            _ = self.get(key, kind) if kind.required else self.get(key, kind, None)
        self.refuse_unknown()
        return {key: self.values[key] for key in kinds if key in self.values}

    def refuse_unknown(self) -> None:
        """Refuse keys that were never asked for, here and in each table that was taken of it."""
        for key in self.values:
            if key not in self._known:
                known = ", ".join(dict.fromkeys(self._known))
                near = nearest(key, self._known)
                raise self.error(f"expected one of {known}, got the unknown key {key!r}{near}", key)
        for table in self._below:
            table.refuse_unknown()

    def error(self, message: str, key: str = "") -> ValueError:
        """Give the error about a key, or about the table: `raise table.error("expected …")`."""
        return self.error_class(f"{self.place(key)}: {message}")

    def place(self, key: str = "") -> str:
        """Give the beginning of an error: `FILE:LINE: KEY.PATH`, as far as it is known."""
        where = (*self.where, key) if key else self.where
        line = line_of(self.source, where) or line_of(self.source, self.where)
        file = f"{self.path}:{line}" if line else f"{self.path}"
        return f"{file}: {_written(where)}" if where else file

    def _sub(self, values: Mapping[str, Any], *where: str | int) -> "Table":
        table = Table(self.path, self.source, values, (*self.where, *where), self.error_class)
        for known in self._below:
            if known.where == table.where:
                return known
        self._below.append(table)
        return table


def read(path: Path, error: type[ValueError] = FileError) -> Table:
    """Read a file. Raises `error`, as everything that is asked of the table does."""
    try:
        source = path.read_text(encoding="utf-8")
        return Table(path, source, tomllib.loads(source), error_class=error)
    except OSError as trouble:
        raise error(f"expected a readable file, got {path}: {trouble.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as trouble:
        raise error(f"{path}: expected TOML, got: {trouble}") from None


def nearest(word: str, known: list[str]) -> str:
    """Give the end of a sentence that names what may have been meant, or nothing."""
    from difflib import get_close_matches  # only where something is wrong

    near = get_close_matches(word, known, 1, 0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def line_of(source: str, where: Where) -> int | None:
    """Give the line at which a value begins; None where it cannot be told.

    tomllib keeps no positions. A line is the one if the key is not in what stands before it, and is
    in what stands before it and the line together: that holds for quoted and dotted keys, and for
    text over several lines that looks like a key.
    """
    lines = source.splitlines(keepends=True)
    name = next((str(key) for key in reversed(where) if isinstance(key, str)), None)
    for index in (n for n, line in enumerate(lines) if name is not None and name in line):
        before = _parsed(lines[:index])
        if before is None or _has(before, where):
            continue
        ends = (_parsed(lines[: end + 1]) for end in range(index, len(lines)))
        if _has(next((table for table in ends if table is not None), {}), where):
            return index + 1
    return None


def _parsed(lines: list[str]) -> dict[str, Any] | None:
    try:
        return tomllib.loads("".join(lines))
    except tomllib.TOMLDecodeError:
        return None


def _has(value: Any, where: Where) -> bool:
    try:
        for key in where:
            value = value[key]
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _written(where: Where) -> str:
    """Write keys as TOML does: `slo[2].metric`."""
    parts = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in where)
    return "".join(parts).removeprefix(".")
