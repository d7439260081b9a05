"""Ports of loopback that stay free until they are used, and which addresses are this machine's.

The kernel gives clients a port out of its local range, and Docker counts up through the same one
where a published port is not named: a port of that range is soon somebody else's.
"""

import random
import socket
from contextlib import ExitStack
from pathlib import Path

LOCAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST = 10_000
"""Below it are the ports of well-known services."""
TRIES = 200
LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A TCP port that nobody has, outside the kernel's local range where that leaves room."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """As many different ones. Raises `OSError` when none is found."""
    with ExitStack() as held:
        return [_held(held) for _ in range(count)]


def _held(held: ExitStack) -> int:
    room = range(FIRST, _local_range_begins())
    for port in [*random.sample(room, min(TRIES, len(room))), 0]:
        probe = held.enter_context(socket.socket())
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            continue
        return int(probe.getsockname()[1])
    raise OSError(f"expected a free port of {LOOPBACK}, got none")


def is_own_address(address: str) -> bool:
    """Tell whether an IP address is one of this machine's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _local_range_begins() -> int:
    try:
        return int(LOCAL_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return FIRST
