"""TLS: the certificate as it is served, and the versions that are agreed to."""

import asyncio
import ssl
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gate.wire.address import Address, trusting_context

SHARE_LEFT = 0.15
MOST_LEFT = timedelta(days=10)
"""Clients of ACME renew when a third of the time is left, a half where it is short."""


@dataclass(frozen=True)
class Certificate:
    """The certificate as served, and whether a client that checks everything accepts it."""

    trusted: bool
    problem: str | None
    """Why it is not accepted, in OpenSSL's words."""
    not_before: datetime | None
    not_after: datetime | None
    names: tuple[str, ...]
    protocol: str | None


def least_left(begins: datetime, ends: datetime) -> timedelta:
    """Give what has to be left of a certificate's time: a share of it, so that one of six days is
    no more in danger than one of ninety, and ten days of a long one."""
    return min(MOST_LEFT, (ends - begins) * SHARE_LEFT)


def in_days(time: timedelta) -> str:
    """Write a time in days, to a tenth."""
    return f"{time.total_seconds() / 86400:.1f} days"


async def handshake(to: Address, context: ssl.SSLContext) -> ssl.SSLObject:
    """Connect, agree on TLS and hang up."""
    _, writer = await asyncio.open_connection(
        to.host, to.port, ssl=context, server_hostname=to.name
    )
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.transport.abort()
    return tls


def only(version: ssl.TLSVersion) -> ssl.SSLContext:
    """Make a context that offers exactly one version of TLS."""
    context = trusting_context()
    # Level 0 lets this client offer what a good server refuses.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():  # that these versions are out of date is the point
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    return context


async def certificate(to: Address, context: ssl.SSLContext) -> Certificate:
    """Read the certificate that is served, and whether `context` accepts it."""
    if context.verify_mode is ssl.CERT_NONE:
        return await _unverified(to, None)
    try:
        tls = await handshake(to, context)
    except ssl.SSLCertVerificationError as error:
        return await _unverified(to, error.verify_message)
    shown: dict[str, Any] = tls.getpeercert() or {}
    names = tuple(str(name[1]) for name in shown.get("subjectAltName", ()))
    return Certificate(
        True, None, _time(shown["notBefore"]), _time(shown["notAfter"]), names, tls.version()
    )


def _time(text: Any) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(text)), UTC)


async def _unverified(to: Address, problem: str | None) -> Certificate:
    from cryptography import x509  # 50 ms, needed only where verification failed

    tls = await handshake(to, trusting_context())
    shown = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
    try:
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        listed = tuple(str(name.value) for name in names)
    except x509.ExtensionNotFound:
        listed = ()
    begins, ends = shown.not_valid_before_utc, shown.not_valid_after_utc
    return Certificate(problem is None, problem, begins, ends, listed, tls.version())
