"""Changes to the lifecycle's own modules, inside the gate's process: the scripts are planted too.

The code of functions and methods is exchanged where it stands, so that whoever imported one by name
runs the changed one; constants are set. Commands that a runbook starts in a shell stay as they are.
"""

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

PACKAGE = "compose.lifecycle"
CONSTANT = (str, int, float, tuple, frozenset)


def path_of(module: str) -> Path:
    """The file of a module of the lifecycle package."""
    return Path(str(importlib.import_module(f"{PACKAGE}.{module}").__file__))


@contextmanager
def changed(module: str, text: str) -> Iterator[int]:
    """Let a module have another text; gives how many of its parts differ."""
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
