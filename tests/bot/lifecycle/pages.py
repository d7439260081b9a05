"""A page of docs/runbooks, followed to the letter: its command blocks, in order, in a shell."""

import re
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

from compose.release import HERE
from gate import expect
from gate.machine.docker import pinned
from gate.target import Target
from tests.faults import sources

ROOT = HERE.parent
PAGES = ROOT / "docs" / "runbooks"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
LIMIT = 240.0
_texts: dict[str, str] = {}


def names() -> tuple[str, ...]:
    """Every page."""
    return tuple(sorted({path.stem for path in PAGES.glob("*.md")} - {"README"}))


def text(page: str) -> str:
    """What a page says, with the changes that are in force."""
    return _texts.get(page) or (PAGES / f"{page}.md").read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    """The command blocks of a page, in order."""
    return BLOCK.findall(text(page))


def changed(page: str, text: str) -> AbstractContextManager[object]:
    """Let a page say something else, for a planted fault."""
    return patch.dict(_texts, {page: text})


def follow(page: str, environment: Mapping[str, str]) -> None:
    """Run every command block of a page. Fails the check where one does not end with 0."""
    every = blocks(page)
    expect(len(every) >= 2, "a block before and one after", f"{len(every)} blocks")
    for number, block in enumerate(every, 1):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=ROOT,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        said = (done.stdout + done.stderr)[-1500:]
        expect(done.returncode == 0, f"block {number} to end with 0", done.returncode, said)


def lead(folder: Path, where: Target) -> None:
    """Let curl, in a shell with `folder` as its home, connect to where the target's names lead."""
    url = where.url
    host, port = where.address_of(url)
    names = [f"{label}{urlsplit(url).hostname}" for label in ("", "api.")]
    lines = [f'connect-to = "{name}:{urlsplit(url).port or 443}:{host}:{port}"' for name in names]
    (folder / ".curlrc").write_text("\n".join([*lines, ""]), encoding="utf-8")


def shell(folder: Path) -> dict[str, str]:
    """What a shell has anyway, with `folder` for its files."""
    own = {"PATH": SYSTEM_PATH, "HOME": str(folder), "TMPDIR": str(folder)}
    return own | pinned() | sources.environment()
