"""Where a connection goes and whose certificate counts: `url`, `connect` and `trust` of a target.

A URL says what is asked for: origin, Host and the name in TLS. `connect` says where TCP goes for
it. `trust` and `ca_file` say which certificate is accepted there. Every protocol asks here.
"""

import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

from gate.target import Target


class Address(NamedTuple):
    """Host and port that TCP goes to, and the name to ask for there."""

    host: str
    port: int
    name: str


def address(target: Target, url: str) -> Address:
    """Give where a connection for `url` goes."""
    return Address(*target.address_of(url), urlsplit(url).hostname or "")


def tls_context(target: Target) -> ssl.SSLContext:
    """Make a context of full verification, against the target's own CA where it has one.

    With trust `any` it verifies nothing.
    """
    if target.trust == "any":
        return trusting_context()
    cafile = str(target.ca_file) if target.ca_file else None
    return ssl.create_default_context(cafile=cafile)


def trusting_context() -> ssl.SSLContext:
    """Make a context for looking at certificates that may be bad; nothing is sent over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
