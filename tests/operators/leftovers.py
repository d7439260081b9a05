"""What a row has left behind: told, and taken away."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from compose.release import OWN_SERVICES
from gate import sweep
from gate.machine.commands import run
from tests.operators.place import LIMIT, Place

PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def adopting() -> Iterator[None]:
    """Have what a row's programs leave running become children of this process, not of init."""
    is_linux = sys.platform == "linux"
    if is_linux:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        if is_linux:
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def children(of: int | None = None) -> dict[int, str]:
    """Give the living descendants of a process, by id, with their command lines."""
    parents = dict[int, int]()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(path.parent.name)] = int(parent)
    found, line = dict[int, str](), [of or os.getpid()]
    while line:
        above = line.pop()
        for number in [one for one, parent in parents.items() if parent == above]:
            with suppress(OSError):
                words = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ")
                found[number] = words.decode(errors="replace").strip()
                line.append(number)
    return found


def take_processes(before: dict[int, str]) -> list[str]:
    """Kill the processes that were not there before; give their command lines."""
    left = {one: words for one, words in children().items() if one not in before}
    for number in left:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(number, signal.SIGKILL)
    for number in left:
        with suppress(ChildProcessError):
            os.waitpid(number, 0)
    return [f"the process {words[:120]!r}" for words in left.values()]


def take_stacks(where: Place) -> list[str]:
    """Remove what Docker still has of the runs of a row, and the images only it has built."""
    runs = {path.name for path in where.folder.glob("*/reports/runs/*")}
    left = [one.run_id for one in sweep.leftovers() if one.run_id in runs] if runs else []
    for run_id in left:
        sweep.remove(run_id)
    for tag in where.tags:
        names = [f"breakout-bot/{name}:{tag}" for name in OWN_SERVICES.values()]
        run(["docker", "image", "rm", *names], LIMIT)
    return [f"containers of run {run_id}" for run_id in left]
