"""Redis: commands in one go over one connection."""

import asyncio
from typing import Any

import hiredis


async def ask(host: str, port: int, commands: list[tuple[str, ...]]) -> list[Any]:
    """Send `commands` and read their answers; an error answer is a `hiredis.ReplyError`."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        # hiredis's stub allows tuples of one item only.
        packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]
        writer.write(b"".join(packed))
        parser = hiredis.Reader(encoding="utf-8", errors="replace")
        answers: list[Any] = []
        while len(answers) < len(commands):
            answer = parser.gets()
            if answer is False:
                parser.feed(await _more(reader))
            else:
                answers.append(answer)
        return answers
    finally:
        writer.transport.abort()


async def _more(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(65536)
    if not data:
        raise EOFError("the connection was closed before the answer was complete")
    return data
