"""How a lifecycle command ends other than well."""

from collections.abc import Iterator
from contextlib import contextmanager

from gate.errors import GateError
from gate.machine.console import say

REFUSED = 1
"""Exit code of a command that was refused."""


class Rejected(GateError):
    """Nothing was changed, or everything was put back: the sentence says why."""

    exit_code = REFUSED


@contextmanager
def report_and_continue(words: str) -> Iterator[None]:
    """Say what goes wrong here and go on: it must not stand in place of a command's result."""
    try:
        yield
    except Exception as error:
        say(f"  ! {words}: {str(error) or type(error).__name__}")
