"""Ctrl-C while something is done that must not stop half-way."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Handle a Ctrl-C that comes meanwhile afterwards."""
    handler, taken = signal.getsignal(signal.SIGINT), []
    if current_thread() is not main_thread() or not callable(handler):
        yield
        return
    signal.signal(signal.SIGINT, lambda *came: taken.append(came))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if taken:
            handler(*taken[0])
