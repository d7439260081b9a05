"""The three sets of packages: what each holds, and that .venv is made with what was asked for."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest

from gate import options
from gate import target as targets

ROOT = Path(__file__).parent.parent.parent
LAYERS = ("production", "gate", "development")
PIN = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
PLACES = ("requirements/*.txt", "*/requirements*.txt", "compose/*/requirements*.txt")
LOCKS = sorted(path for place in PLACES for path in ROOT.glob(place))
NEVER_THERE = {("gate.model", "yaml"), ("gate.stack", "testcontainers")}
"""Imported in functions that it never calls: `make manifest` writes compose/gate.yaml, and an
operator drives a disposable stack."""
SMOKE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
REPORTS, *ABSENT = sys.argv[1:]
sys.meta_path.insert(0, Absent())
import pytest
pytest.main(["-m", "smoke", "--target", "https://127.0.0.1:1", "--report-dir=" + REPORTS])
"""


def pins(layer: str) -> set[tuple[str, str]]:
    """Name and version of every package that a set locks; some have one a version of Python."""
    return set(PIN.findall((ROOT / "requirements" / f"{layer}.txt").read_text("utf-8")))


def file_of(module: str) -> Path | None:
    """The file of a module of this project; None for any other."""
    place = ROOT / Path(*module.split("."))
    found = [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()]
    return found[0] if found else None


