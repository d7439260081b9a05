"""URLs of a target: read or refused in one sentence, and where connections for them go."""

import re
from urllib.parse import SplitResult, urlsplit

from gate.errors import TargetError

DEFAULT_PORTS = {"https": 443, "http": 80, "redis": 6379, "rediss": 6379}
HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.%]+")
"""A name, or an address of IPv6."""


def base_url(
    url: str, where: str, schemes: tuple[str, ...], like: str | None = None, user: bool = False
) -> str:
    """Read the base URL of a service: its origin, behind the `user@` that it may have with `user`.

    Raises `TargetError`: what is wrong at `where`, without what may be a password.
    """
    wanted = f"{where}: expected {like or f'a URL like {schemes[0]}://host[:port]'}"
    head, at, tail = url.rpartition("@")
    shown = f"{head.partition('://')[0]}://«redacted»@{tail}" if at else url
    try:
        parts = urlsplit(url)
        _, host = parts.port, host_of(parts)
    except ValueError as error:
        raise TargetError(f"{wanted}, got {shown!r}: {error}") from None
    if parts.scheme not in schemes or not HOST.fullmatch(host):
        raise TargetError(f"{wanted}, got {shown!r}")
    if parts.password or (parts.username and not user):
        without = "a password" if user else "a user or password"
        raise TargetError(f"{wanted} without {without}, got {shown!r}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise TargetError(f"{wanted} and nothing after it, got {shown!r}")
    base = origin(parts)
    return base.replace("://", f"://{parts.username}@", 1) if parts.username else base


def host_of(parts: SplitResult) -> str:
    """Give the host of a URL, its name in ASCII. Raises `ValueError` for one that has no such."""
    return (parts.hostname or "").encode("idna").decode()


def origin(parts: SplitResult) -> str:
    """Write a URL's origin as browsers do: lower case, no default port, names in ASCII."""
    host = host_of(parts).rstrip(".")
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
