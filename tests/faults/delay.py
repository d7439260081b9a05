"""A way round that takes time: `python -m tests.faults.delay LISTEN PORT MS|PERCENT%`.

Passes TCP from port LISTEN on to PORT of the same host: each piece MS milliseconds later, or each
answer later by PERCENT of the time that it took. Lives until its standard input ends.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress

PIECE = 65536
MOST_SECONDS = 1.0
"""What comes long after it was asked for, as a WebSocket's messages do, is not held for long."""


class Hold:
    """How long the pieces of one connection are held back, in seconds."""

    def __init__(self, how: str) -> None:
        self._share = float(how[:-1]) / 100 if how.endswith("%") else None
        self._seconds = 0.0 if self._share else float(how) / 1000
        self._asked: float | None = None

    def question(self, now: float) -> float:
        """For a piece that the client sent now."""
        self._asked = now
        return self._seconds

    def answer(self, now: float) -> float:
        """For a piece that the server sent now."""
        if self._share is None or self._asked is None:
            return self._seconds
        return min(MOST_SECONDS, self._share * (now - self._asked))


async def main(listen: int, port: int, how: str) -> None:
    """Serve until standard input ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hold = Hold(how)
        with suppress(OSError):
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(
                late(reader, onward_writer, hold.question), late(onward_reader, writer, hold.answer)
            )

    server = await asyncio.start_server(serve, "0.0.0.0", listen)
    print("ready", flush=True)  # noqa: T201 - tells whoever started it
    async with server:
        await asyncio.to_thread(sys.stdin.read)


async def late(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    held: Callable[[float], float],
) -> None:
    """Pass everything on, each piece later than it came, without holding up the next."""
    loop = asyncio.get_running_loop()
    seconds = 0.0
    with suppress(OSError):
        while piece := await reader.read(PIECE):
            seconds = held(loop.time())
            loop.call_later(seconds, writer.write, piece)
        await asyncio.sleep(seconds)
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
