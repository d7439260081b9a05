"""Deletes statements, one at a time, and counts how often a unit test turns red.

`python -m tests.bench.statements FILE... --seed N -- PYTEST ARGUMENTS` works on a copy of the tree
in a temporary folder. It prints each deletion that no test noticed, and ends with 1 below --least.
"""

import argparse
import ast
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gate.machine.commands import run, run_checked
from gate.machine.console import Parser, say
from gate.machine.interrupts import run_main

ROOT = Path(__file__).parent.parent.parent
UNTOUCHED = (
    ast.Import,
    ast.ImportFrom,
    ast.Pass,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
)
"""Without a name that it imports or defines a file fails everywhere, which says little of tests."""
BODIES = ("body", "orelse", "finalbody")
GIT_LIMIT = 30.0
GREEN = 0
"""Exit code of pytest. Any other is red: tests that cannot be collected, or hang, noticed too."""


@dataclass(frozen=True)
class Statement:
    """One statement of a file that can be deleted."""

    file: Path
    """Relative to the root of the tree."""
    number: int
    """Position among the statements of its file."""
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def statements(root: Path, file: Path) -> list[Statement]:
    """List the statements of a file that can be deleted, in order."""
    source = (root / file).read_text(encoding="utf-8")
    lines = source.splitlines()
    places = _places(ast.parse(source))
    return [
        Statement(file, number, node.lineno, lines[node.lineno - 1].strip())
        for number, (_, _, node) in enumerate(places)
    ]


def without(source: str, number: int) -> str:
    """Give a source text without its n-th statement that can be deleted."""
    tree = ast.parse(source)
    body, position, _ = list(_places(tree))[number]
    body[position] = ast.Pass()  # where a body would be empty it is needed, elsewhere no matter
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _places(tree: ast.AST) -> Iterator[tuple[list[ast.stmt], int, ast.stmt]]:
    """Give every statement that can be deleted, with the body that it stands in, by line."""
    found = [
        (body, position, node)
        for parent in ast.walk(tree)
        for name in BODIES
        if isinstance(body := getattr(parent, name, None), list)
        for position, node in enumerate(body)
        if isinstance(node, ast.stmt) and not _is_untouched(node)
    ]
    yield from sorted(found, key=lambda place: (place[2].lineno, place[2].col_offset))


def _is_untouched(node: ast.stmt) -> bool:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or isinstance(node, UNTOUCHED)


def copied(root: Path, to: Path) -> Path:
    """Copy what git knows or would add, as it is now; without the folders that it ignores."""
    listed = run_checked(
        "list files", ["git", "ls-files", "-coz", "--exclude-standard"], GIT_LIMIT, cwd=root
    )
    for name in filter(None, listed.out.split("\0")):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)
    return to


def is_noticed(tree: Path, statement: Statement, tests: Sequence[str], limit: float) -> bool:
    """Delete a statement in a copy of the tree, run the tests, and put it back."""
    path = tree / statement.file
    source = path.read_text(encoding="utf-8")
    path.write_text(without(source, statement.number), encoding="utf-8")
    try:
        return _tested(tree, tests, limit)[0] != GREEN
    finally:
        path.write_text(source, encoding="utf-8")


def _tested(tree: Path, tests: Sequence[str], limit: float) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-x", *tests]
    done = run(command, limit, cwd=tree, env={"PYTHONDONTWRITEBYTECODE": "1"})
    return done.code, done.text


def main() -> int:
    """Draw, delete, test and count; 1 when fewer were noticed than asked for."""
    parser = Parser(prog="python -m tests.bench.statements", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--least", type=float, default=0.9, help="share that has to be noticed")
    parser.add_argument(
        "--limit", type=float, default=120.0, help="seconds of one run of the tests"
    )
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    asked = parser.parse_args(words[:at])
    return measured(asked, words[at + 1 :])


def measured(asked: argparse.Namespace, tests: Sequence[str]) -> int:
    """Run the trials; the exit code."""
    files = [path.resolve().relative_to(ROOT) for path in asked.files]
    with tempfile.TemporaryDirectory(prefix="statements-") as folder:
        tree = copied(ROOT, Path(folder))
        known = [one for file in files for one in statements(tree, file)]
        drawn = random.Random(asked.seed).sample(known, min(asked.trials, len(known)))
        code, text = _tested(tree, tests, asked.limit)
        if code != GREEN:
            raise SystemExit(
                f"expected green tests before the first deletion, got:\n{text[-3000:]}"
            )
        missed = 0
        for number, statement in enumerate(drawn, 1):
            noticed = is_noticed(tree, statement, tests, asked.limit)
            missed += not noticed
            say(f"{number:3} of {len(drawn)} {'red     ' if noticed else 'SURVIVES'} {statement}")
    say(f"seed {asked.seed}: {len(drawn) - missed} of {len(drawn)} deletions turned a test red")
    return int(len(drawn) - missed < asked.least * len(drawn))


if __name__ == "__main__":
    sys.exit(run_main(main))
