"""The manifest, the page of findings and every mention of a check are true of the checks."""

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate import findings, manifest
from gate.stages import STAGES
from reports.checks import matches

ROOT = Path(__file__).parent.parent.parent
COLLECT = """
import json, sys
from gate import findings, manifest
found = manifest.items()
told = {
    "manifest": manifest.text(manifest.sorted_in(found)),
    "findings": findings.text(found),
    "follows": [[name, check.follows] for name, check in found],
}
open(sys.argv[1], "w").write(json.dumps(told))
"""
STAGE_NAMES = "|".join(STAGES)
MENTION = re.compile(rf"(\w+\.)?({STAGE_NAMES})\.[\w*]+\.[^\s,:]+")
MODULES = re.compile(r"(tests|compose|contracts)\.")
FILES = re.compile(r"\.(py|toml|json|yaml|html|md|png|log)$")


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the checks of this tree say, collected once in a process of its own."""
    path = tmp_path_factory.mktemp("checks") / "told.json"
    command = [sys.executable, "-c", COLLECT, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(path.read_text())
    return told


@pytest.mark.parametrize("name", ["manifest", "findings"])
def test_what_is_written_from_the_checks_is_up_to_date(
    collected: dict[str, Any], name: str
) -> None:
    file = {"manifest": manifest.FILE, "findings": findings.FILE}[name]
    assert collected[name] == file.read_text(), "run `make manifest`"


def test_what_a_check_follows_exists(collected: dict[str, Any]) -> None:
    ids = [name for name, _ in collected["follows"]]
    named: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for name, globs in collected["follows"]:  # of a parametrised one some may have no counterpart
        for number, glob in enumerate(globs):
            named[name.partition("[")[0], number].append(glob)
    wrong = [
        (name, globs)
        for (name, _), globs in named.items()
        if not any(matches(glob, check) for glob in globs for check in ids)
    ]
    assert not wrong


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
