"""A page of docs/runbooks, followed to the letter: its command blocks, in order, in a shell."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from compose.release import HERE
from tests.checks import expect

ROOT = HERE.parent
PAGES = ROOT / "docs" / "runbooks"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
LIMIT = 240.0


def follow(page: str, environment: Mapping[str, str]) -> None:
    """Run every command block of a page. Fails the check where one does not end with 0."""
    blocks = BLOCK.findall((PAGES / f"{page}.md").read_text(encoding="utf-8"))
    expect(len(blocks) >= 2, "a block before and one after", f"{len(blocks)} blocks")
    for number, block in enumerate(blocks, 1):
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


def shell(folder: Path) -> dict[str, str]:
    """What a shell has anyway, with `folder` for its files."""
    path = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    return {"PATH": path, "HOME": str(folder), "TMPDIR": str(folder)}
