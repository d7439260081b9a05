"""The file that a backup is: members with checksums in a tar.gz, encrypted where there is a key."""

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from secrets import token_bytes
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from compose.lifecycle.trouble import BadInput
from compose.machine.console import MachineError

FORMAT = "breakout-bot-backup"
MANIFEST = "manifest.json"
MAGIC = b"BBTS-AES-GCM-1\n"
CHUNK = 1 << 20
PREFIX, COUNTER, TAG = 8, 4, 16
KEY_BYTES = 32
DAMAGED = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, ValueError, KeyError)


def pack(folder: Path, path: Path, about: dict[str, Any], key_file: str | None) -> None:
    """Write every file of `folder` and a manifest about them into the archive `path`."""
    members = sorted(one for one in folder.iterdir() if one.name != MANIFEST)
    files = {one.name: {"sha256": _sha(one), "bytes": one.stat().st_size} for one in members}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"format": FORMAT, **about, "files": files}, indent=2))
    new = path.with_name(f".{path.name}.new")
    new.touch(mode=0o600)
    with tarfile.open(new, "w:gz") as tar:
        for one in (manifest, *members):
            tar.add(one, one.name)
    if key_file:
        _encrypt(new, key_from(key_file))
    new.replace(path)


def unpack(path: Path, folder: Path, key_file: str | None) -> dict[str, Any]:
    """Check an archive as a whole and lay its files into `folder`; its manifest.

    Raises `BadInput` for one that is damaged, truncated, foreign or locked with another key, and
    `MachineError` where there is no room for it.
    """
    if not path.is_file():
        raise BadInput(f"expected a backup, got {path}: no such file")
    plain = path
    if _is_encrypted(path):
        if not key_file:
            raise BadInput(f"{path.name} is encrypted: give its key with --key-file")
        plain = folder / ".plain.tar.gz"
        _decrypt(path, plain, key_from(key_file))
    try:
        _read_through(plain)
        with tarfile.open(plain, "r:gz") as tar:
            tar.extractall(folder, filter="data")
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except DAMAGED as error:
        raise BadInput(
            f"expected a whole backup, got {path.name}, which is damaged, cut short or no backup"
            f" of this system ({type(error).__name__}); nothing was touched"
        ) from None
    except OSError as error:
        raise MachineError(f"Expected room to unpack {path.name}, but: {error.strerror}.") from None
    _check(path, folder, manifest)
    return manifest


def _read_through(path: Path) -> None:
    """To the checksum at its very end, which tarfile does not come to."""
    with gzip.open(path) as file:
        while file.read(CHUNK):
            pass


def _check(path: Path, folder: Path, manifest: dict[str, Any]) -> None:
    if manifest.get("format") != FORMAT:
        raise BadInput(f"expected a backup of this system, got {path.name}; nothing was touched")
    for name, wanted in manifest["files"].items():
        file = folder / Path(name).name
        if not file.is_file() or _sha(file) != wanted["sha256"]:
            raise BadInput(
                f"expected {name} in {path.name} as it was backed up, but its checksum differs;"
                " nothing was touched"
            )


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Encryption: AES-256-GCM a chunk; the last one says so, so that none can be cut off.


def key_from(path: str) -> bytes:
    """The key in a file: 64 hexadecimal digits. Raises `BadInput`."""
    try:
        key = bytes.fromhex(Path(path).read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise BadInput(
            f"expected {path} to hold a key of {KEY_BYTES * 2} hexadecimal digits;"
            " `openssl rand -hex 32` makes one"
        )
    return key


def _is_encrypted(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _encrypt(path: Path, key: bytes) -> None:
    cipher, prefix = AESGCM(key), token_bytes(PREFIX)
    locked = path.with_name(f"{path.name}.locked")
    locked.touch(mode=0o600)
    with path.open("rb") as source, locked.open("wb") as to:
        to.write(MAGIC + prefix)
        for number, chunk, last in _chunks(source, CHUNK):
            to.write(cipher.encrypt(_nonce(prefix, number), chunk, _mark(last)))
    locked.replace(path)


def _decrypt(path: Path, plain: Path, key: bytes) -> None:
    cipher = AESGCM(key)
    plain.touch(mode=0o600)
    try:
        with path.open("rb") as source, plain.open("wb") as to:
            prefix = source.read(len(MAGIC) + PREFIX)[len(MAGIC) :]
            for number, chunk, last in _chunks(source, CHUNK + TAG):
                to.write(cipher.decrypt(_nonce(prefix, number), chunk, _mark(last)))
    except InvalidTag:
        raise BadInput(
            f"{path.name} is damaged, cut short, or locked with another key; nothing was touched"
        ) from None


def _chunks(source: Any, size: int) -> Iterator[tuple[int, bytes, bool]]:
    number, chunk = 0, source.read(size)
    while True:
        following = source.read(size)
        yield number, chunk, not following
        if not following:
            return
        number, chunk = number + 1, following


def _nonce(prefix: bytes, number: int) -> bytes:
    return prefix + number.to_bytes(COUNTER, "big")


def _mark(last: bool) -> bytes:
    return b"last" if last else b"more"
