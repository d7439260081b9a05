"""Changes to the lifecycle's own modules, for faults of the commands themselves.

In the gate's process the code of functions and methods is exchanged where it stands, so that
whoever imported one by name runs the changed one; constants are set. Programs that the gate starts,
such as `compose/update.sh` in a runbook's shell, load the changed text with `environment()`.
"""

import importlib
import inspect
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any
from unittest.mock import patch

from compose.release import HERE
from gate.machine.commands import must

PACKAGE = "compose.lifecycle"
MODULES = sorted({path.stem for path in (HERE / "lifecycle").glob("*.py")} - {"__init__"})
CONSTANT = (str, int, float, tuple, frozenset)
HOOK = Path(__file__).with_name("hook")
VARIABLE = "GATE_CHANGED_SOURCES"
"""What hook/sitecustomize.py reads: changed texts by the whole names of their modules."""
LIMIT = 30.0
_texts: dict[str, str] = {}


def path_of(module: str) -> Path:
    """The file of a module of the lifecycle package."""
    return HERE / "lifecycle" / f"{module}.py"


def text_of(module: str) -> str:
    """The text of a module, with the changes that are in force."""
    return _texts.get(module) or path_of(module).read_text(encoding="utf-8")


def environment() -> dict[str, str]:
    """What lets a program run the changed modules too; empty while none is changed."""
    if not _texts:
        return {}
    texts = {f"{PACKAGE}.{module}": text for module, text in _texts.items()}
    return {"PYTHONPATH": str(HOOK), VARIABLE: json.dumps(texts)}


def elsewhere(module: str) -> str:
    """The text of a module as a program with `environment()` loads it. Raises `MachineError`."""
    name = f"{PACKAGE}.{module}"
    script = (
        "import importlib.util as u, sys;"
        f" sys.stdout.write(u.find_spec({name!r}).loader.get_source({name!r}))"
    )
    words = [sys.executable, "-c", script]
    return must(f"load {name}", words, LIMIT, cwd=HERE.parent, env=environment()).out


@contextmanager
def changed(module: str, text: str) -> Iterator[int]:
    """Let a module have another text; gives how many of its parts differ in this process."""
    own = importlib.import_module(f"{PACKAGE}.{module}")
    other = _loaded(own, text)
    codes, constants = _codes(own), _constants(own)
    functions = {name: code for name, code in _codes(other).items() if name in codes}
    differing = [name for name in functions if functions[name] != codes[name]]
    values = {
        name: value for name, value in _constants(other).items() if value != constants.get(name)
    }
    _set_codes(own, {name: functions[name] for name in differing})
    vars(own).update(values)
    try:
        with patch.dict(_texts, {module: text}):
            yield len(differing) + len(values)
    finally:
        _set_codes(own, {name: codes[name] for name in differing})
        vars(own).update({name: constants[name] for name in values if name in constants})


def _loaded(own: ModuleType, text: str) -> ModuleType:
    other = ModuleType(own.__name__)
    other.__file__ = own.__file__
    exec(compile(text, str(own.__file__), "exec"), vars(other))
    return other


def _codes(module: ModuleType) -> dict[str, CodeType]:
    return {name: function.__code__ for name, function in _functions(module)}


def _set_codes(module: ModuleType, codes: dict[str, CodeType]) -> None:
    for name, function in _functions(module):
        if name in codes:
            function.__code__ = codes[name]


def _functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """Functions of a module and of its classes, unwrapped, with their names."""
    for holder in (module, *_classes(module)):
        for value in list(vars(holder).values()):
            function = value.fget if isinstance(value, property) else value
            plain = inspect.unwrap(function) if callable(function) else None
            if isinstance(plain, FunctionType) and plain.__module__ == module.__name__:
                yield plain.__qualname__, plain


def _classes(module: ModuleType) -> list[type]:
    return [
        one
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__
    ]


def _constants(module: ModuleType) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, CONSTANT)
    }
