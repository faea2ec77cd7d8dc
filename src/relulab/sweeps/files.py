"""Files of a results folder: they appear whole or not at all; half-written ones are ours."""

import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

# A half-written file. It lies in the folder itself, because readers of runs/ take every file there,
# some even hidden ones.
_TEMPORARY = re.compile(r"\.relulab-[0-9a-f]{32}\.tmp")


@contextmanager
def whole(folder: Path, file: Path) -> Iterator[BinaryIO]:
    """Open a file of a results folder that appears whole or not at all, even if power fails.

    No folder is created, so that a folder deleted meanwhile does not come back.
    """
    temporary = folder / f".relulab-{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("x+b") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(file.parent)


def write_whole(folder: Path, file: Path, content: bytes) -> None:
    """Write a file with ``whole``."""
    with whole(folder, file) as sink:
        sink.write(content)


def remove_temporary_files(folder: Path) -> None:
    """Delete the half-written files that killed processes left in a results folder."""
    for file in folder.glob(".relulab-*.tmp"):
        # A worker on another machine has just finished it, or is writing it, and Windows deletes no
        # file that is open.
        with suppress(FileNotFoundError, PermissionError):
            if _TEMPORARY.fullmatch(file.name) and is_regular(file):
                file.unlink()


def is_regular(file: Path) -> bool:
    """Return whether a path is a file, not a link, folder or pipe; raise if nothing is there."""
    return stat.S_ISREG(file.lstat().st_mode)


def _sync_folder(folder: Path) -> None:
    """Write a folder's list of files to disk, if the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
