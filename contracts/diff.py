"""Compares two OpenAPI 3.1 documents: what changed, in words, and whether it breaks a client.

Of the libraries that do this none is in Python, well kept and able to read version 3.1 and say each
change by itself, so this one covers what the agreed document uses. Requests may only be accepted
more freely, answers may only be promised more narrowly; anything else breaks a client.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from contracts.schemas import Comparison, Side
from contracts.spelling import ADVICE, MAPS, PROSE, flat, plain

Document = Mapping[str, Any]
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True)
class Change:
    """One difference: the operation it is in, what it is, and whether it breaks a client."""

    where: str
    what: str
    breaking: bool


def verdict(changes: Iterable[Change]) -> Literal["equal", "compatible", "breaking"]:
    """What all changes come to."""
    kinds = {change.breaking for change in changes}
    return "breaking" if True in kinds else "compatible" if kinds else "equal"


def compare(old: Document, new: Document) -> list[Change]:
    """Every change from `old` to `new`, operation by operation, as `old` orders them.

    The release in `info.version` and the address in `servers` differ by deployment and are
    left out.
    """
    before, after = dict(operations(old)), dict(operations(new))
    return [change for label in {**before, **after} for change in _between(label, before, after)]


def operations(document: Document) -> Iterator[tuple[str, "Operation"]]:
    """Each operation under its label, such as `GET /api/presets/{name}`."""
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                shared = item.get("parameters", [])
                yield f"{method.upper()} {path}", Operation(document, item[method], shared)


@dataclass(frozen=True)
class Operation:
    """One operation with the document its references lead into."""

    document: Document
    body: Document
    shared: list[Document]

    def resolve(self, value: Any) -> Any:
        """What a reference to other than a schema leads to; anything else as it is."""
        while isinstance(value, Mapping) and "$ref" in value:
            value = self.look_up(value["$ref"])
        return value

    def look_up(self, reference: str) -> Any:
        """What a reference leads to."""
        return _at(self.document, reference)

    @property
    def parameters(self) -> dict[tuple[str, str], Document]:
        """Parameters by place and name; the operation's own win over those of its path."""
        every = [self.resolve(one) for one in (*self.shared, *self.body.get("parameters", []))]
        return {(one["in"], one["name"]): one for one in every}

    def example(self, parameter: Document) -> Any:
        """The first documented example of a parameter; None without one."""
        schema = plain(self.look_up, parameter.get("schema", {}))
        found = [parameter.get("example"), *schema.get("examples", ())]
        return next((one for one in found if one is not None), None)

    @property
    def responses(self) -> dict[str, Document]:
        """Answers by status."""
        return {str(k): self.resolve(v) for k, v in self.body.get("responses", {}).items()}

    @property
    def security(self) -> list[str]:
        """What may be shown for access, each in words; empty where nothing is asked for."""
        wanted = self.body.get("security", self.document.get("security", []))
        known = self.document.get("components", {}).get("securitySchemes", {})
        return sorted(" and ".join(_scheme(known, name) for name in one) for one in wanted)


