"""Compiled kernels on disk: a cache that cannot fail and cannot mislead.

Numba's own cache raises an exception in the engine if a file is damaged or the disk is full, and
loads damage that it cannot see: a flipped bit in machine code. Through the shared index, two
processes that start at the same time can even give one signature's code to the other. So this cache
takes from Numba only the folder of its files and the conversion of a kernel to bytes. Each kernel
has one file per signature, with the key of its contents and a checksum that is verified before the
bytes are used.

Whatever goes wrong with a file, the kernel is compiled again, and the file is replaced if possible.
"""

import hashlib
import os
import pickle
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite
import numba
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

from relulab.training.numba_support import say_once

MAGIC = b"relulab kernel 1\n"
DIGEST = hashlib.sha256().digest_size
VERSIONS = (sys.version, numba.__version__, llvmlite.__version__)


class DamagedError(ValueError):
    """A file does not contain what was written to it."""


def keep_on_disk(kernel: Any, *called: ModuleType) -> None:
    """Keep the code of a function that Numba compiles on disk, if there is a place for it.

    It is compiled again after a change of its file, or of one of the modules ``called``.
    """
    try:
        kernel._cache = KernelCache(kernel.py_func, called)
    except RuntimeError:  # Numba finds no writable folder
        return
    except Exception as error:  # Numba's internals have changed
        _say("Numba's cache", error, "compiled kernels are not kept")


class KernelCache(FunctionCache):
    """Numba's cache of a function with our files; it raises no exceptions."""

    def __init__(self, function: Callable[..., Any], called: tuple[ModuleType, ...]) -> None:
        super().__init__(function)
        stats = {module.__name__: os.stat(str(module.__file__)) for module in called}
        stamps = [(name, stat.st_mtime, stat.st_size) for name, stat in stats.items()]
        stamp = (self._impl.locator.get_source_stamp(), stamps)  # like Numba's own
        files: Any = KernelFiles(Path(self.cache_path), self._impl.filename_base, stamp)
        self._cache_file = files

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the code compiled for a signature; None if it must be compiled."""
        try:
            return super().load_overload(signature, target)
        except Exception as error:
            _say(self.cache_path, error, "compiled again")
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep the code compiled for a signature, if possible."""
        try:
            super().save_overload(signature, compiled)
        except Exception as error:
            consequence = "compiled kernels are not kept, so each start compiles them again"
            _say(self.cache_path, error, consequence)


class KernelFiles:
    """The files of one kernel; Numba's cache asks for ``load``, ``save`` and ``flush``.

    Parameters
    ----------
    folder : Path
    name : str
        The beginning of the files' names.
    stamp : object
        The stamp of the source file; files with another one are old.
    """

    def __init__(self, folder: Path, name: str, stamp: object) -> None:
        self.folder, self.name, self.stamp = folder, name, stamp

    def file(self, key: Any) -> Path:
        """Return the file for a signature and a processor, the first two parts of a key."""
        text = repr((key[:2], VERSIONS))
        return self.folder / f"{self.name}.{hashlib.sha256(text.encode()).hexdigest()[:16]}.kernel"

    def load(self, key: Any) -> Any:
        """Return the data of a key; None if there are none or they are old."""
        file = self.file(key)
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return None
        start = len(MAGIC) + DIGEST
        head, digest, payload = content[: len(MAGIC)], content[len(MAGIC) : start], content[start:]
        if head != MAGIC or hashlib.sha256(payload).digest() != digest:
            raise DamagedError(f"{file}: damaged")
        stamp, stored, data = pickle.loads(payload)
        return data if (stamp, stored) == (self.stamp, key) else None

    def save(self, key: Any, data: Any) -> None:
        """Write the data of a key; readers see it all or not at all."""
        payload: bytes = dumps((self.stamp, key, data))
        file = self.file(key)
        unfinished = file.with_name(f"{file.name}.{uuid.uuid4().hex[:16]}.tmp")
        try:
            unfinished.write_bytes(MAGIC + hashlib.sha256(payload).digest() + payload)
            os.replace(unfinished, file)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink()
            raise

    def flush(self) -> None:
        """Delete what is stored."""
        for file in self.folder.glob(f"{self.name}.*.kernel"):
            file.unlink(missing_ok=True)


def _say(where: str, error: Exception, consequence: str) -> None:
    # The error of a write to a full disk does not.
    names_its_file = isinstance(error, DamagedError) or getattr(error, "filename", None) is not None
    cause = str(error) if names_its_file else f"{where}: {error!r}"
    say_once("kernel cache", f"{' '.join(cause.split())}; {consequence}")
