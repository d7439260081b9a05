"""How a lifecycle command ends other than well, and the exit code of each end."""

REFUSED, MACHINE = 1, 6


class Refused(Exception):
    """Nothing was changed, or everything was put back: the sentence says why."""


class BadInput(ValueError):
    """What was asked for makes no sense: expected, given."""
