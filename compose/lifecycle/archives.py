"""The file that a backup is: members with checksums in a tar.gz, encrypted where there is a key."""

import errno
import gzip
import hashlib
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from secrets import token_bytes
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from compose.machine.tar import extract
from gate.errors import MachineError, UsageError

FORMAT = "breakout-bot-backup"
MANIFEST = "manifest.json"
MAGIC = b"BBTS-AES-GCM-1\n"
CHUNK = 1 << 20
PREFIX, COUNTER, TAG = 8, 4, 16
KEY_BYTES = 32
UNFINISHED = ".new"
"""End of an archive's name while it is written; it begins with its working folder's name."""
RESERVE = 64 << 20
"""Bytes that stay free on a disk, whatever is copied: what is live lies there too."""
DAMAGED = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, ValueError, KeyError)


def pack(folder: Path, path: Path, about: dict[str, Any], key_file: str | None) -> None:
    """Write every file of `folder` and a manifest about them into the archive `path`.

    With a key it is encrypted as it is written: nothing plain is on the disk under any name.
    """
    key = key_from(key_file) if key_file else None
    members = sorted(member for member in folder.iterdir() if member.name != MANIFEST)
    files = {
        member.name: {"sha256": _sha(member), "bytes": member.stat().st_size} for member in members
    }
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"format": FORMAT, **about, "files": files}, indent=2))
    new = path.with_name(f".{folder.parent.name}.{path.name}{UNFINISHED}")
    new.touch(mode=0o600)
    try:
        with new.open("wb") as file:
            _write(file, (manifest, *members), key)
            file.flush()
            os.fsync(file.fileno())
            new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _write(file: BinaryIO, members: Sequence[Path], key: bytes | None) -> None:
    sealed = _Sealed(file, key) if key else None
    to: Any = sealed or file
    with (
        gzip.GzipFile("", "wb", fileobj=to) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for member in members:
            tar.add(member, member.name)
    if sealed:
        sealed.finish()


def unpack(path: Path, folder: Path, key_file: str | None) -> dict[str, Any]:
    """Check an archive as a whole and lay its files into `folder`; its manifest.

    Raises `UsageError` for one that is damaged, truncated, foreign or locked with another key, and
    `MachineError` where there is no room for it.
    """
    if not path.is_file():
        raise UsageError(f"expected a backup, got {path}: no such file")
    with path.open("rb") as file:
        locked = file.read(len(MAGIC)) == MAGIC
    if locked and not key_file:
        raise UsageError(f"{path.name} is encrypted: give its key with --key-file")
    key = key_from(key_file) if locked and key_file else None
    try:
        with path.open("rb") as file:
            _lay_out(_Opened(file, key) if key else file, folder)
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        manifest: dict[str, Any] = json.loads(text)
    except FileNotFoundError:
        raise UsageError(
            f"expected a backup of this system, got {path.name} without {MANIFEST}; nothing was"
            " touched"
        ) from None
    except InvalidTag:
        raise UsageError(
            f"{path.name} is damaged, cut short, or locked with another key; nothing was touched"
        ) from None
    except DAMAGED as error:
        raise UsageError(
            f"expected a whole backup, got {path.name}, which is damaged, cut short or no backup"
            f" of this system ({type(error).__name__}); nothing was touched"
        ) from None
    except OSError as error:
        raise MachineError(f"Expected room to unpack {path.name}, but: {error.strerror}.") from None
    _check(path, folder, manifest)
    return manifest


def _lay_out(file: Any, folder: Path) -> None:
    """Unpack as a stream, up to the checksum at its very end, to which tarfile does not come."""
    with gzip.GzipFile(fileobj=file) as packed:
        with tarfile.open(fileobj=packed, mode="r|") as tar:
            for member in tar:
                if shutil.disk_usage(folder).free < member.size + RESERVE:
                    raise OSError(errno.ENOSPC, f"{member.size >> 20} MB do not fit")
                extract(tar, member, folder)
        while packed.read(CHUNK):
            pass


def _check(path: Path, folder: Path, manifest: dict[str, Any]) -> None:
    if manifest.get("format") != FORMAT:
        raise UsageError(f"expected a backup of this system, got {path.name}; nothing was touched")
    for name, wanted in manifest["files"].items():
        file = folder / Path(name).name
        if not file.is_file() or _sha(file) != wanted["sha256"]:
            raise UsageError(
                f"expected {name} in {path.name} as it was backed up, but its checksum differs;"
                " nothing was touched"
            )


def _sha(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Encryption: AES-256-GCM a chunk; the last one says so, so that none can be cut off.


def key_from(path: str) -> bytes:
    """Read the key in a file: 64 hexadecimal digits. Raises `UsageError`."""
    try:
        key = bytes.fromhex(Path(path).read_text(encoding="ascii").strip())
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UsageError(f"expected --key-file to be readable, got {path}: {why}") from None
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(
            f"expected {path} to hold a key of {KEY_BYTES * 2} hexadecimal digits;"
            " `openssl rand -hex 32` makes one"
        )
    return key


class _Sealed:
    """A file to write to, encrypted; `finish` marks the last chunk."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._file = file
        self._cipher, self._prefix = AESGCM(key), token_bytes(PREFIX)
        self._waiting, self._number = bytearray(), 0
        file.write(MAGIC + self._prefix)

    def write(self, content: bytes) -> int:
        """Encrypt what fills whole chunks; at least a byte waits, for the last one is marked."""
        self._waiting += content
        while len(self._waiting) > CHUNK:
            self._seal(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]
        return len(content)

    def finish(self) -> None:
        """Write the last chunk."""
        self._seal(bytes(self._waiting), last=True)

    def flush(self) -> None:
        """Do nothing: gzip asks for it, chunks are whole or wait."""

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        nonce = _nonce(self._prefix, self._number)
        self._file.write(self._cipher.encrypt(nonce, chunk, _mark(last)))
        self._number += 1


class _Opened:
    """An encrypted file to read from. Raises `InvalidTag` for what is not as it was written."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        cipher = AESGCM(key)
        prefix = file.read(len(MAGIC) + PREFIX)[len(MAGIC) :]
        self._chunks = (
            cipher.decrypt(_nonce(prefix, number), chunk, _mark(last))
            for number, chunk, last in _chunks(file, CHUNK + TAG)
        )
        self._waiting = b""

    def read(self, size: int) -> bytes:
        """Give the next bytes, decrypted; none at the end."""
        while not self._waiting:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._waiting = chunk
        content, self._waiting = self._waiting[:size], self._waiting[size:]
        return content


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
