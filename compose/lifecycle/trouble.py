"""How a lifecycle command ends other than well, and the exit code of each end."""

REFUSED, BAD_INPUT, MACHINE = 1, 4, 6


class Refused(Exception):
    """Nothing was changed, or everything was put back: the sentence says why."""


class BadInput(ValueError):
    """What was asked for makes no sense: expected, given."""
