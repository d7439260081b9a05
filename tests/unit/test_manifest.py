"""What is written of the checks agrees with them: manifest, findings, follows, mentions in code."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate import manifest
from gate.checks import Check
from gate.errors import UsageError
from gate.stages import STAGES
from reports.checks import matches

ROOT = Path(__file__).parent.parent.parent
STAGE_NAMES = "|".join(STAGES)
MENTION = re.compile(rf"(\w+\.)?({STAGE_NAMES})\.[\w*]+\.[^\s,:]+")
MODULES = re.compile(r"(tests|compose|contracts)\.")
FILES = re.compile(r"\.(py|toml|json|yaml|html|md|png|log)$")
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


def mentions(path: Path) -> Iterator[str]:
    """Ids and globs of checks in a source file; `*` stands for what is filled in."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    parts = {part for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        text = ""
        if isinstance(node, ast.JoinedStr):
            texts = [one.value if isinstance(one, ast.Constant) else "*" for one in node.values]
            text = "".join(map(str, texts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            text = re.sub(r"{\w+}", "*", node.value)
        if MENTION.fullmatch(text) and not MODULES.match(text) and not FILES.search(text):
            yield text


def test_every_check_that_the_code_names_exists() -> None:
    ids = [check for checks in manifest.load().values() for check in checks]
    own = ROOT / "tests" / "unit"
    files = [*(ROOT / "gate").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    wrong = {
        (str(path.relative_to(ROOT)), text)
        for path in files
        if not path.is_relative_to(own)
        for text in mentions(path)
        if not any(matches(text, check) for check in ids)
    }
    assert not wrong


@pytest.mark.parametrize("need", ["disposible", "direct:servr", "direct:", ""])
def test_a_need_that_no_target_can_meet_is_refused(need: str) -> None:
    check = Check("proxy", "a cause", "a step", ("proxy", need), ())
    with pytest.raises(UsageError, match=r"smoke\.tls\.lasts: expected needs to be .*got '"):
        manifest.sorted_in([("smoke.tls.lasts", check)])


def test_every_test_file_is_where_somebody_runs_it() -> None:
    known = {*STAGES, "unit", "faults"}
    found = [path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")]
    assert found
    assert not [str(path) for path in found if path.parent.name not in known]
