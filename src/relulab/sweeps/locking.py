"""One process at a time writes to a results folder."""

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from relulab.sweeps.files import remove_temporary_files, write_whole
from relulab.sweeps.interrupts import interrupts_wait
from relulab.validation import InputError, one_line, shortened

LOCK, NOTE = ".lock", ".owner.json"

# What relulab writes into a results folder, apart from tables and figures.
OUR_FILES = (LOCK, NOTE, "manifest.json")
OUR_FOLDERS = ("runs", "records", "data")


@dataclass(frozen=True)
class Ownership:
    """The right to write to a folder, for workers, which may outlive the process that has it.

    Attributes
    ----------
    note : Path
        The file that names the owner.
    text : str
        The file's content as long as we are the owner.
    """

    note: Path
    text: str

    @property
    def folder(self) -> Path:
        """The folder that may be written to."""
        return self.note.parent

    def holds(self) -> bool:
        """Return whether no other process has taken over."""
        try:
            return self.note.read_bytes() == self.text.encode()
        except OSError:
            return False


@contextmanager
def locked(folder: Path) -> Iterator[Ownership]:
    """Keep other processes from writing to a folder, which is created if needed.

    The operating system releases the lock when a process ends in any way, so a lock is never
    stale. A dead process leaves only the note that names it.

    Raises
    ------
    InputError
        If another process is at work there; the message names that process and its host.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / NOTE
    _refuse_links(folder)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{folder}: expected no other process at work there, found {_named(note)}; wait for"
            " it, or use --results with another folder"
        ) from None
    ours = Ownership(note.absolute(), json.dumps(_owner()) + "\n")
    try:
        if note.exists():
            print(
                f"{folder}: {_named(note)} ended without finishing; continuing from what it left",
                file=sys.stderr,
            )
        write_whole(folder, note, ours.text.encode())
        yield ours
    finally:
        with interrupts_wait():  # or the next process would hear that this one did not finish
            if ours.holds():  # otherwise the note is another's
                note.unlink(missing_ok=True)  # first: a worker without it begins no further file
                remove_temporary_files(folder)  # of workers that died or were killed
            lock.release()


def _refuse_links(folder: Path) -> None:
    """Refuse links, which would redirect our writes, and pipes, which would block forever."""
    places = [folder / name for name in (*OUR_FILES, *OUR_FOLDERS)]
    places += folder.glob("runs/*")
    for place in places:
        if place.is_symlink():
            raise InputError(
                f"{place}: a link; relulab writes only into the results folder: link the whole"
                " folder, or use --results with another one"
            )
    for k, place in enumerate(places):
        kind, is_right = ("file", Path.is_file) if k < len(OUR_FILES) else ("folder", Path.is_dir)
        if k < len(OUR_FILES) + len(OUR_FOLDERS) and place.exists() and not is_right(place):
            raise InputError(f"{place}: expected a {kind}, found something else; move it")


def _owner() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": platform.node(),
        "since": datetime.now(UTC).isoformat(),
    }


def _named(note: Path) -> str:
    """Return in words which process a note names."""
    try:
        owner = json.loads(note.read_text(encoding="utf-8"))
        said = f"process {owner['pid']} on {owner['host']} (since {owner['since']})"
        return shortened(one_line(said))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "a process that left no name"  # killed while writing it, or just started
