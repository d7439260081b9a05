"""The one place where this package runs programs: always with a time limit."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compose.machine.console import MachineError

LAST_LINES = 12


@dataclass(frozen=True)
class Result:
    """What a program answered."""

    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Whether it ended with 0."""
        return self.code == 0

    @property
    def text(self) -> str:
        """Everything it wrote, or that it wrote nothing."""
        return (self.out + self.err).strip() or f"no output, exit code {self.code}"


def run(
    args: Sequence[str | Path],
    limit: float,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Result:
    """Run a program for at most `limit` seconds; 127 when it is missing, 124 when it is late."""
    try:
        done = subprocess.run(
            [str(arg) for arg in args],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except FileNotFoundError as missing:
        return Result(127, "", str(missing))
    except subprocess.TimeoutExpired:
        return Result(124, "", f"no answer within {limit:g} s")
    return Result(done.returncode, done.stdout, done.stderr)


def must(
    what: str,
    args: Sequence[str | Path],
    limit: float,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Result:
    """Run a program that has to succeed for the machine to be made ready."""
    result = run(args, limit, cwd=cwd, env=env)
    if not result.ok:
        raise MachineError(
            f"Expected `{args[0]}` to {what}, but it ended with code {result.code}. "
            f"Its last lines:\n{last_lines(result.text)}"
        )
    return result


def last_lines(text: str, count: int = LAST_LINES) -> str:
    """Give the end of a long output, indented."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-count:])
