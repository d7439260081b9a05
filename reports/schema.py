"""events.schema.json: what a line of `events.jsonl` holds, written from the classes of events."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin, is_typeddict

from reports.events import CLASSES, OURS, Json, Load, Moment, Outcome, bare, hints

FILE = Path(__file__).with_name("events.schema.json")
_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


def text() -> str:
    """Return the schema of a line."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of events.jsonl",
        "description": "What happened in a run of the gate, by kind. Readers leave out what they"
        " do not know: later versions may add kinds and fields.",
        "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in CLASSES],
        "$defs": {kind: _line(kind, cls) for kind, cls in CLASSES.items()},
    }
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


def _line(kind: str, cls: type) -> Json:
    fields = {name: hint for name, hint in hints(cls).items() if name != "t"}
    holds = _holds(bare(fields["facts"])) if cls is Load else _holds(cls, fields)
    head = {"kind": {"const": kind}, "t": _schema(Moment)}
    return {
        "description": (cls.__doc__ or "").strip(),
        **holds,
        "required": [*head, *holds.get("required", ())],
        "properties": {**head, **holds["properties"]},
    }


def _holds(cls: Any, fields: Mapping[str, Any] | None = None) -> Json:
    """Describe an object; a class is written with all of its fields, a TypedDict with some."""
    fields = hints(cls) if fields is None else fields
    always = {} if is_typeddict(cls) else {"required": list(fields)}
    properties = {name: _schema(hint) for name, hint in fields.items()}
    return {"type": "object", **always, "properties": properties}


def _schema(hint: Any) -> Json:
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        described = [{"description": note} for note in notes if note is not OURS]
        return {**_schema(hint), **(described[0] if described else {})}
    if get_origin(hint) is UnionType:
        return _either(get_args(hint))
    if get_origin(hint) is Sequence:
        return {"type": "array", "items": _schema(get_args(hint)[0])}
    if get_origin(hint) is Mapping:
        return {"type": "object"}
    if hint is Any:
        return {}
    if hint is Outcome:
        return {"enum": list(Outcome)}
    return _holds(hint) if is_dataclass(hint) else {"type": _TYPES[hint]}


def _either(options: Sequence[Any]) -> Json:
    if set(options) <= _TYPES.keys():
        return {"type": [_TYPES[option] for option in options]}
    return {"anyOf": [_schema(option) for option in options]}
