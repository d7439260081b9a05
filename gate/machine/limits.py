"""What a machine cannot: the one place that tells its faults from those of a stack.

Docker, Compose, the kernel, Playwright and Locust say in words of their own that the machine has
run out of something. No service is to blame then, and nothing is known of the stack: UNDECIDED,
with the command that shows or frees what is short.
"""

import errno
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from gate.errors import MachineError


@dataclass(frozen=True)
class Limit:
    """One thing that a machine runs out of."""

    lacks: str
    expected: str
    next_step: str
    """The command that shows or frees it."""
    words: re.Pattern[str]
    """How programs say so."""
    numbers: frozenset[int] = field(default_factory=frozenset)
    """How the system says so: `errno` of an `OSError`."""


def _limit(lacks: str, expected: str, next_step: str, words: str, *numbers: int) -> Limit:
    pattern = re.compile(words, re.IGNORECASE | re.VERBOSE)
    return Limit(lacks, expected, next_step, pattern, frozenset(numbers))


NO_RIGHT = _limit(
    "right to use Docker",
    "the right to use Docker's socket",
    '`sudo usermod -aG docker "$USER"`, then log in again',
    r"permission\ denied\ while\ trying\ to\ connect\ to\ the\ docker",
)
NO_ENGINE = _limit(
    "engine",
    "a Docker engine to answer",
    "`make machine` starts one, `docker context ls` shows which is meant",
    r"""cannot\ connect\ to\ the\ docker\ daemon
      | failed\ to\ connect\ to\ the\ docker\ api
      | is\ (the|your)\ docker\ daemon\ (up\ and\ )?running
      | error\ during\ connect:
      | dial\ unix\ .*\.sock""",
)

# The first that matches counts: inotify says "no space" and "too many open files" too. What a stack
# can bring about by itself is left out, such as "pool overlaps", "Address already in use" of a
# fixed IP address, "OOM-killed (memory limit too low?)".
LIMITS = (
    _limit(
        "address pool",
        "Docker to have a free address pool for a network",
        "`docker network prune` takes networks without containers away",
        # Docker to 26, since 27, to 1.13
        r"""non-overlapping\ ipv[46]\ address\ pool
          | predefined\ address\ pools\ have\ been\ fully\ subnetted
          | could\ not\ find\ an\ available\ predefined\ network""",
    ),
    _limit(
        "inotify",
        "the kernel to have inotify instances and watches left",
        "`sysctl -w fs.inotify.max_user_instances=1024 fs.inotify.max_user_watches=524288`",
        r"""inotify.*(no\ space\ left | too\ many\ open\ files | limit | exhausted)
          | limit.*\binotify""",
    ),
    _limit(
        "disk",
        "space on the disk",
        "`docker system df` and `df -h` show who holds it, `docker builder prune` frees some",
        r"no\ space\ left\ on\ device | disk\ quota\ exceeded | \bENOSPC\b",
        errno.ENOSPC,
        errno.EDQUOT,
    ),
    _limit(
        "descriptors",
        "file descriptors to be left",
        "`ulimit -n 65536` raises the limit of this shell, `lsof -n | wc -l` counts them",
        r"too\ many\ open\ files | \bEMFILE\b | \bENFILE\b",
        errno.EMFILE,
        errno.ENFILE,
    ),
    _limit(
        "port",
        "the port to be free",
        "`ss -ltnp` shows who listens there",
        # Docker, its userland proxy, since 28, Docker Desktop; Python, Node
        r"""port\ is\ already\ allocated
          | bind:\ address\ already\ in\ use
          | failed\ to\ bind\ (host\ )?port
          | ports\ are\ not\ available
          | \bEADDRINUSE\b
          | \[errno\ 98\]""",
        errno.EADDRINUSE,
    ),
    NO_RIGHT,
    NO_ENGINE,
    _limit(
        "memory",
        "memory, and room for processes",
        "`free -m` and `docker stats --no-stream` show who holds it",
        r"""cannot\ allocate\ memory | \bENOMEM\b
          | (fork|clone|pthread_create|exec)\b.*resource\ temporarily\ unavailable""",
        errno.ENOMEM,
    ),
    _limit(
        "name resolution",
        "names to be resolved",
        "`cat /etc/resolv.conf` shows who is asked, `getent hosts NAME` asks",
        r"""temporary\ failure\ in\ name\ resolution | \bEAI_AGAIN\b
          | lookup\ \S+(\ on\ \S+)?:.*(server\ misbehaving|i/o\ timeout|no\ such\ host)
          | lookup\ \S+\ on\ \S+:.*connection\ refused""",
    ),
    _limit(
        "clock",
        "the clock of this machine to be right",
        "`timedatectl` shows it, `timedatectl set-ntp true` sets it",
        # Go's TLS; apt
        r"""not\ yet\ valid:\ current\ time\ \S+\ is\ before
          | release\ file\ .*\ is\ not\ valid\ yet""",
    ),
)


def limit_of(trouble: str | BaseException) -> Limit | None:
    """Give what the machine lacks, by a program's words or an exception and what led to it."""
    if isinstance(trouble, str):
        return next((one for one in LIMITS if one.words.search(trouble)), None)
    return next(filter(None, map(_of_error, _chain(trouble))), None)


def socket_limit(error: BaseException) -> Limit | None:
    """Give why an engine's socket could not be connected to; None where it answered."""
    for one in _chain(error):
        if isinstance(one, PermissionError):
            return NO_RIGHT
        if isinstance(one, FileNotFoundError | ConnectionRefusedError):
            return NO_ENGINE
    return None


def machine_error(trouble: str | BaseException, before: str = "") -> MachineError | None:
    """Give the error that ends a run for want of something; None where the machine has it all.

    `before` says what was being done.
    """
    limit = limit_of(trouble)
    if limit is None:
        return None
    if isinstance(trouble, MachineError) and limit.next_step in str(trouble):
        return trouble
    text = _line(str(trouble), limit) or type(trouble).__name__
    doing = f"{before}: " if before else ""
    return MachineError(f"{doing}expected {limit.expected}, got: {text}; {limit.next_step}")


def advised(text: str) -> str:
    """Add to what a program said the command that helps, where the machine lacks something."""
    limit = limit_of(text)
    return f"{text.rstrip()}\n{limit.next_step}" if limit else text


def _of_error(error: BaseException) -> Limit | None:
    if isinstance(error, socket.gaierror):
        # Only the resolver's own failure: a name that does not exist is the target's.
        return limit_of("EAI_AGAIN") if error.errno == socket.EAI_AGAIN else None
    if isinstance(error, OSError):
        return next((one for one in LIMITS if error.errno in one.numbers), None)
    return limit_of(str(error)) if isinstance(error, MachineError) else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _line(text: str, limit: Limit) -> str:
    """Give the line of a long output that says it."""
    lines = text.strip().splitlines()
    return next((line.strip() for line in lines if limit.words.search(line)), "\n".join(lines[-3:]))
