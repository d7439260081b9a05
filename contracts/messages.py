"""The WebSocket contract: a JSON Schema for each message type, and rules of order and time."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

FOLDER = Path(__file__).with_name("messages")
TYPES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
HEARTBEAT_MS = 3000
"""A heartbeat is due this long after the one before."""
LATE_MS = 2 * HEARTBEAT_MS
BACKWARDS_MS = 1000
"""A message may be so much older than the one before it: events cross Redis, heartbeats do not."""

Message = dict[str, Any]


@cache
def validator(kind: str) -> Draft202012Validator:
    """The validator of one message type. Raises `KeyError` for a type that was not agreed on."""
    if kind not in TYPES:
        raise KeyError(kind)
    schema = json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema)


def parsed(texts: Iterable[str]) -> list[Message]:
    """The messages as objects; what is none is there with its text under `text`."""
    return [_parsed(text) for text in texts]


def _parsed(text: str) -> Message:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"text": text}


def problems(message: Message) -> list[str]:
    """What is wrong with one message by the schema of its type, in words."""
    kind = message.get("type")
    if kind not in TYPES:
        return [f"type {kind!r} was not agreed on (agreed: {', '.join(TYPES)})"]
    errors = validator(kind).iter_errors(message)
    return [f"{'.'.join(map(str, one.path)) or kind}: {one.message}" for one in errors]


def of_type(messages: Iterable[Message], kind: str) -> list[Message]:
    """The messages of one type."""
    return [message for message in messages if message.get("type") == kind]


def out_of_order(messages: Sequence[Message]) -> list[str]:
    """Where a session's time runs backwards, in words; messages without a time are left out."""
    timed = [message for message in messages if isinstance(message.get("ts"), int)]
    late = [(a, b) for a, b in pairwise(timed) if b["ts"] < a["ts"] - BACKWARDS_MS]
    words = "{} is {} ms older than {} before it"
    return [words.format(b["type"], a["ts"] - b["ts"], a["type"]) for a, b in late]


def longest_silence(messages: Sequence[Message], ended_ms: int) -> int:
    """Milliseconds of the longest time without a heartbeat, up to the end of the session."""
    times = [m["ts"] for m in of_type(messages, "HEARTBEAT") if isinstance(m.get("ts"), int)]
    return max((b - a for a, b in pairwise([*times, ended_ms])), default=ended_ms)