def imports(path: Path) -> Iterable[str]:
    """Every module that a file may import, at whatever place: `from a import b` may mean `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: expected absolute imports, got relative"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def reachable(start: str) -> tuple[set[str], set[tuple[str, str]]]:
    """The modules of this project that one leads to, and who imports which other top-level name."""
    ours, others, queue = set[str](), set[tuple[str, str]](), [("", start)]
    while queue:
        importer, module = queue.pop()
        parts = module.split(".")
        prefixes = [".".join(parts[: count + 1]) for count in range(len(parts))]
        files = {name: path for name in prefixes if (path := file_of(name))}
        if not files:
            others.add((importer, parts[0]))
        for name, path in files.items():
            if name not in ours:
                ours.add(name)
                queue += [(name, found) for found in imports(path)]
    return ours, others


def beyond(layer: str) -> set[str]:
    """The top-level names that are installed here, and come with no package of the set."""
    locked = {name for name, _ in pins(layer)}
    return {
        name
        for name, packages in metadata.packages_distributions().items()
        if not locked & {re.sub(r"[-_.]+", "-", one).lower() for one in packages}
    }


def test_each_set_holds_the_one_before_at_the_same_versions() -> None:
    production, gate, development = map(pins, LAYERS)
    assert production < gate < development


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_package_is_locked_by_hash_and_no_registry_is_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert not [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry]
    assert not re.findall(r"\S*://\S*|--(?:extra-)?index-url.*|--find-links.*", text)


def test_the_lifecycle_imports_only_what_a_production_host_has() -> None:
    ours, others = reachable("compose.lifecycle.__main__")
    assert len(ours) > 30
    assert {"httpx", "cryptography"} <= {name for _, name in others}
    absent = beyond("production")
    assert {(importer, name) for importer, name in others if name in absent} == NEVER_THERE


def test_the_smoke_stage_of_a_deploy_needs_only_what_a_production_host_has(tmp_path: Path) -> None:
    absent = beyond("production") - {path.name for path in ROOT.iterdir()}
    assert {"locust", "scipy", "playwright", "mypy", "schemathesis", "testcontainers"} < absent
    done = subprocess.run(
        [sys.executable, "-c", SMOKE, str(tmp_path), *absent],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "can be reached" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "latest" / "index.html").is_file()


@pytest.mark.parametrize(("stages", "live"), [(("smoke",), False), (("smoke", "ui"), True)])
def test_where_only_that_set_is_installed_other_runs_say_what_to_install(
    stages: tuple[str, ...], live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = targets.read(None, None), targets.read("https://bot.example.org", None)
    target = there if live else here
    options.require_packages(stages, target)
    monkeypatch.setattr(options, "find_spec", lambda _: None)
    options.require_packages(("smoke",), there)
    with pytest.raises(pytest.UsageError, match="run `make venv-gate`"):
        options.require_packages(stages, target)


PYTHON = """#!/bin/sh
case "$*" in
-ISc*) echo {version} ;;
"-m venv"*)
    rm -rf .venv/* && mkdir -p .venv/bin && ln -s "$0" .venv/bin/python
    echo "version = {version}.4" >.venv/pyvenv.cfg
    echo "command = $0 -m venv --clear $PWD/.venv" >>.venv/pyvenv.cfg
    ;;
esac
echo "$@" >>calls
"""


class Tree:
    """A copy of what venv.sh works on, with a Python that only writes down what it is asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "compose" / "machine").mkdir(parents=True)
        shutil.copy(ROOT / "compose" / "machine" / "venv.sh", root / "compose" / "machine")
        shutil.copytree(ROOT / "requirements", root / "requirements")
        (root / "pyproject.toml").write_text("")
        self.upgrade("3.11")

    def upgrade(self, version: str, name: str = "python3") -> None:
        """Let the system's Python be of another version; that of .venv is a link to it."""
        python = self.root / "system" / name
        python.parent.mkdir(exist_ok=True)
        python.unlink(missing_ok=True)
        python.write_text(PYTHON.format(version=version))
        python.chmod(0o755)

    def make(self, *words: str) -> tuple[list[str], str]:
        """Ask for a set; the files that were installed from, and what was printed."""
        (self.root / "calls").write_text("")
        done = subprocess.run(
            ["sh", "compose/machine/venv.sh", *words],
            cwd=self.root,
            env={"PATH": f"{self.root}/system:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        calls = (self.root / "calls").read_text(encoding="utf-8")
        return re.findall(r"-r requirements/(\w+)\.txt", calls), done.stdout + done.stderr


def test_a_set_that_is_there_costs_nothing_and_says_nothing(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    assert tree.make("production")[0] == ["production"]
    assert tree.make("production") == ([], "")


def test_a_production_venv_is_completed_for_the_gate_and_never_shrinks(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    asked = ["production", "gate", "development", "gate", "production"]
    made = [tree.make(layer)[0] for layer in asked]
    assert made == [["production"], ["gate"], ["development"], [], []]


def test_new_versions_for_production_have_the_larger_sets_looked_at_again(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.make()
    with (tmp_path / "requirements" / "production.txt").open("a") as file:
        file.write("# another\n")
    assert [tree.make(layer)[0] for layer in LAYERS] == [[layer] for layer in LAYERS]


def test_an_unknown_set_is_refused(tmp_path: Path) -> None:
    _, printed = Tree(tmp_path).make("everything")
    assert printed.startswith("expected production, gate or development, got everything")


def test_a_venv_of_a_python_that_was_upgraded_is_made_anew(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.make("gate")
    tree.upgrade("3.13")
    installed, printed = tree.make("gate")
    assert installed == ["gate"]
    assert "making .venv for gate" in printed
    assert tree.make("gate") == ([], "")


def test_a_venv_whose_python_is_gone_or_does_not_start_is_made_anew(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for spoilt in ("removed", "#!/nowhere/sh\n", ""):
        tree.make()
        python = tree.root / ".venv" / "bin" / "python"
        python.unlink()
        if spoilt == "removed":
            python.symlink_to("/nowhere/python3")
        else:
            python.write_text(spoilt)
            python.chmod(0o755)
        assert tree.make()[0] == ["development"]


@pytest.mark.parametrize("name", ["renamed", "with a space", "longer-prefix"])
def test_a_venv_of_another_folder_is_made_anew(tmp_path: Path, name: str) -> None:
    tree = Tree(tmp_path / "prefix")
    tree.make("production")
    tree.root = shutil.copytree(tmp_path / "prefix", tmp_path / name, symlinks=True)
    assert tree.make("production")[0] == ["production"]
    assert tree.make("production") == ([], "")


def test_a_venv_that_is_a_link_is_used_or_let_alone(tmp_path: Path) -> None:
    """Worktrees share one: making it anew for one of them would take it from the others."""
    tree, other = Tree(tmp_path / "mine"), Tree(tmp_path / "other")
    other.make()
    (tree.root / ".venv").symlink_to(other.root / ".venv")
    assert tree.make() == ([], "")
    other.upgrade("3.13")
    before = (other.root / ".venv" / "pyvenv.cfg").read_text()
    assert tree.make()[0] == ["development"]
    assert not (tree.root / ".venv").is_symlink()
    assert (other.root / ".venv" / "pyvenv.cfg").read_text() == before


def test_checks_of_another_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "early.py").write_text("")
    (tmp_path / "pytest.ini").write_text("[pytest]")
    words = [sys.executable, "-c", "import pytest, sys; sys.exit(pytest.main(sys.argv[1:]))"]
    done = subprocess.run(
        [*words, "-m", "smoke"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    assert f"expected the checks of {tmp_path}, got those of {ROOT}" in done.stderr
    assert "Traceback" not in done.stderr
