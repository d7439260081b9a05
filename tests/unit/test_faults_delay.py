"""The one delaying proxy: all that is sent arrives, later by what was asked for."""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from gate.machine.ports import free_port
from tests.faults.delay import delayed

ROOT = Path(__file__).parent.parent.parent
SECONDS = 0.2
SENT = b"x" * 300_000


def echo(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while piece := connection.recv(65536):
            connection.sendall(piece)


def round_trip(port: int) -> float:
    """Seconds until all that was sent is back."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        threading.Thread(target=client.sendall, args=(SENT,), daemon=True).start()
        back = b""
        while len(back) < len(SENT):
            back += client.recv(65536)
        assert back == SENT
    return time.monotonic() - began


def test_urls_lead_to_the_same_places_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        with delayed({"a": f"http://localhost:{server.getsockname()[1]}"}, SECONDS) as urls:
            assert round_trip(int(urls["a"].rpartition(":")[2])) >= SECONDS


def test_the_program_serves_until_its_input_ends() -> None:
    listen = free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        words = [str(listen), str(server.getsockname()[1]), str(SECONDS / 2 * 1000)]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.faults.delay", *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
            assert round_trip(listen) >= SECONDS
            program.communicate(timeout=10)
        assert program.returncode == 0
