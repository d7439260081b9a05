"""Forwards connections to Docker's socket, or takes them and never answers, and counts them."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PIECE = 65536


@dataclass
class Listener:
    """A listening socket and what came to it."""

    server: socket.socket
    engine: str | None
    """The socket to forward to; None to say nothing."""
    count: int = 0
    held: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.server.getsockname()[1])

    def accept(self) -> None:
        """Take connections until the listening socket is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.server.accept()
                self.count += 1
                self.held.append(client)
                if self.engine is not None:
                    engine = socket.socket(socket.AF_UNIX)
                    engine.connect(self.engine)
                    self.held.append(engine)
                    for one, other in ((client, engine), (engine, client)):
                        threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(PIECE):
            sink.sendall(piece)
    with suppress(OSError):  # the other direction may have more to say
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def listening(engine: str | None, path: Path | None = None) -> Iterator[Listener]:
    """Listen on a port of loopback, or at a path."""
    server = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
    server.bind(("127.0.0.1", 0) if path is None else str(path))
    server.listen(64)
    listener = Listener(server, engine)
    threading.Thread(target=listener.accept, daemon=True).start()
    try:
        yield listener
    finally:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # else accept() goes on after close()
        for one in (server, *listener.held):
            one.close()
