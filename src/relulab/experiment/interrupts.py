"""Ctrl-C: the first one ends the work in good order, and those that follow change nothing."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


@contextmanager
def first_interrupt_only(*, for_good: bool) -> Iterator[None]:
    """Let the first Ctrl-C raise ``KeyboardInterrupt``, and ignore those that follow.

    Handling the first one takes a moment and must not stop half-way. With ``for_good``, later
    ones are ignored after this, too, in a program that is about to end.
    """

    def first(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    default = signal.default_int_handler
    if current_thread() is not main_thread() or signal.getsignal(signal.SIGINT) is not default:
        yield
        return
    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        if not for_good or signal.getsignal(signal.SIGINT) is first:
            signal.signal(signal.SIGINT, default)
