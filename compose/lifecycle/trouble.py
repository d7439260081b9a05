"""How a lifecycle command ends other than well."""

REFUSED = 1
"""Exit code of a command that was refused."""


class Refused(Exception):
    """Nothing was changed, or everything was put back: the sentence says why."""


class BadInput(ValueError):
    """What was asked for makes no sense: expected, given."""
