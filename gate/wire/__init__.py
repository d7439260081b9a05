"""The only way from this process to a stack: HTTP, WebSocket, Redis, TLS and Docker's API.

client.py                                        Wire, what all others use
http.py websocket.py redis.py tls.py docker.py   one protocol each
guard.py                                         what may leave, and the record of what left
address.py                                       where it goes, and whose certificate counts
causes.py                                        why something did not answer as it should
"""

from gate.errors import DockerSilent, LiveTargetError, WireError
from gate.wire.address import tls_context
from gate.wire.client import Wire
from gate.wire.guard import SAFE_METHODS, SAFE_REDIS, Guard, RedisReplyError, Sent
from gate.wire.http import Answer, Transport
from gate.wire.tls import Certificate, in_days, least_left
from gate.wire.websocket import Conversation

__all__ = [
    "SAFE_METHODS",
    "SAFE_REDIS",
    "Answer",
    "Certificate",
    "Conversation",
    "DockerSilent",
    "Guard",
    "LiveTargetError",
    "RedisReplyError",
    "Sent",
    "Transport",
    "Wire",
    "WireError",
    "in_days",
    "least_left",
    "tls_context",
]
