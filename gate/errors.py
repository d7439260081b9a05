"""Every exception of the suite, in one tree, each with the exit code of the command it ends.

    GateError
    ├── UsageError            4  what was asked for cannot be used
    │   ├── TargetError          --target, a target file, secrets
    │   ├── SettingsError        a deployment's .env                      gate/settings.py
    │   ├── FileError            a TOML file that people write            gate/toml.py
    │   ├── ModelError           the stack file                           gate/model.py
    │   ├── RunError             a load run that was recorded             load/samples.py
    │   ├── HistoryError         the history of load runs                 load/history.py
    │   ├── ContractError        an API's document                        contracts/agreed.py
    │   ├── VersionError         an earlier version                       gate/hooks.py
    │   └── FaultError           a fault file                             tests/faults/fault.py
    ├── Rejected               1  a lifecycle command did nothing  compose/lifecycle/errors.py
    ├── MachineError          6  the machine cannot: nothing is known
    │   ├── ComposeError         compose ended with an error              gate/stack.py
    │   ├── NotPlanted           a fault that is not in the stack         tests/faults/planters.py
    │   ├── DockerSilent         also a WireError: Docker did not answer
    │   └── NotSent              also a WireError: no descriptor, no memory, no resolver
    ├── WireError             6  no answer came from a target
    ├── WaitError             6  what was waited for did not come         gate/wait.py
    ├── LiveTargetError       6  something tried to change a live target
    └── CheckFailed           1  a promise does not hold                  gate/checks.py

The text is one sentence for people: "expected …, got …; next step". The main function of a command
needs one line: `except GateError as error: say(str(error)); return error.exit_code`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gate.wire.causes import Cause

HOLD = 1
"""Exit code of what was judged, and found wanting or refused."""
BAD_INPUT = 4
"""Exit code of a command that was given something it cannot use."""
MACHINE = 6
"""Exit code of a command that the machine kept from coming to an answer."""


class GateError(Exception):
    """It cannot go on; the text says what was expected, what was seen and what to do next."""

    exit_code = MACHINE


class UsageError(GateError, ValueError):
    """What was asked for cannot be used."""

    exit_code = BAD_INPUT


class TargetError(UsageError):
    """A target that cannot be used, said in one sentence: what was expected, what was given."""


class MachineError(GateError):
    """The machine cannot do what the stack needs: nothing is known of the stack."""


class WireError(GateError):
    """No answer came: the text says what was tried and what happened.

    `status` is the HTTP status, where an answer came that cannot be used; `cause` is what
    `gate.wire.causes` makes of it.
    """

    def __init__(self, text: str, status: int | None = None, cause: "Cause | None" = None) -> None:
        super().__init__(text)
        self.status = status
        self.cause = cause


class DockerSilent(WireError, MachineError):
    """Docker gave no answer: nothing is known of the containers, and none of them is to blame."""


class NotSent(WireError, MachineError):
    """The machine kept something from being sent: nothing is known of who should have answered."""


class WaitError(GateError):
    """What was waited for did not come; `seen` is what was seen last."""

    def __init__(self, what: str, seconds: float, seen: object) -> None:
        super().__init__(f"expected {what} within {seconds:g} s, got {seen}")
        self.seen = seen


class LiveTargetError(GateError):
    """Something tried to change a live target; it was stopped before it left the process."""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Give an exception, what it was raised from, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
