"""What the latencies under the stalling server truly are: shares no code with our generator.

A plain asyncio sender numbers its arrivals; the server's account says when each was answered. The
truth is that time less the one at which the arrival was due, so neither how late the sender reads
an answer nor whether it counts from the right moment has a part in it.
`python -m tests.bench.truth PORT BEGAN RATE COUNT`, with BEGAN on the monotonic clock.
"""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bench.stalling import SERVED

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def send(port: int, began: float, rate: float, count: int) -> None:
    """Send every arrival in its time, whatever became of those before it."""
    idle: list[Streams] = []
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            group.create_task(_arrival(port, number, idle))
    for _, writer in idle:
        writer.close()


async def _arrival(port: int, number: int, idle: list[Streams]) -> None:
    streams = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
    reader, writer = streams
    writer.write(f"GET {SERVED}?{number} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await reader.readuntil(b"ok\n")
    idle.append(streams)


def latencies(answered: Mapping[str, float], began: float, rate: float, count: int) -> NDArray[Any]:
    """Milliseconds from when each arrival was due to its answer. Raises `KeyError` for none."""
    times = np.array([answered[str(number)] for number in range(count)])
    return (times - began - np.arange(count) / rate) * 1000


if __name__ == "__main__":
    port, began, rate, count = sys.argv[1:]
    asyncio.run(send(int(port), float(began), float(rate), int(count)))
