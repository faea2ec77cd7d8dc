"""Output that outlives its reader and its encoding: what cannot be printed never stops the work."""

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

# What writing to a pipe says when nobody reads it any more, or to a stream that was closed.
GONE = (errno.EPIPE, errno.EBADF, errno.EINVAL, errno.EIO)


class Output:
    r"""A text stream that writes letters it cannot encode as ``\u03b7``, and gives up in silence.

    A backslash form and not ``?``, so that a path inside a line of Python stays that path.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._silent = stream is None

    def write(self, text: str) -> int:
        """Write the text, or drop it where nothing can be written."""
        if not self._silent:
            try:
                self._write(text)
            except (OSError, ValueError) as error:  # ValueError: a closed stream
                self._give_up(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write the lines one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what was written."""
        if not self._silent:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def isatty(self) -> bool:
        """Return whether a person watches."""
        try:
            return not self._silent and bool(self._stream.isatty())
        except (AttributeError, ValueError):
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            encoding = self._stream.encoding or error.encoding
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def _give_up(self, error: Exception) -> None:
        self._silent = True
        if self._stream in (sys.__stdout__, sys.__stderr__):
            # What the stream still holds would fail again when Python ends, with exit status 120.
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
        if isinstance(error, OSError) and error.errno not in GONE:
            print(f"output: {error.strerror}; no more of it is printed", file=sys.stderr)


@contextmanager
def own_output() -> Iterator[None]:
    """Make stdout and stderr such streams for a while, also where they are closed."""
    _keep_descriptors()
    before = sys.stdout, sys.stderr
    sys.stderr = Output(sys.stderr)
    sys.stdout = Output(sys.stdout)
    ours = sys.stdout, sys.stderr
    try:
        yield
    finally:
        for stream in ours:
            stream.flush()
        sys.stdout, sys.stderr = before


def _keep_descriptors() -> None:
    """Keep the numbers of closed standard streams from the next files that are opened.

    Otherwise what libraries and child processes print would land in a results file.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the smallest number that is free
