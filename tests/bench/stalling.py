"""A server that freezes for two seconds in every ten, and keeps account of its own answers.

`python -m tests.bench.stalling PORT ACCOUNT`; the first freeze begins a while after the first
request, so that every generator meets it at the same place. The account is written at the end.
"""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

EVERY, FROZEN = 10.0, 2.0
FIRST = 4.0025
"""Seconds from the first request to the first freeze: between two arrivals at 200 a second."""
WORK_SECONDS = 0.002
SERVED = "/served"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
BACKLOG = 4096


class Account:
    """When the n-th arrival was answered, for those whose request says its number (`?n`)."""

    def __init__(self) -> None:
        self.answered: dict[int, float] = {}
        self._began = False

    def seen(self, path: str) -> None:
        """The first request that counts sets the freezes."""
        if path.startswith(SERVED) and not self._began:
            self._began = True
            asyncio.get_running_loop().call_later(FIRST, self.freeze, time.monotonic() + FIRST)

    def freeze(self, due: float) -> None:
        """Stand still, whatever comes."""
        time.sleep(max(0.0, due + FROZEN - time.monotonic()))
        asyncio.get_running_loop().call_later(
            max(0.0, due + EVERY - time.monotonic()), self.freeze, due + EVERY
        )

    def sent(self, path: str) -> None:
        """An answer is on its way."""
        number = path.partition("?")[2]
        if number.isdigit():
            self.answered[int(number)] = time.monotonic()


class Connection(asyncio.Protocol):
    """One client's connection; requests have no bodies."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *heads, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for head in heads:
            path = head.split(b" ", 2)[1].decode("latin-1")
            self._account.seen(path)
            asyncio.get_running_loop().call_later(WORK_SECONDS, self._answer, path)

    def _answer(self, path: str) -> None:
        if not self._transport.is_closing():
            self._transport.write(ANSWER)
            self._account.sent(path)


async def serve(port: int) -> Account:
    """Serve until SIGTERM; the account."""
    account, ended = Account(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(
        lambda: Connection(account), "127.0.0.1", port, backlog=BACKLOG
    )
    await ended.wait()
    server.close()
    return account


if __name__ == "__main__":
    kept = asyncio.run(serve(int(sys.argv[1])))
    Path(sys.argv[2]).write_text(json.dumps(kept.answered), encoding="utf-8")
