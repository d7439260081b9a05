"""Unpacking: files and folders only, inside the folder that they are for."""

import tarfile
from pathlib import Path, PurePosixPath


def extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Lay out one member. Raises `tarfile.TarError` for one that is no plain part of the folder.

    Python has a filter for that from 3.11.4 on; Debian 12 has 3.11.2.
    """
    if hasattr(tarfile, "data_filter"):
        tar.extract(member, folder, filter="data")
        return
    path = PurePosixPath(member.name)
    if not (member.isfile() or member.isdir()) or path.is_absolute() or ".." in path.parts:
        raise tarfile.ExtractError(f"{member.name} is no file or folder inside the archive's own")
    tar.extract(member, folder)
