"""JSON Schemas in one spelling, so that what means the same is compared as the same.

`const` and an `enum` of one value, lists of types and `nullable`, alternatives that differ in type
alone, and a reference with keywords beside it, which hold as well (since OpenAPI 3.1).
"""

import json
from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any

Schema = Mapping[str, Any]
EVERY_TYPE = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
FIXED = ("pattern", "format", "multipleOf", "uniqueItems")
PROSE = frozenset({"summary", "description", "tags", "operationId", "examples", "example", "title"})
ADVICE = frozenset({"deprecated", "links", "externalDocs"})
"""What a client may heed and need not."""
LAST_WINS = PROSE | ADVICE | {"default"}
BRANCHES = ("anyOf", "oneOf", "allOf")
MAPS = ("properties", "patternProperties", "dependentSchemas")
"""Keywords with a schema for each name."""
SCHEMAS = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"}
    | {"unevaluatedItems", "unevaluatedProperties", "contentSchema"}
)
"""Keywords with one schema."""
DEEPEST = 30
"""Alternatives inside alternatives; more is a schema that consists of itself."""
LookUp = Callable[[str], Any]
"""Gives what a reference leads to."""


def plain(look_up: LookUp, schema: Any, depth: int = 0) -> Schema:
    """Give a schema in one spelling: references followed, and what stands beside them kept."""
    if depth > DEEPEST:
        return {}
    beside: list[Schema] = []
    while isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str):
        beside.append({key: value for key, value in schema.items() if key != "$ref"})
        schema = look_up(schema["$ref"])
    if schema is False:
        return {"type": []}
    layers = [schema if isinstance(schema, Mapping) else {}, *reversed(beside)]
    found = reduce(_both, map(_spelled, layers))
    if "allOf" in found:
        parts = [plain(look_up, one, depth + 1) for one in found["allOf"]]
        rest = {key: value for key, value in found.items() if key != "allOf"}
        return reduce(_both, [*parts, rest])
    return _with_one_type(look_up, found, depth)


def _spelled(schema: Schema) -> Schema:
    found = dict(schema)
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if found.pop("nullable", False) is True and "type" in found:
        found["type"] = sorted({*types_of(found), "null"})
    return found


def _with_one_type(look_up: LookUp, found: Schema, depth: int) -> Schema:
    """Give alternatives that differ in type alone as one schema of several types."""
    for key in ("anyOf", "oneOf"):
        branches = [plain(look_up, one, depth + 1) for one in found.get(key, ())]
        detailed = [one for one in branches if one.keys() - {"type", "title"}]
        types = [name for one in branches for name in types_of(one)]
        overlap = key == "oneOf" and len(types) > len(set(types))
        if branches and len(detailed) <= 1 and not overlap:
            rest = {name: value for name, value in found.items() if name != key}
            alone = detailed[0] if detailed else {}
            return {**alone, **rest, "type": sorted(set(types))}
    return found


def _both(first: Schema, then: Schema) -> Schema:
    """Give the schema of what fits both, as far as one can be written; words of `then` win."""
    found = dict(first)
    for key, value in then.items():
        if key not in found or key in LAST_WINS or found[key] == value:
            found[key] = value
        elif (narrowed := _narrowed(key, found[key], value)) is not None:
            found[key] = narrowed
        else:
            found["allOf"] = [*found.get("allOf", ()), {key: value}]
    return found


def _narrowed(key: str, first: Any, then: Any) -> Any:
    """Give what a keyword says where two of it hold; None where one cannot say that."""
    if key in (*LOWER, *UPPER) and are_numbers(first, then):
        return (max if key in LOWER else min)(first, then)
    if key == "required":
        return [*first, *(name for name in then if name not in first)]
    if key == "enum":
        return [one for one in first if one in then]
    if key == "type":
        return sorted(types_of({key: first}) & types_of({key: then})) or then
    if key in MAPS:
        names = first.keys() & then.keys()
        return {**first, **then, **{name: {"allOf": [first[name], then[name]]} for name in names}}
    return None


def flat(look_up: LookUp, schema: Any, without: frozenset[str] = frozenset()) -> str:
    """Write a schema whole, every reference in its place, so that equal ones are written alike."""
    return json.dumps(_whole(look_up, schema, without, ()), sort_keys=True)


def _whole(look_up: LookUp, schema: Any, without: frozenset[str], seen: tuple[str, ...]) -> Any:
    text = str(schema)
    if text in seen:  # a schema that holds itself
        return schema
    found = plain(look_up, schema)
    inner = partial(_whole, look_up, without=without, seen=(*seen, text))
    kept = (key for key in found if key not in without and key != "$defs")
    return {key: _part(key, found[key], inner) for key in kept}


def _part(key: str, value: Any, inner: Callable[[Any], Any]) -> Any:
    if key in MAPS and isinstance(value, Mapping):
        return {name: inner(one) for name, one in value.items()}
    if key in BRANCHES and isinstance(value, list):
        return _sorted([inner(one) for one in value])
    if key == "prefixItems" and isinstance(value, list):
        return [inner(one) for one in value]
    if key in SCHEMAS:
        return inner(value)
    if key == "type":
        return sorted(types_of({key: value}))
    return _sorted(value) if key in ("enum", "required") else value


def _sorted(values: Any) -> Any:
    return sorted(values, key=json.dumps) if isinstance(values, list) else values


def are_numbers(*values: Any) -> bool:
    """Say whether all of these can be compared as bounds."""
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values)


def types_of(schema: Schema) -> frozenset[str]:
    """Name the types that a schema allows."""
    found = schema.get("type", EVERY_TYPE)
    return frozenset([found] if isinstance(found, str) else found)
