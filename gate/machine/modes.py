"""Modes of files are ours, not the cloner's: containers' users read what is mounted from here.

Git keeps no mode but "executable"; the others are those of the umask under which somebody cloned
or pulled. Images take theirs from `COPY --chmod`.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gate.errors import MachineError


def make_readable(*places: Path) -> None:
    """Let every user read these files, and folders with what is in them. Raises `MachineError`.

    Links are left alone, and so is what is readable: it may belong to somebody else.
    """
    for place in places:
        for path in _within(place):
            mode = path.lstat().st_mode
            executable = stat.S_ISDIR(mode) or mode & stat.S_IXUSR
            wanted = 0o555 if executable else 0o444
            if stat.S_ISLNK(mode) or mode & wanted == wanted:
                continue
            try:
                path.chmod(stat.S_IMODE(mode) | wanted)
            except OSError as error:
                raise MachineError(
                    f"expected {path} to be readable by the users of containers, which mount it,"
                    f" got mode {stat.S_IMODE(mode):o} and {error.strerror};"
                    f" `chmod -R a+rX {place}` as its owner"
                ) from None


def _within(place: Path) -> Iterator[Path]:
    """Give a place and all in it; a folder before its content, which it may be hiding yet."""
    if place.exists():
        yield place
    for folder, folders, files in os.walk(place):
        yield from (Path(folder, name) for name in (*folders, *files))
