"""Requests to the store of a training's processes that end in time, even if the process that keeps it is stopped."""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch.distributed import Store  # pyright: ignore[reportPrivateImportUsage]

T = TypeVar("T")


class TimedStore:
    """Store of keys that all processes see; a request raises RuntimeError if the store is gone or does not answer.

    torch's client waits for ever for a process that is stopped, so that each request is made by a thread.
    """

    def __init__(self, store: "Store", timeout: float) -> None:
        """`timeout` is the time in seconds for the answer to a request; after a late one, all others are refused."""
        self.timeout = timeout
        self._store = store
        self._is_late = False

    def set(self, key: str, value: str) -> None:
        self._answer(lambda: self._store.set(key, value))

    def get(self, key: str) -> bytes:
        return self._answer(lambda: self._store.get(key))

    def has(self, keys: Sequence[str]) -> bool:
        """Return True if the store has all of the keys."""
        return self._answer(lambda: self._store.check(list(keys)))

    def set_first(self, key: str, value: str) -> bool:
        """Set a key that is not set yet; return True if it has the value then."""
        return self._answer(lambda: self._store.compare_set(key, "", value)) == value.encode()

    def remove(self, key: str) -> None:
        """Remove a key; a missing one is ignored."""
        self._answer(lambda: self._store.delete_key(key))

    def _answer(self, request: Callable[[], T]) -> T:
        if self._is_late:
            raise RuntimeError("the store does not answer")
        try:
            return in_thread(request, self.timeout)
        except TimeoutError:
            self._is_late = True
            raise RuntimeError("the store does not answer") from None


def in_thread(work: Callable[[], T], timeout: float | None = None) -> T:
    """Return or raise what `work` does in a thread; signals are handled meanwhile, as in Python code.

    Raises TimeoutError after `timeout` seconds; the thread, which nothing can end, then does not keep the process.
    """
    answers: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(work())
        except Exception as error:  # raised again in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError
    return answers[0]
