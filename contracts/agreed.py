"""The agreed document on disk: read it, read another one, and agree on a new one."""

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contracts.diff import METHODS, Change, compare, lost, verdict
from gate.errors import TargetError, UsageError
from gate.target import ENTRY, Credentials, Target, behind_proxy
from gate.urls import base_url
from gate.wire import Answer, Wire, WireError

FILE = Path(__file__).with_name("openapi.json")
LOG = Path(__file__).with_name("CHANGELOG.md")
FETCH_SECONDS = 10.0
HEAD = "# Contract changelog\n"


class ContractError(UsageError):
    """A contract that cannot be used, said in one sentence: what was expected, what was given."""


@dataclass(frozen=True)
class Accepted:
    """A newly agreed version, and what changed from the one before."""

    version: str
    changes: list[Change]


def load(path: Path = FILE) -> dict[str, Any]:
    """The document in a file. Raises `ContractError`."""
    try:
        return _document(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ContractError(f"expected a readable contract file, got {path}: {reason}") from None


def read(source: str, target: Target | None = None) -> dict[str, Any]:
    """The document in a file, or behind an http(s) URL. Raises `ContractError`.

    A URL is asked as `target` is: with its authorities, and where its URLs lead.
    """
    if "://" not in source:
        return load(Path(source))
    parts = urlsplit(source.strip())
    try:
        base = base_url(f"{parts.scheme}://{parts.netloc}", "a contract", ("https", "http"))
    except TargetError as error:
        raise ContractError(str(error)) from None
    url = base + parts._replace(scheme="", netloc="", fragment="").geturl()
    try:
        answer = asyncio.run(_asked(_place(base, target), url))
    except WireError as error:
        why = str(error).removeprefix(f"GET {url}: ")
        trust = "; --ca-file names the authorities to trust" if why.startswith("TLS") else ""
        raise ContractError(f"expected a contract at {url}, got: {why}{trust}") from None
    if answer.status != 200:
        raise ContractError(f"expected a contract at {url}, got status {answer.status}")
    return _document(answer.text, url)


def _place(base: str, target: Target | None) -> Target:
    """Give the target that a document is asked of: `target` itself where it is served there."""
    if target is not None and base in target.urls.values():
        return replace(target, kind="live", urls={ENTRY: base})
    place = behind_proxy(base) if base.startswith("https:") else Target(base, "live", {ENTRY: base})
    return replace(place, ca_file=(target and target.ca_file) or place.ca_file)


async def _asked(target: Target, url: str) -> Answer:
    async with Wire(target, Credentials(), lambda _: None, limit=FETCH_SECONDS) as wire:
        return await wire.http(url)


def _document(text: str, source: str) -> dict[str, Any]:
    try:
        return whole(json.loads(text), source)
    except json.JSONDecodeError as error:
        raise ContractError(f"expected OpenAPI as JSON in {source}, got: {error}") from None


def whole(found: object, source: str) -> dict[str, Any]:
    """A document that can be compared. Raises `ContractError`."""
    version = found.get("openapi") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not str(version).startswith("3.1") or not _shaped(found):
        raise ContractError(
            f"expected an OpenAPI 3.1 document with paths in {source},"
            f" got {f'version {version}' if version else 'no such document'}"
        )
    if nowhere := lost(found):
        raise ContractError(
            f"expected every $ref to lead to a part of {source}, got {', '.join(nowhere[:3])}"
        )
    return found


def _shaped(found: dict[str, Any]) -> bool:
    paths, info = found.get("paths"), found.get("info", {})
    if not isinstance(paths, dict) or not isinstance(info, dict):
        return False
    return all(
        isinstance(item, dict) and all(isinstance(item.get(one, {}), dict) for one in METHODS)
        for item in paths.values()
    )


def labels(document: dict[str, Any] | None = None) -> list[str]:
    """Every operation of the agreed document, such as `GET /api/health`."""
    paths = (document or load())["paths"]
    return [f"{m.upper()} {path}" for path, item in paths.items() for m in METHODS if m in item]


def accept(served: dict[str, Any], file: Path = FILE, log: Path = LOG) -> Accepted:
    """Agree on what is served: write the document and its line in the changelog.

    A breaking change makes a new major version, any other a new minor one.
    """
    before = load(file)
    changes = compare(before, served)
    if not changes:
        return Accepted(before["info"]["version"], [])
    major, minor = (int(part) for part in before["info"]["version"].split(".")[:2])
    breaks = verdict(changes) == "breaking"
    version = f"{major + 1}.0.0" if breaks else f"{major}.{minor + 1}.0"
    document = {**served, "info": {**served.get("info", {}), "version": version}}
    document.pop("servers", None)
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    log.write_text(_logged(log, version, changes), encoding="utf-8")
    return Accepted(version, changes)


def _logged(log: Path, version: str, changes: list[Change]) -> str:
    earlier = log.read_text(encoding="utf-8").removeprefix(HEAD) if log.exists() else ""
    rows = [
        f"- {'**breaking** ' if one.breaking else ''}`{one.where}`: {one.what}" for one in changes
    ]
    title = f"## {version} ({date.today().isoformat()})"
    return "\n".join([HEAD, title, "", *rows, ""]) + earlier
