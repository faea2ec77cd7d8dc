"""A thread that works only on the latest request."""

from collections.abc import Callable, Iterator
from threading import Condition, Thread
from typing import Generic, TypeVar

Wish = TypeVar("Wish")
Result = TypeVar("Result")


class Latest(Generic[Wish, Result]):
    """A thread that drops its work for a newer wish.

    Parameters
    ----------
    work : function of a wish
        Yields results, each better than the last, and None in between wherever it may be dropped.
        It is not dropped before its first result, so that something is shown even while wishes
        follow one another quickly.
    """

    def __init__(self, work: Callable[[Wish], Iterator[Result | None]]) -> None:
        self._work = work
        self._changed = Condition()
        self._wish: Wish | None = None
        self._result: Result | None = None
        self._error: Exception | None = None
        self._working = False
        self._closed = False
        self._thread = Thread(target=self._run, name="relulab explorer", daemon=True)
        self._thread.start()

    def ask(self, wish: Wish) -> None:
        """Ask for something that replaces all earlier requests."""
        with self._changed:
            self._wish = wish
            self._changed.notify_all()

    def take(self) -> Result | None:
        """Return the best result not yet taken; raise the work's exception, if there is one."""
        with self._changed:
            result, self._result = self._result, None
            error, self._error = self._error, None
        if error is not None:
            raise error
        return result

    @property
    def busy(self) -> bool:
        """Whether more results may come."""
        with self._changed:
            return self._busy

    def wait(self, seconds: float | None = None) -> None:
        """Wait until there is a result to take, or no more results can come."""
        with self._changed:
            self._changed.wait_for(lambda: self._news or not self._busy, seconds)

    def close(self) -> None:
        """End the thread, which may still finish a piece of work."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def _busy(self) -> bool:
        return not self._closed and (self._working or self._wish is not None)

    @property
    def _news(self) -> bool:
        return self._result is not None or self._error is not None

    def _run(self) -> None:
        while True:
            with self._changed:
                self._working = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._wish is not None or self._closed)
                if self._closed:
                    return
                wish, self._wish, self._working = self._wish, None, True
            assert wish is not None
            try:
                self._fulfil(wish)
            except Exception as error:  # raised again by ``take``
                with self._changed:
                    self._result, self._error = None, error

    def _fulfil(self, wish: Wish) -> None:
        has_result = False
        for result in self._work(wish):
            with self._changed:
                if result is not None:
                    self._result, has_result = result, True
                    self._changed.notify_all()
                if self._closed or (has_result and self._wish is not None):
                    return
