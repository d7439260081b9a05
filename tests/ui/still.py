#!/usr/bin/env python3
"""Runs a browser that does not notice the networks of this machine.

Chromium drops its connections (ERR_NETWORK_CHANGED) whenever an address comes or goes, and Docker
adds and removes addresses all the time, also for stacks that are not ours. Without netlink sockets
it cannot hear of that. A seccomp filter takes them away; it needs no privilege and holds for this
process and its children alone. The browser itself is named by STILL_PROGRAM.
"""

import ctypes
import os
import platform
import struct
import sys

SOCKET_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""machine → its AUDIT_ARCH and the number of socket(2) (linux/audit.h, asm/unistd.h)."""
AF_NETLINK = 16
EAFNOSUPPORT = 97
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | EAFNOSUPPORT
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
"""Where these are in struct seccomp_data."""
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2


class Filter(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def without_netlink(architecture: int, call: int) -> bytes:
    """The filter: refuses socket(AF_NETLINK, …), allows all else."""
    steps = (
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 0, 5, architecture),
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_EQUAL, 0, 3, call),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (JUMP_IF_EQUAL, 0, 1, AF_NETLINK),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    )
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def keep_still() -> None:
    """Put the filter on this process, where its kind of machine is known."""
    known = SOCKET_CALLS.get(platform.machine()) if sys.platform == "linux" else None
    if known is None:
        return
    code = without_netlink(*known)
    program = Filter(len(code) // 8, code)
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(program), 0, 0)


if __name__ == "__main__":
    keep_still()
    os.execv(os.environ["STILL_PROGRAM"], [os.environ["STILL_PROGRAM"], *sys.argv[1:]])
