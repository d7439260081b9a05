"""Compares two JSON Schemas as a request accepts them, or as a response promises them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

Schema = Mapping[str, Any]
Side = Literal["request", "response"]
EVERY_TYPE = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
FIXED = ("pattern", "format", "multipleOf", "uniqueItems")
Found = Iterator[tuple[str, bool]]


class Comparison:
    """One direction of comparing: a request may ask for less, a response may give more.

    `old` and `new` follow references in their documents; `whole` is what the schema describes.
    """

    def __init__(
        self,
        old: Callable[[Any], Any],
        new: Callable[[Any], Any],
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
        old, new = _plain(self._old, was), _plain(self._new, now)
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
        self._open.pop()

    def _types(self, old: Schema, new: Schema, name: str) -> Found:
        was, now = _types(old), _types(new)
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
        for key in ("anyOf", "oneOf", "allOf"):
            was = [str(_plain(self._old, one)) for one in old.get(key, [])]
            now = [str(_plain(self._new, one)) for one in new.get(key, [])]
            lost, gained = set(was) - set(now), set(now) - set(was)
            if lost or gained:
                breaks = bool(gained) if self._response else bool(lost)
                yield f"{name}: the alternatives of {key} changed", breaks

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


def _plain(resolve: Callable[[Any], Any], schema: Any) -> Schema:
    """A schema with its reference followed, and alternatives that differ in type alone as one."""
    found = resolve(schema)
    if not isinstance(found, Mapping):
        return {"type": []} if found is False else {}
    branches = [resolve(one) for one in found.get("anyOf", ())]
    detailed = [one for one in branches if one.keys() - {"type", "title"}]
    if not branches or len(detailed) > 1:
        return found
    types = sorted({name for one in branches for name in _types(one)})
    rest = {key: value for key, value in found.items() if key != "anyOf"}
    return {**(detailed[0] if detailed else {}), **rest, "type": types}


def _types(schema: Schema) -> frozenset[str]:
    found = schema.get("type", EVERY_TYPE)
    return frozenset([found] if isinstance(found, str) else found)


def _widened(types: frozenset[str]) -> frozenset[str]:
    return types | {"integer"} if "number" in types else types


def _enum(schema: Schema) -> list[Any] | None:
    found = [schema["const"]] if "const" in schema else schema.get("enum")
    return None if found is None else list(found)


def _looser(key: str, was: Any, now: Any) -> bool:
    """Whether more is allowed than before."""
    if key == "additionalProperties":
        return _openness(now) > _openness(was)
    if was is None or now is None:
        return now is None
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
