"""One tree of exceptions: each ends a command with one exit code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from compose.lifecycle.errors import Rejected
from gate import errors
from gate.checks import CheckFailed
from gate.errors import DockerSilent, GateError, MachineError, UsageError, WireError

ROOT = Path(__file__).parents[2]
FOLDERS = ("gate", "load", "contracts", "compose/lifecycle", "compose/machine", "tests/faults")
SINGLE = [*ROOT.glob("compose/*.py")]


def classes() -> Iterator[tuple[str, set[str]]]:
    """Give every class of the suite with its bases, without importing it."""
    for path in [*SINGLE, *(path for one in FOLDERS for path in (ROOT / one).rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield node.name, {ast.unparse(base) for base in node.bases}


def test_the_drawing_is_the_tree() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    found, known = {"GateError"}, list(classes())
    while more := {name for name, bases in known if bases & found} - found:
        found |= more
    assert found - {"GateError"} == drawn


def test_no_exception_of_a_module_is_beside_the_tree() -> None:
    beside = {name for name, bases in classes() if bases & {"Exception", "ValueError"}}
    assert beside == {"GateError", "UsageError", "RedisReplyError"}  # the last is an answer


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (UsageError, 4),
        (MachineError, 6),
        (WireError, 6),
        (DockerSilent, 6),
        (Rejected, 1),
        (CheckFailed, 1),
    ],
)
def test_one_except_is_enough(kind: type[GateError], code: int) -> None:
    assert issubclass(kind, GateError)
    assert kind.exit_code == code


def test_docker_that_says_nothing_is_the_machine_s_fault() -> None:
    assert issubclass(DockerSilent, MachineError)
