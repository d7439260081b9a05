"""What is written of the checks agrees with them: manifest, findings.md, and what each follows."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = """
import json, sys
from gate import findings, manifest
from reports.checks import matches

checks = manifest.items()
made = manifest.sorted_in(checks)
listed = [check for stage in made.values() for check in stage]
found = {}  # by test and place: a glob may name a parameter that only some of them have
for name, check in checks:
    for place, glob in enumerate(check.follows):
        there = any(matches(glob, other) for other in listed if other != name)
        found.setdefault((name.partition("[")[0], place), {})[glob] = there
json.dump(
    {
        "manifest": manifest.text(made) == manifest.FILE.read_text(),
        "findings": findings.text(checks) == findings.FILE.read_text(),
        "nothing": [[key[0], *globs] for key, globs in found.items() if not any(globs.values())],
    },
    sys.stderr,
)
"""


@pytest.fixture(scope="module")
def collected() -> dict[str, Any]:
    """What a process of its own, as collecting needs it, found out about all checks."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return found


def test_the_manifest_lists_every_check(collected: dict[str, Any]) -> None:
    assert collected["manifest"], "run `make manifest`"


def test_findings_md_explains_every_check(collected: dict[str, Any]) -> None:
    assert collected["findings"], "run `make findings`"


def test_what_a_check_follows_is_another_check(collected: dict[str, Any]) -> None:
    assert collected["nothing"] == []
