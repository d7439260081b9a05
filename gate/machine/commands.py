"""The one place where this package runs programs: always with a time limit."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate.errors import MachineError, WaitError
from gate.machine import docker, interrupts
from gate.machine.builds import build_failure
from gate.machine.limits import advised
from gate.wait import wait_until

LAST_LINES = 12
LATE = 124
"""Exit code of a program that did not end in time, as `timeout` has it."""
BREAK_SECONDS = 10.0
"""For a program that is broken off to end by itself."""
IMAGE_LIMIT = 30.0
RESTART_SECONDS = 20.0
"""For a daemon that was told to restart."""
ENVIRONMENTS: dict[str, Callable[[], dict[str, str]]] = {
    "docker": docker.environment,
    "git": docker.git_environment,
}
"""What these programs get in place of this process's variables: one engine, this repository."""


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
    base: Mapping[str, str] | None = None,
    feed: str | None = None,
    breakable: bool = False,
) -> Result:
    """Run a program for at most `limit` seconds; 127 when it is missing, 124 when it is late.

    It gets the environment of `variables_of`, or that of `base`, with `env` on top, and `feed` to
    read. An interruption waits for its end, unless it is one that can be broken off without harm.
    Raises `MachineError` for `docker` where a choice names no engine.
    """
    environment = {**(variables_of(str(args[0])) if base is None else base), **(env or {})}
    with interrupts.deferred() if not breakable else nullcontext():
        try:
            return completed([str(arg) for arg in args], limit, cwd, environment, feed)
        except FileNotFoundError as missing:
            return Result(127, "", str(missing))
        except subprocess.TimeoutExpired:
            return Result(LATE, "", f"no answer within {limit:g} s")


def completed(
    words: Sequence[str],
    limit: float,
    cwd: Path | None,
    environment: Mapping[str, str],
    feed: str | None = None,
) -> Result:
    """Run a program in a session of its own, where no terminal's Ctrl-C or hang-up reaches it.

    Raises `FileNotFoundError`, and `subprocess.TimeoutExpired` with it and its children killed.
    """
    process: subprocess.Popen[str] | None = None
    try:
        with interrupts.deferred():  # else one could be lost between its start and its name
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                cwd=cwd,
                env=environment,
                start_new_session=True,
            )
        out, err = process.communicate(feed, timeout=limit)
    except BaseException as broken_off:
        if process is not None:
            late = isinstance(broken_off, subprocess.TimeoutExpired)
            _end_session(process, 0.0 if late else BREAK_SECONDS)
        raise
    return Result(process.returncode, out, err)


def _end_session(process: subprocess.Popen[str], grace: float) -> None:
    """End a program and what it has started, after `grace` seconds by force."""
    with process, suppress(ProcessLookupError):
        if grace:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        os.killpg(process.pid, signal.SIGKILL)


def image_exists(name: str) -> bool:
    """Whether an image is on this machine. Raises `MachineError` where Docker does not say."""
    answer = run(["docker", "image", "inspect", "--format", "{{.Id}}", name], IMAGE_LIMIT)
    if not answer.ok and (answer.code == LATE or not answers("image", "ls", "--quiet")):
        raise MachineError(
            f"expected Docker to say whether it has {name}, but: {advised(answer.text)}"
        )
    return answer.ok


def answers(*listing: str) -> bool:
    """Whether Docker can list such things: one that it then cannot inspect is not there.

    Each engine has words of its own for that, in which it may say anything else as well.
    """
    return run(["docker", *listing], IMAGE_LIMIT).ok


def await_engine() -> None:
    """Give a daemon that restarts the time to, before what it runs is taken away or put back."""
    version = ["docker", "version", "--format", "{{.Server.Version}}"]
    with suppress(WaitError):
        wait_until(lambda: run(version, IMAGE_LIMIT).ok, RESTART_SECONDS, "Docker", every=0.5)


def run_checked(
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
        failure = build_failure(result.text) if "build" in args[:2] else None
        told = str(failure) if failure else f"Its last lines:\n{last_lines(result.text)}"
        raise MachineError(
            f"Expected `{args[0]}` to {what}, but it ended with code {result.code}. {advised(told)}"
        )
    return result


def end(process: subprocess.Popen[Any], limit: float) -> None:
    """Tell a program that still runs to stop; kill it when it has not after `limit` seconds."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.communicate(timeout=limit)  # reads on: a full pipe would hold it up
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def variables_of(program: str) -> dict[str, str]:
    """Give the environment of a program; Docker's client and git get one that is pinned."""
    made = ENVIRONMENTS.get(Path(program).name)
    return made() if made else dict(os.environ)


def start(args: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
    """Start a program that runs beside this one, in the environment that `run` gives it.

    `options` are those of `subprocess.Popen`. Whoever starts it sees to its end.
    """
    return subprocess.Popen([str(arg) for arg in args], env=variables_of(str(args[0])), **options)


def piped(args: Sequence[str | Path], limit: float, **streams: Any) -> None:
    """Run a program with files as its streams, as `run` does. Raises `MachineError`."""
    try:
        with interrupts.deferred():
            done = subprocess.run(
                [str(arg) for arg in args],
                stderr=subprocess.PIPE,
                timeout=limit,
                check=False,
                env=variables_of(str(args[0])),
                start_new_session=True,
                **streams,
            )
    except subprocess.TimeoutExpired:
        raise MachineError(f"`{args[0]} {args[1]}` gave no end within {limit:g} s.") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip()[-300:]
        raise MachineError(f"Expected `{args[0]} {args[1]}` to succeed, but: {advised(last)}")


def last_lines(text: str, count: int = LAST_LINES) -> str:
    """Give the end of a long output, indented."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-count:])
