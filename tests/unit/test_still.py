"""The browser's wrapper takes netlink sockets away from it, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STILL = Path(__file__).parent.parent / "ui" / "still.py"
PROGRAM = """
import socket, sys
socket.socket(socket.AF_INET).close()
socket.socket(socket.AF_UNIX).close()
try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
except OSError as refused:
    sys.exit(f"{refused.strerror}, given {sys.argv[1]}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="netlink is Linux' own")
def test_a_program_run_still_cannot_hear_of_networks() -> None:
    done = subprocess.run(
        [STILL, "-c", PROGRAM, "an argument"],
        env={**os.environ, "STILL_PROGRAM": sys.executable},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr.strip() == "Address family not supported by protocol, given an argument"
