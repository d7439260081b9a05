"""The tool that deletes statements deletes the right ones, and tells red from green."""

import ast
from pathlib import Path

import pytest

from tests.bench import statements

SOURCE = '''"""Text."""
import os

LIMIT = 3


def double(value: int) -> int:
    """Text."""
    if value > LIMIT:
        raise ValueError(value)
    elif value < 0:
        return 0
    result = value * 2
    return result
'''
TEST = """
from code_ import double

def test_double():
    assert double(2) == 4
    assert double(-1) == 0
"""
LINES = [4, 9, 10, 11, 12, 13, 14]


def listed(folder: Path) -> list[statements.Statement]:
    (folder / "code_.py").write_text(SOURCE)
    return statements.statements(folder, Path("code_.py"))


def test_everything_but_texts_imports_and_definitions_is_listed(tmp_path: Path) -> None:
    assert [one.line for one in listed(tmp_path)] == LINES


def test_each_deletion_leaves_a_file_that_can_be_read_and_differs() -> None:
    changed = [statements.without(SOURCE, number) for number in range(len(LINES))]
    whole = ast.unparse(ast.parse(SOURCE))
    assert all(ast.unparse(ast.parse(text)) != whole for text in changed)
    assert len(set(changed)) == len(LINES)


@pytest.mark.parametrize(("line", "is_noticed"), [(10, False), (12, True), (14, True)])
def test_a_deletion_is_noticed_when_a_test_turns_red_and_undone_afterwards(
    tmp_path: Path, line: int, is_noticed: bool
) -> None:
    statement = next(one for one in listed(tmp_path) if one.line == line)
    (tmp_path / "test_code.py").write_text(TEST)
    tests = ["-p", "no:cacheprovider", "test_code.py"]
    assert statements.is_noticed(tmp_path, statement, tests, 60.0) is is_noticed
    assert (tmp_path / "code_.py").read_text() == SOURCE


def test_a_copy_has_what_git_knows_as_it_is_now(tmp_path: Path) -> None:
    tree = statements.copied(statements.ROOT, tmp_path)
    name = Path("tests/bench/statements.py")
    assert (tree / name).read_bytes() == (statements.ROOT / name).read_bytes()
    assert not (tree / ".git").exists()
