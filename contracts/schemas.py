"""Compares two JSON Schemas as a request accepts them, or as a response promises them."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from contracts.spelling import (
    ADVICE,
    BRANCHES,
    EVERY_TYPE,
    FIXED,
    LOWER,
    PROSE,
    UPPER,
    LookUp,
    Schema,
    are_numbers,
    flat,
    plain,
    types_of,
)

Side = Literal["request", "response"]
COMPARED = frozenset(
    {*LOWER, *UPPER, *FIXED, *BRANCHES, "type", "enum", "properties", "required", "items", "$defs"}
    | {"additionalProperties"}
)
"""Keywords whose change is said in words of its own."""
Found = Iterator[tuple[str, bool]]


class Comparison:
    """One direction of comparing: a request may ask for less, a response may give more.

    `old` and `new` look references up in their documents; `whole` is what the schema describes.
    """

    def __init__(
        self,
        old: LookUp,
        new: LookUp,
        side: Side,
        whole: str,
    ) -> None:
        self._old = old
        self._new = new
        self._response = side == "response"
        self._whole = whole
        self._open: list[tuple[str, str]] = []

    def schemas(self, was: Any, now: Any, path: str = "") -> Found:
        """What changed between two schemas, each with whether it breaks a client."""
        pair = (str(was), str(now))
        if pair in self._open:  # a schema that holds itself
            return
        self._open.append(pair)
        old, new = plain(self._old, was), plain(self._new, now)
        name = f"{self._whole}: {path}" if path else self._whole
        yield from self._types(old, new, name)
        yield from self._values(old, new, name)
        yield from self._bounds(old, new, name)
        yield from self._branches(old, new, name)
        yield from self._properties(old, new, name, f"{path}." if path else "")
        if "items" in old or "items" in new:
            yield from self.schemas(old.get("items", True), new.get("items", True), f"{path}[]")
        extra = "additionalProperties"
        if isinstance(old.get(extra), Mapping) and isinstance(new.get(extra), Mapping):
            yield from self.schemas(old[extra], new[extra], f"{path}.*")
        yield from self._others(old, new, name)
        self._open.pop()

    def _types(self, old: Schema, new: Schema, name: str) -> Found:
        was, now = types_of(old), types_of(new)
        lost, gained = was - _widened(now), now - _widened(was)
        if not (lost or gained):
            return
        breaks = bool(gained) if self._response else bool(lost)
        yield f"{name} was {_either(was)} and is now {_either(now)}", breaks

    def _values(self, old: Schema, new: Schema, name: str) -> Found:
        was, now = _enum(old), _enum(new)
        if was is None and now is None:
            return
        if was is None or now is None:
            tighter = was is None
            words = "takes only some values now" if tighter else "may be any value now"
            yield f"{name} {words}", tighter != self._response
            return
        lost, gained = [v for v in was if v not in now], [v for v in now if v not in was]
        if lost:
            yield f"{name} no longer has the value {_listed(lost)}", True
        if gained:
            yield f"{name} has the new value {_listed(gained)}", self._response

    def _bounds(self, old: Schema, new: Schema, name: str) -> Found:
        for key in (*LOWER, *UPPER, *FIXED, "additionalProperties"):
            was, now = old.get(key), new.get(key)
            if was == now or (isinstance(was, Mapping) and isinstance(now, Mapping)):
                continue
            looser = _looser(key, was, now)
            breaks = looser if self._response else not looser
            if key in FIXED and was is not None and now is not None:
                breaks = True
            yield f"{name}: {key} was {_shown(was)} and is now {_shown(now)}", breaks

    def _branches(self, old: Schema, new: Schema, name: str) -> Found:
        for key in BRANCHES:
            was = {flat(self._old, one, PROSE | ADVICE): one for one in old.get(key, [])}
            now = {flat(self._new, one, PROSE | ADVICE): one for one in new.get(key, [])}
            lost, gained = was.keys() - now.keys(), now.keys() - was.keys()
            if len(lost) == len(gained) == 1:  # one that changed: what in it did
                yield from self.schemas(was[lost.pop()], now[gained.pop()], f"one of {key}")
            elif lost or gained:
                breaks = bool(gained) if self._response else bool(lost)
                yield f"{name}: the alternatives of {key} changed", breaks

    def _others(self, old: Schema, new: Schema, name: str) -> Found:
        """Give what no words of ours are for, such as a default: a person has to compare it."""
        for key in sorted((old.keys() | new.keys()) - COMPARED - PROSE - ADVICE):
            was, now = (one.get(key) for one in (old, new))
            pair = ({key: was} if key in old else {}, {key: now} if key in new else {})
            ways = zip((self._old, self._new), pair, strict=True)
            if len({flat(*way, PROSE | ADVICE) for way in ways}) > 1:
                changed = f"{key} was {_shown(was)} and is now {_shown(now)}"
                yield f"{name}: something changed that is not told apart here: {changed}", True

    def _properties(self, old: Schema, new: Schema, name: str, head: str) -> Found:
        was, now = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for key, schema in was.items():
            if key not in now:
                yield f"{name}: the field {key!r} is gone", True
                continue
            if key in needs - needed:
                yield f"{name}: the field {key!r} is now required", not self._response
            elif key in needed - needs:
                yield f"{name}: the field {key!r} is no longer required", self._response
            yield from self.schemas(schema, now[key], head + key)
        for key in (key for key in now if key not in was):
            kind = "required" if key in needs else "optional"
            breaks = key in needs and not self._response
            yield f"{name}: the {kind} field {key!r} is new", breaks


def _widened(types: frozenset[str]) -> frozenset[str]:
    return types | {"integer"} if "number" in types else types


def _enum(schema: Schema) -> list[Any] | None:
    found = schema.get("enum")
    return None if found is None else list(found)


def _looser(key: str, was: Any, now: Any) -> bool:
    """Whether more is allowed than before."""
    if key == "additionalProperties":
        return _openness(now) > _openness(was)
    if was is None or now is None:
        return now is None
    if not are_numbers(was, now):
        return False
    if key in LOWER:
        return bool(now < was)
    return bool(now > was)


def _openness(value: Any) -> int:
    """How open an object is to fields that are not named: not at all, to some, to any."""
    return 0 if value is False else 1 if isinstance(value, Mapping) else 2


def _either(types: frozenset[str]) -> str:
    return "anything" if types >= EVERY_TYPE else " or ".join(sorted(types)) or "nothing"


def _listed(values: list[Any]) -> str:
    return ", ".join(repr(value) for value in values)


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value)
