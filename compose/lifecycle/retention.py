"""Which backups are kept: by kind and by the time in their names, which no copy changes."""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

MANUAL = ""
"""Kind of what a person or a timer asked for; its names have no kind, as those of old."""
COMMANDS = ("deploy", "update", "rollback", "restore")
"""Kinds of what a command made before its work, to go back with."""
NAME = re.compile(r"backup-(\d{8}-\d{6})-[0-9a-f]+(?:-([a-z]+))?\.tar\.gz(?:\.enc)?")
SKEW = timedelta(minutes=10)
"""A name that is further ahead than that is of a clock that was wrong, or is now."""


@dataclass(frozen=True)
class Keep:
    """How many are kept: the last ones, and the last one of each day and week that has any."""

    last: int
    days: int = 0
    weeks: int = 0


OF_PERSONS = Keep(last=14, days=14, weeks=8)
OF_COMMANDS = Keep(last=7, days=7, weeks=4)


def made_at(path: Path) -> datetime | None:
    """Read the time in a backup's name; None for a name that we do not give."""
    match = NAME.fullmatch(path.name)
    try:
        return datetime.strptime(match[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC) if match else None
    except ValueError:
        return None


def kind_of(path: Path) -> str:
    """Read the kind in a backup's name."""
    match = NAME.fullmatch(path.name)
    return (match and match[2]) or MANUAL


def of_the_future(paths: Iterable[Path], now: datetime) -> list[Path]:
    """Give those that are named after a time that has not come."""
    return [path for path in paths if (made_at(path) or now) > now + SKEW]


def until_now(paths: Iterable[Path], now: datetime) -> list[Path]:
    """Give those with the time in their names, oldest first, without those of the future."""
    dated = [(made, path.name, path) for path in paths if (made := made_at(path))]
    return [path for made, _, path in sorted(dated) if made <= now + SKEW]


def superfluous(
    paths: Collection[Path], needed: Collection[str], now: datetime, only_last: int | None = None
) -> list[Path]:
    """Give those that may go; never a name of `needed`, of the future, or that we did not give.

    `only_last` keeps that many of each kind and none for its age.
    """
    known = until_now(paths, now)
    persons = [path for path in known if kind_of(path) == MANUAL]
    commands = [path for path in known if kind_of(path) in COMMANDS]
    kept = set(needed)
    for group, keep in ((persons, OF_PERSONS), (commands, OF_COMMANDS)):
        keep = Keep(only_last) if only_last else keep
        kept |= {path.name for path in group[-keep.last :]}
        kept |= _last_of_each(group, keep.days, lambda made: made.date())
        kept |= _last_of_each(group, keep.weeks, lambda made: made.isocalendar()[:2])
    return [path for path in (*persons, *commands) if path.name not in kept]


def _last_of_each(
    paths: Iterable[Path], count: int, period: Callable[[datetime], object]
) -> set[str]:
    last = {period(made): path.name for path in paths if (made := made_at(path))}
    return set(list(last.values())[-count:]) if count else set()
