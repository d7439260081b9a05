"""What stages and fault planting bring to the engine: options, what these give, work on the stack.

An extension is a module that `gate.stages` names. It has `OPTIONS`, declared in every run, and
`read(asked)`, which returns its `Extension`; whatever is slow to import is imported in there, once
an option asks for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from gate.stages import EXTENSIONS
from gate.target import Target
from reports.events import Event

if TYPE_CHECKING:
    from gate.ready import Problem
    from gate.stack import Stack


@dataclass(frozen=True)
class Option:
    """One option of the command line."""

    name: str
    help: str
    is_flag: bool = False
    takes_path: bool = False
    """Whether its value may be a path: tests/early.py names these once more."""
    may_repeat: bool = False
    shown_as: str | None = None
    """What stands for the value in `pytest --help`."""


class StackHook(Protocol):
    """Changes the run's stack while it is brought up, and takes that back at the end."""

    phase: str
    """Name of its part of the run."""
    words: str
    """What it does, for who waits for it."""

    def before(self) -> None:
        """Change what the stack is started from. Raises `MachineError`."""

    def shown(self) -> None:
        """Show that the containers were made from the change. Raises `MachineError`."""

    def now(self) -> "list[Problem]":
        """Change the running stack; return what does not come up again. Raises `MachineError`."""

    def end(self) -> None:
        """Take the change back, unless the stack goes with it. Raises `MachineError`."""

    def event(self) -> Event:
        """Return the event that tells of the change, written once it is there."""


@dataclass(frozen=True)
class Extension:
    """What an extension has read of its options; these are the answers of one not asked for."""

    @property
    def gives(self) -> frozenset[str]:
        """Needs of checks that its options meet."""
        return frozenset()

    @property
    def more_seconds(self) -> Mapping[str, float]:
        """Seconds by which stages may take longer than their budget."""
        return {}

    @property
    def defaults(self) -> Mapping[str, str]:
        """Values of other extensions' options, where the command line gives none."""
        return {}

    @property
    def expects(self) -> Callable[[str], bool] | None:
        """Tells the checks that each stage begins with, and ends with once one of them failed."""
        return None

    def hook(self, stack: "Stack") -> StackHook | None:  # noqa: ARG002 - for those that have one
        """Return what it does to the run's stack, which then is judged by this run alone."""
        return None

    @property
    def changes_the_stack(self) -> bool:
        """Whether `hook` returns something."""
        return False


@dataclass(frozen=True)
class Asked:
    """What the command line asks for, as extensions read it."""

    target: Target
    stages: Sequence[str]
    values: Callable[[str], Any]
    """Gives the value of an option; None where it was not given."""
    defaults: dict[str, str] = field(default_factory=dict)
    """Given by extensions that were read before."""


def options() -> Iterator[Option]:
    """Give the options of all extensions."""
    for name in EXTENSIONS:
        yield from import_module(name).OPTIONS


def read(asked: Asked) -> tuple[Extension, ...]:
    """Read the options of all extensions. Raises `pytest.UsageError` for bad ones."""
    found: list[Extension] = []
    for name in EXTENSIONS:
        extension: Extension = import_module(name).read(asked)
        asked.defaults.update(extension.defaults)
        found.append(extension)
    return tuple(found)
