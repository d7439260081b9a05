"""Bring up a disposable stack for a tool: a bench, planted faults, the agreed document.

A run of the gate goes on with a stack that did not come up, for that is evidence (gate/run.py); a
tool can only measure one that did, and raises `MachineError`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gate import stack as stacks
from gate.errors import MachineError
from gate.hooks import hooks
from gate.stack import Stack
from gate.sweep import new_run_id


@contextmanager
def running_stack(
    *overrides: Path, before: Callable[[Stack], object] | None = None
) -> Iterator[Stack]:
    """Give a healthy stack of this work tree; `before` changes what it is started from."""
    stacks.clean_start()
    with Stack(new_run_id(), hooks().release(), overrides) as stack:
        stacks.build(stack.compose, stack.release)
        if before is not None:
            before(stack)
        bring_up(stack)
        yield stack


def bring_up(stack: Stack, name: str = "the stack") -> None:
    """Start a stack and wait until all of it is ready. Raises `MachineError`."""
    problem = stack.up()
    for one in [problem] if problem else stack.ready(stack.target()):
        raise MachineError(
            f"expected {name} to come up, but {one.service}: {one.seen} {one.last_words[-600:]}"
        )
