"""Redis, spoken to by redis-py: commands in one go over one connection.

Imported when the first command is on its way (`Wire.redis`): redis-py takes 60 ms to import.
"""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Connection
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as Late

from gate.wire.address import Address
from gate.wire.causes import OtherProtocol
from gate.wire.guard import RedisReplyError

Command = Sequence[str]


class _Connection(Connection):
    """A connection that says nothing by itself, so that a live Redis hears what was asked for.

    redis-py would introduce itself (CLIENT SETINFO) and ask for the protocol (HELLO).
    """

    def __init__(self, to: Address, tls: ssl.SSLContext | None, limit: float) -> None:
        super().__init__(
            host=to.host,
            port=to.port,
            protocol=2,
            driver_info=None,
            socket_timeout=limit,
            decode_responses=True,
            encoding_errors="replace",
        )
        self._tls = {"ssl": tls, "server_hostname": to.name} if tls else {}

    def _connection_arguments(self) -> Mapping[str, Any]:
        # Its class for TLS builds a context of its own and verifies no other name than the host.
        return {**super()._connection_arguments(), **self._tls}


async def ask(
    to: Address, tls: ssl.SSLContext | None, commands: Sequence[Command], limit: float
) -> list[Any]:
    """Send `commands` and give their answers; an error answer is a `RedisReplyError`.

    Raises `OSError`, `TimeoutError` and `EOFError` where an answer is missing.
    """
    connection = _Connection(to, tls, limit)
    try:
        await connection.connect()  # type: ignore[no-untyped-call]
        await connection.send_packed_command(connection.pack_commands(commands))
        return [await _answer(connection) for _ in commands]
    except Late:
        raise TimeoutError from None
    except NoConnection as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise EOFError("the connection was closed before the answer was complete") from None
    except RedisError as error:
        raise OtherProtocol(f"expected Redis to answer in its protocol, got {error}") from None
    finally:
        await connection.disconnect(nowait=True)


async def _answer(connection: Connection) -> Any:
    try:
        return await connection.read_response(disconnect_on_error=False)
    except RedisError as error:
        if error.status_code is None and not isinstance(error, ResponseError):
            raise
        code = f"{error.status_code} " if error.status_code else ""
        return RedisReplyError(f"{code}{error}")
