"""The engine knows no product: nothing in gate/ names a service, route, state or field of the bot.

The words come from the stack file and the agreed contract. Routes, states and names of services are
looked for everywhere; a field only where it is quoted and no ordinary English word (`status`).
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from gate.model import FILE, model

ROOT = FILE.parent.parent
SOURCES = sorted((ROOT / "gate").rglob("*.py"))
KINDS = {"api", "page", "proxy", "redis", "prometheus", "alertmanager", "grafana"}
"""Kinds that any stack may have: a service that is called like its kind gives nothing away."""
LOG_LEVELS = {"INFO", "WARNING", "ERROR", "CRITICAL"}


def documents() -> Iterator[Any]:
    for path in sorted((ROOT / "contracts").rglob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    for one in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from nodes(one)


def names() -> set[str]:
    own = {model().project, model().label_prefix, model().project.replace("-", "_")}
    return own | model().services.keys() - KINDS


def routes() -> set[str]:
    """Two segments of each path: more may be put together."""
    paths = [path for one in documents() for path in one.get("paths", ())]
    return {"/".join(path.split("/")[:3]) for path in paths if path.strip("/").count("/")}


def states() -> set[str]:
    found = {str(value) for one in documents() for node in nodes(one) for value in values(node)}
    return {word for word in found if word.isupper()} - LOG_LEVELS


def values(node: dict[str, Any]) -> list[Any]:
    return [*node.get("enum", ()), node.get("const")] if "enum" in node or "const" in node else []


def fields() -> set[str]:
    found = {
        name
        for one in documents()
        for node in nodes(one)
        if isinstance(node.get("properties"), dict)
        for name in node["properties"]
    }
    return {name for name in found if re.search(r"[a-z][A-Z]|_", name)}


def test_the_words_are_those_of_the_bot() -> None:
    assert "/api/engine" in routes()
    assert "EMERGENCY" in states()
    assert {"engine_state", "openPositions"} <= fields()
    assert {"breakout-bot-api", "exchange", "breakout-bot"} <= names()


def test_the_engine_names_nothing_of_the_bot() -> None:
    words = "|".join(map(re.escape, sorted(names() | routes() | states(), key=len, reverse=True)))
    quoted = "|".join(sorted(fields()))
    pattern = re.compile(rf"(?<![\w-])(?:{words})(?!\w)|[\"'](?:{quoted})[\"']")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {hit[0]}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for hit in pattern.finditer(line)
    ]
    assert not found
