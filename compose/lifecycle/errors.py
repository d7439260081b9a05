"""How a lifecycle command ends other than well."""

from gate.errors import GateError, UsageError

REFUSED = 1
"""Exit code of a command that was refused."""


class Refused(GateError):
    """Nothing was changed, or everything was put back: the sentence says why."""

    exit_code = REFUSED


class BadInput(UsageError):
    """What was asked for makes no sense: expected, given."""
