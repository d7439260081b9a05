"""What a machine cannot: the one place that tells its faults from those of a stack.

Docker, Compose, the kernel, Playwright and Locust say in words of their own that the machine has
run out of something. No service is to blame then, and nothing is known of the stack: UNDECIDED,
with the command that shows or frees what is short.
"""

import errno
import re
import socket
from dataclasses import dataclass, field

from gate.errors import MachineError, chain


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
# fixed IP address, "OOM-killed (memory limit too low?)", a container that exited with 137: its own
# memory limit. The step of a build has none: there 137 is the machine's.
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
        "kernel keys",
        "the kernel to have a key left for each container",
        "`sysctl -w kernel.keys.maxkeys=20000 kernel.keys.maxbytes=400000`",
        r"session\ key.*disk\ quota\ exceeded",
    ),
    _limit(
        "control groups",
        "the kernel to have control groups left, and Docker to find them",
        "`cat /proc/cgroups` counts them; `systemctl restart docker` finds them again",
        r"""/cgroup\S*:\ no\ space\ left\ on\ device
          | cgroup\ mountpoint\ does\ not\ exist""",
    ),
    _limit(
        "temporary folder",
        "a temporary folder that can be written to",
        "`df -h` and `df -i` of $TMPDIR, /tmp and /var/tmp show which has room and free inodes",
        # Python; mktemp; the loader of Compose 1
        r"""no\ usable\ temporary\ directory
          | (cannot|could\ not|unable\ to|failed\ to)\ create\ (a\ )?
            temp(orary)?\ (dir|folder|file)""",
    ),
    _limit(
        "disk",
        "space on the disk, and free inodes",
        "`docker system df`, `df -h` and `df -i` show who holds them, `docker builder prune` frees"
        " some",
        r"no\ space\ left\ on\ device | disk\ quota\ exceeded | \bENOSPC\b",
        errno.ENOSPC,
        errno.EDQUOT,
    ),
    _limit(
        "writable disk",
        "a sound disk that can be written to",
        "`findmnt -O ro` shows what is mounted read-only, `dmesg | tail` why",
        # Of Docker's own folder: a read-only container is the stack's
        r"/var/lib/(docker|containerd)\S*:\ (read-only\ file\ system|input/output\ error)",
        errno.EROFS,
        errno.EIO,
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
    _limit(
        "firewall",
        "Docker's own chains to be in the firewall of this machine",
        "`iptables -S DOCKER` shows them, `systemctl restart docker` makes them anew: firewalld,"
        " ufw or a script has removed some",
        r"""ip6?tables\ failed: | failed\ to\ set\ ?up\ ip\ tables
          | can't\ initialize\ ip6?tables\ table""",
    ),
    NO_RIGHT,
    NO_ENGINE,
    _limit(
        "memory",
        "memory, and room for processes",
        "`free -m` and `docker stats --no-stream` show who holds it",
        r"""cannot\ allocate\ memory | \bENOMEM\b | \bMemoryError\b
          | (fork|clone|pthread_create|exec)\b.*resource\ temporarily\ unavailable
          | can't\ start\ new\ thread | failed\ to\ create\ new\ OS\ thread
          | did\ not\ complete\ successfully:\ exit\ code:\ 137
          | returned\ a\ non-zero\ code:\ 137
          | \bsignal:\ killed\b""",
        errno.ENOMEM,
        errno.EAGAIN,
    ),
    _limit(
        "network device",
        "the kernel to make a container's network device",
        "`dmesg | tail` says why; after an upgrade of the kernel `reboot` helps",
        r"failed\ to\ add\ (the\ host|interface)\b.*veth | bridge\ \S+\ failed:\ \w+\ full",
    ),
    _limit(
        "userland proxy",
        "Docker to start its proxy for a published port",
        "`journalctl -u docker -n 20` says why, `ss -ltnp` shows who listens",
        # An address that this machine does not have is the stack's
        r"""(error\ starting | failed\ to\ start | starting\ the)\ userland\ proxy
          (?!.*cannot\ assign\ requested\ address)""",
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


NO_FOLDER, NO_THREAD = "No usable temporary directory", "can't start new thread"
"""What Python says of both; it has no number for the one, no exception for the other."""


def limit_of(trouble: str | BaseException) -> Limit | None:
    """Give what the machine lacks, by a program's words or an exception and what led to it."""
    if isinstance(trouble, str):
        return next((one for one in LIMITS if one.words.search(trouble)), None)
    return next(filter(None, map(_of_error, chain(trouble))), None)


def socket_limit(error: BaseException) -> Limit | None:
    """Give why an engine's socket could not be connected to; None where it answered."""
    for one in chain(error):
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
        known = (one for one in LIMITS if error.errno in one.numbers)
        return next(known, None) or limit_of(NO_FOLDER if NO_FOLDER in str(error) else "")
    if isinstance(error, MemoryError):
        return limit_of("MemoryError")
    told = isinstance(error, MachineError) or str(error) == NO_THREAD
    return limit_of(str(error)) if told else None


def _line(text: str, limit: Limit) -> str:
    """Give the line of a long output that says it."""
    lines = text.strip().splitlines()
    return next((line.strip() for line in lines if limit.words.search(line)), "\n".join(lines[-3:]))
