"""Certificate authorities that this machine trusts beside the public ones."""

import hashlib
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PLACE = Path("/usr/local/share/ca-certificates")
PUBLIC = Path("/usr/share/ca-certificates")
SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
VARIABLES = (
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def blocks(text: str) -> list[str]:
    """Split a bundle into its certificates, written alike."""
    return ["\n".join(block.split("\n")).replace("\r", "") + "\n" for block in BLOCK.findall(text)]


def _in(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.crt")):
        yield from blocks(path.read_text(errors="replace"))


@cache
def own() -> tuple[str, ...]:
    """Give the authorities that someone added to this machine."""
    bundle = Path(os.environ.get("SSL_CERT_FILE", ""))
    named = blocks(bundle.read_text(errors="replace")) if bundle.is_file() else []
    public = set(_in(PUBLIC))
    return tuple(dict.fromkeys(c for c in [*_in(PLACE), *named] if c not in public))


def fingerprint() -> str:
    """Name the set of added authorities."""
    return hashlib.sha256("".join(own()).encode()).hexdigest()


def environment() -> dict[str, str]:
    """Say where the tools that bring their own authorities find the system's."""
    return dict.fromkeys(VARIABLES, SYSTEM_BUNDLE)
