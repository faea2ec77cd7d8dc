"""Output that never stops the work, even if it has no reader or cannot be encoded."""

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

# The errors of writing to a pipe that is no longer read, or to a closed stream.
GONE = (errno.EPIPE, errno.EBADF, errno.EINVAL, errno.EIO)


class Output:
    r"""A text stream that writes letters it cannot encode as ``\u03b7``, and gives up silently.

    It writes this form and not ``?``, so that paths in a line of Python stay correct.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._silent = stream is None

    def write(self, text: str) -> int:
        """Write the text, or drop it if nothing can be written."""
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
        """Flush the stream."""
        if not self._silent:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
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
            # The stream's buffer would fail again when Python ends, with exit status 120.
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
        if isinstance(error, OSError) and error.errno not in GONE:
            print(f"output: {error.strerror}; nothing more is printed", file=sys.stderr)


@contextmanager
def own_output() -> Iterator[None]:
    """Make stdout and stderr such streams for a while, even if they are closed."""
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
    """Keep files opened later from getting the numbers of closed standard streams.

    Otherwise the output of libraries and child processes would land in a results file.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the smallest free number
