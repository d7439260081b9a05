"""Changes to the lifecycle's own modules, for faults of the commands themselves.

A gate that such a fault is planted in is a process of its own, which loads the changed text when it
first imports the module. Programs that it starts, such as `compose/update.sh` in a runbook's shell,
load it with `environment()`.
"""

import ast
import importlib
import json
import sys
from pathlib import Path

from compose.release import HERE
from gate.errors import MachineError
from gate.machine.commands import run_checked
from tests.faults.hook.sitecustomize import TEXTS, VARIABLE, Changed, Finder

PACKAGE = "compose.lifecycle"
MODULES = sorted({path.stem for path in (HERE / "lifecycle").glob("*.py")} - {"__init__"})
HOOK = Path(__file__).with_name("hook")
LIMIT = 30.0


def path_of(module: str) -> Path:
    """Give the file of a module of the lifecycle package."""
    return HERE / "lifecycle" / f"{module}.py"


def text_of(module: str) -> str:
    """Give the text of a module, with the changes that are in force."""
    return TEXTS.get(f"{PACKAGE}.{module}") or path_of(module).read_text(encoding="utf-8")


def change(module: str, text: str) -> None:
    """Let this process load another text of a module. Raises `MachineError` where it is too late.

    What holds functions of a module by name would go on with the old ones.
    """
    name = f"{PACKAGE}.{module}"
    if name in sys.modules:
        raise MachineError(f"expected to change {name} before it is imported, but it is already")
    if not TEXTS:
        sys.meta_path.insert(0, Finder())
    TEXTS[name] = text


def environment() -> dict[str, str]:
    """Give what lets a program run the changed modules too; nothing while none is changed."""
    return {"PYTHONPATH": str(HOOK), VARIABLE: json.dumps(TEXTS)} if TEXTS else {}


def here(module: str) -> str | None:
    """Give the text of a module as this process runs it."""
    name = f"{PACKAGE}.{module}"
    spec = importlib.import_module(name).__spec__
    return spec.loader.get_source(name) if spec and isinstance(spec.loader, Changed) else None


def elsewhere(module: str) -> str:
    """Give the text of a module as programs with `environment()` load it. Raises `MachineError`."""
    name = f"{PACKAGE}.{module}"
    script = (
        "import importlib.util as u, sys;"
        f" sys.stdout.write(u.find_spec({name!r}).loader.get_source({name!r}))"
    )
    words = [sys.executable, "-c", script]
    return run_checked(f"load {name}", words, LIMIT, cwd=HERE.parent, env=environment()).out


def same_code(one: str, other: str) -> bool:
    """Whether two texts differ in nothing but comments and docstrings."""
    return _code(one) == _code(other)


def _code(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
    return ast.dump(tree)