def _at(document: Document, reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def lost(document: Document) -> list[str]:
    """References that lead nowhere, out of the document, or back to themselves."""
    every = dict.fromkeys(_references(document))
    return [one for one in every if not _leads_somewhere(document, one)]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _leads_somewhere(document: Document, reference: str) -> bool:
    seen: set[str] = set()
    while reference.startswith("#/") and reference not in seen:
        seen.add(reference)
        try:
            found = _at(document, reference)
        except (KeyError, TypeError):
            return False
        if not isinstance(found, Mapping) or not isinstance(found.get("$ref"), str):
            return True
        reference = found["$ref"]
    return False


def _scheme(known: Document, name: str) -> str:
    found = known.get(name, {})
    words = [found.get(key) for key in ("type", "scheme", "in", "name")]
    return " ".join(str(word) for word in words if word) or name


def _between(
    label: str, before: Mapping[str, Operation], after: Mapping[str, Operation]
) -> list[Change]:
    if label not in after:
        return [Change(label, "the operation is gone", True)]
    if label not in before:
        return [Change(label, "the operation is new", False)]
    old, new = before[label], after[label]
    found = [
        *_security(old, new),
        *_parameters(old, new),
        *_request(old, new),
        *_responses(old, new),
    ]
    changes = [Change(label, what, breaking) for what, breaking in dict.fromkeys(found)]
    return changes or [Change(label, what, breaking) for what, breaking in _left(old, new)]


Found = Iterator[tuple[str, bool]]
"""What changed, and whether that breaks."""


def _security(old: Operation, new: Operation) -> Found:
    if old.security != new.security:
        was, now = (" or ".join(one.security) or "nothing" for one in (old, new))
        yield f"access needed {was} and now needs {now}", True


def _parameters(old: Operation, new: Operation) -> Found:
    for key, one in old.parameters.items():
        name = f"{key[0]} parameter {key[1]!r}"
        other = new.parameters.get(key)
        if other is None:
            yield f"the {name} is gone", True
            continue
        if other.get("required") and not one.get("required"):
            yield f"the {name} is now required", True
        elif one.get("required") and not other.get("required"):
            yield f"the {name} is no longer required", False
        yield from _schemas(old, new, one, other, name, "request")
    for key, one in new.parameters.items():
        if key not in old.parameters:
            required = bool(one.get("required"))
            kind = "required" if required else "optional"
            yield f"the {kind} {key[0]} parameter {key[1]!r} is new", required


def _request(old: Operation, new: Operation) -> Found:
    was, now = (one.resolve(one.body.get("requestBody")) for one in (old, new))
    if was and not now:
        yield "the request has no body any more", True
    elif now and not was:
        required = bool(now.get("required"))
        yield f"the request has a new {'required' if required else 'optional'} body", required
    elif was and now:
        if now.get("required") and not was.get("required"):
            yield "the request's body is now required", True
        yield from _content(old, new, was, now, "the request's body", "request")


def _responses(old: Operation, new: Operation) -> Found:
    for status, one in old.responses.items():
        if status not in new.responses:
            yield f"status {status} is no longer promised", status[0] not in "45"
            continue
        other, name = new.responses[status], f"the answer {status}"
        yield from _headers(old, new, one, other, name)
        yield from _content(old, new, one, other, name, "response")
    for status in new.responses:
        if status not in old.responses:
            yield f"status {status} is new", status[0] not in "45"


def _headers(old: Operation, new: Operation, was: Document, now: Document, name: str) -> Found:
    before = {key.lower(): old.resolve(one) for key, one in was.get("headers", {}).items()}
    after = {key.lower(): new.resolve(one) for key, one in now.get("headers", {}).items()}
    for key, one in before.items():
        if key not in after:
            yield f"{name} has lost the header {key!r}", True
        else:
            yield from _schemas(old, new, one, after[key], f"{name}: header {key!r}", "response")
    for key in (key for key in after if key not in before):
        yield f"{name} has the new header {key!r}", False


def _content(
    old: Operation, new: Operation, was: Document, now: Document, name: str, side: Side
) -> Found:
    before, after = was.get("content", {}), now.get("content", {})
    for media, one in before.items():
        if media not in after:
            yield f"{name} has lost the content type {media}", True
        else:
            yield from _schemas(old, new, one, after[media], name, side)
    for media in (media for media in after if media not in before):
        yield f"{name} has the new content type {media}", side == "response" and bool(before)


def _schemas(
    old: Operation, new: Operation, was: Document, now: Document, name: str, side: Side
) -> Found:
    comparison = Comparison(old.look_up, new.look_up, side, name)
    yield from comparison.schemas(was.get("schema", True), now.get("schema", True))


def _left(old: Operation, new: Operation) -> Found:
    """What is left: words for people, advice, or something that is not told apart here."""
    if _flat(old) == _flat(new):
        return
    bare = (_without(PROSE, old), _without(PROSE, new))
    if _flat(bare[0]) == _flat(bare[1]):
        yield "its description changed", False
    elif _flat(_without(ADVICE, bare[0])) == _flat(_without(ADVICE, bare[1])):
        yield f"its advice changed ({', '.join(sorted(ADVICE))})", False
    else:
        yield "something changed that is not told apart here (a default): compare both by eye", True


def _flat(one: Operation) -> str:
    return json.dumps(_expanded(one, one.body, ()), sort_keys=True)


def _expanded(one: Operation, value: Any, seen: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        reference = value.get("$ref")
        if isinstance(reference, str):
            if reference in seen:
                return reference
            return _expanded(one, one.resolve(value), (*seen, reference))
        return {
            key: flat(one.look_up, each) if key == "schema" else _expanded(one, each, seen)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_expanded(one, each, seen) for each in value]
    return value


def _without(keys: frozenset[str], one: Operation) -> Operation:
    return replace(one, body=_bare(keys, one.body), document=_bare(keys, one.document))


def _bare(keys: frozenset[str], value: Any, is_map_of_names: bool = False) -> Any:
    if isinstance(value, Mapping):
        kept = value if is_map_of_names else {k: v for k, v in value.items() if k not in keys}
        names, values = (*MAPS, "schemas", "$defs"), ("default", "const", "enum")
        return {
            key: each if key in values and not is_map_of_names else _bare(keys, each, key in names)
            for key, each in kept.items()
        }
    return [_bare(keys, each) for each in value] if isinstance(value, list) else value


def label_parts(label: str) -> tuple[str, str]:
    """Method and path template of an operation's label."""
    method, _, path = label.partition(" ")
    return method, path


def matches(template: str, path: str) -> bool:
    """Whether a request's path is one of a template such as `/api/presets/{name}`."""
    pattern = re.sub(r"\\{[^{}]*\\}", "[^/]*", re.escape(template))
    return re.fullmatch(pattern, path) is not None
