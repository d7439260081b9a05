"""URLs of a target: read or refused in one sentence, and where connections for them go."""

import re
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

from gate.errors import TargetError

DEFAULT_PORTS = {"https": 443, "http": 80, "redis": 6379, "rediss": 6379}
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
"""A part of a host's name; `_` is not for hosts, but there are some."""
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""The last part of what browsers take for an address of IPv4."""
UNSEEN = re.compile(r"[\s\x00-\x1f\x7f]")
"""What `urlsplit` drops in silence."""


def base_url(
    url: str, where: str, schemes: tuple[str, ...], like: str | None = None, user: bool = False
) -> str:
    """Read the base URL of a service: its origin, behind the `user@` that it may have with `user`.

    Raises `TargetError`: what is wrong at `where`, without what may be a password.
    """
    url = url.strip()
    wanted = f"{where}: expected {like or f'a URL like {schemes[0]}://host[:port]'}"
    head, at, tail = url.rpartition("@")
    shown = f"{head.partition('://')[0]}://«redacted»@{tail}" if at else url
    try:
        parts = urlsplit(url)
        base = origin(parts) if parts.hostname and not UNSEEN.search(url) else None
    except ValueError as error:
        raise TargetError(f"{wanted}, got {shown!r}: {error}") from None
    if base is None or parts.scheme not in schemes:
        plain = parts.scheme == "http" and "http" not in schemes
        why = ": what plain http serves cannot be judged; give the https URL of the same host"
        raise TargetError(f"{wanted}, got {shown!r}{why if plain else ''}")
    if parts.password or (parts.username and not user):
        without = "a password" if user else "a user or password"
        raise TargetError(f"{wanted} without {without}, got {shown!r}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise TargetError(f"{wanted} and nothing after it, got {shown!r}")
    return base.replace("://", f"://{parts.username}@", 1) if parts.username else base


def host_of(parts: SplitResult) -> str:
    """Give the host of a URL in its one form, a name as A-labels. Raises `ValueError` for none."""
    host = (parts.hostname or "").lower()
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a zone means something on one machine only")
        return IPv6Address(host).compressed
    if not host.isascii() or "xn--" in host:
        import idna  # 16 ms, as few names need

        host = idna.encode(host, uts46=True).decode()
    host = host.removesuffix(".")
    *_, last = labels = host.split(".")
    if NUMBER.fullmatch(last):
        return str(IPv4Address(host))
    if len(host) > 253 or not all(map(LABEL.fullmatch, labels)):
        raise ValueError(f"{host!r} is no name of a host")
    return host


def origin(parts: SplitResult) -> str:
    """Write a URL's origin as browsers do: lower case, no default port, names in ASCII.

    Raises `ValueError` for one that leads nowhere.
    """
    host = host_of(parts)
    if parts.port == 0:
        raise ValueError("nothing listens at port 0")
    default = parts.port in (None, DEFAULT_PORTS.get(parts.scheme))
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" if default else f"{parts.scheme}://{host}:{parts.port}"


def plain_url(url: str) -> str:
    """Give the address of plain HTTP at the host of `url`."""
    host = urlsplit(url).hostname or ""
    return f"http://[{host}]" if ":" in host else f"http://{host}"


def authority(host: str, port: int | str) -> str:
    """Write `HOST:PORT`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def authority_of(url: str) -> str:
    """Give the `HOST:PORT` that a URL leads to."""
    parts = urlsplit(url)
    return authority(parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])


def leading_to(url: str, tls: str, plain: str | None = None) -> dict[str, str]:
    """Give the `connect` that leads `url`, and plain http of its host, to these `HOST:PORT`s."""
    to = {authority_of(url): tls}
    return {**to, authority_of(plain_url(url)): plain} if plain else to
