"""One tree of exceptions: each ends a command with one exit code."""

import importlib
import pkgutil
import re

import pytest

import compose
import contracts
import gate
import load
from gate import errors
from gate.errors import DockerSilent, GateError, MachineError, UsageError, WireError

OF_THE_SERVICES = ("compose.api", "compose.exchange", "compose.frontend")


def every_error() -> set[type[GateError]]:
    """Give every exception of the tree, once all modules are imported."""
    for package in (gate, load, contracts, compose):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            started = module.name.endswith(("__main__", "locustfile", ".containers", ".early"))
            if not started and not module.name.startswith(OF_THE_SERVICES):
                importlib.import_module(module.name)
    importlib.import_module("tests.faults.planters")
    found, left = set[type[GateError]](), [GateError]
    while left:
        for kind in left.pop().__subclasses__():
            found.add(kind)
            left.append(kind)
    return found


def test_the_drawing_is_the_tree() -> None:
    drawn = dict(re.findall(r"[├└]── (\w+) +(\d?)", errors.__doc__ or ""))
    known = {one.__name__: one for one in every_error()}
    assert drawn.keys() == known.keys()
    for name, code in drawn.items():
        assert not code or known[name].exit_code == int(code)


@pytest.mark.parametrize(
    ("kind", "code"), [(UsageError, 4), (MachineError, 6), (WireError, 6), (DockerSilent, 6)]
)
def test_one_except_is_enough(kind: type[GateError], code: int) -> None:
    with pytest.raises(GateError, match="why") as raised:
        raise kind("why")
    assert raised.value.exit_code == code


def test_docker_that_says_nothing_is_the_machine_s_fault() -> None:
    assert issubclass(DockerSilent, MachineError)
