"""How a lifecycle command ends other than well."""

from gate.errors import GateError

REFUSED = 1
"""Exit code of a command that was refused."""


class Rejected(GateError):
    """Nothing was changed, or everything was put back: the sentence says why."""

    exit_code = REFUSED
