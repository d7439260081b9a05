"""Why something did not answer as it should, told from what was seen: error, status, reply.

A finding gives this in place of what its check supposes: who was refused was not "down".
"""

import socket
import ssl
from typing import NamedTuple

import httpx

from gate.errors import chain


class Cause(NamedTuple):
    """The likely cause, and the next step; None where the check's own is as good."""

    cause: str
    fix: str | None = None


class OtherProtocol(OSError):
    """What came is no answer in the protocol that was asked in."""


SCHEME = "give its URL the scheme that is spoken there: https:// and rediss:// are TLS"
HUNG_UP = Cause(
    "it takes connections and hangs up without a word: it expects TLS or none, lets this host not"
    " in, or breaks while it answers"
)
NO_TLS = Cause("no TLS is spoken at that port, though the URL asks for it", SCHEME)
TLS_THERE = Cause("TLS, or another protocol, is spoken at that port: its URL asks for none", SCHEME)
ERRORS: tuple[tuple[tuple[type[BaseException], ...], Cause], ...] = (
    (
        (ssl.SSLCertVerificationError,),
        Cause(
            "it answers with a certificate that this host does not accept",
            "`openssl s_client -connect HOST:PORT -servername HOST` shows it; --ca-file names"
            " authorities to trust",
        ),
    ),
    ((ConnectionRefusedError,), Cause("nothing listens there: it is down, or at another port")),
    (
        (socket.gaierror,),
        Cause("its name leads to no address here", "look the name up with `getent hosts NAME`"),
    ),
    (
        (httpx.ConnectTimeout,),
        Cause("no connection comes about: a firewall drops it, or the host is away"),
    ),
    ((TimeoutError, httpx.TimeoutException), Cause("it hangs, or its answer is lost on the way")),
    ((OtherProtocol,), TLS_THERE),
    # Python to 3.11.2 takes an end before the handshake for a proper one.
    ((ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError, EOFError), HUNG_UP),
)
NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
"""What OpenSSL 1.1 and 3 call an answer that is no TLS."""
KEY = "set the secret of this deployment (GATE_API_KEY, GATE_GRAFANA_PASSWORD), or open the way"
STATUSES = {
    401: Cause("it answers, and refuses who asks: no key, a wrong one, or a login before it", KEY),
    403: Cause("it answers, and refuses who asks: a wrong key, or a rule before it", KEY),
    407: Cause("a proxy on the way wants a login", "ask from a host that needs none"),
    429: Cause(
        "it, or what stands before it, counts too many requests from this host",
        "wait for what `retry-after` says, and let the gate's host have more than its burst",
    ),
    502: Cause("the proxy before it gets no answer from it that it understands"),
    503: Cause(
        "it says itself that it can serve nobody now: starting, overloaded, in maintenance",
        "its body and `retry-after` say more; then look at the log of who sent it",
    ),
    504: Cause("the proxy before it waited for its answer in vain: it hangs, or is too slow"),
}
LOGIN = "set GATE_REDIS_PASSWORD (and GATE_REDIS_USER) to those of this deployment"
REPLIES = {
    "NOAUTH": Cause("Redis answers, and wants a password that it was not given", LOGIN),
    "WRONGPASS": Cause("Redis answers, and has another password or user than it was given", LOGIN),
    "NOPERM": Cause(
        "Redis answers, and its user may not run this command",
        "`ACL SETUSER NAME +ping +info` for what the gate asks, or set GATE_REDIS_USER",
    ),
    "LOADING": Cause("Redis reads its data from disk, which takes minutes for much of it"),
    "MASTERDOWN": Cause("Redis is a replica, and its master is away"),
    "MISCONF": Cause("Redis cannot save to its disk, and so refuses writes"),
    "DENIED": Cause("Redis is in protected mode: it has no password and lets no other host in"),
    "ERR max number of clients": Cause("Redis has as many clients as it takes (`maxclients`)"),
    "ERR invalid password": Cause("Redis answers, and has another password", LOGIN),
    "ERR AUTH": Cause(
        "Redis has no password, though one was given", "set `requirepass`: who reaches it owns it"
    ),
}
REFUSALS = ("NOAUTH", "WRONGPASS", "NOPERM", "ERR invalid password", "ERR AUTH")


def of_error(error: BaseException) -> Cause | None:
    """Say why no answer came, by what was raised; None where that tells nothing."""
    raised = tuple(chain(error))
    for one in raised:
        if isinstance(one, ssl.SSLError) and one.reason in NOT_TLS:
            return NO_TLS
    for kinds, cause in ERRORS:
        if any(isinstance(one, kinds) for one in raised):
            return cause
    if any(isinstance(one, httpx.RemoteProtocolError) for one in raised):
        return HUNG_UP if "disconnected" in str(error) else TLS_THERE
    return None


def of_status(status: int, body: str, location: str) -> Cause | None:
    """Say why an answer has a status that nobody expects; None where the check knows better."""
    if status == 400 and "HTTPS port" in body:
        return TLS_THERE
    if 300 <= status < 400 and location:
        return Cause(f"it sends whoever asks elsewhere, to {location}: a login, or another name")
    return STATUSES.get(status)


def of_reply(reply: str) -> Cause | None:
    """Say why Redis answered with an error."""
    return next((cause for code, cause in REPLIES.items() if reply.startswith(code)), None)
