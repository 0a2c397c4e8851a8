"""Named spans of time for profilers, such as a forward pass; they cost next to nothing without a listener."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Protocol


class Listener(Protocol):
    """Protocol of a receiver of spans (named periods of time), which is told the beginning and end of each; spans nest,
    the last to begin is the first to end."""

    def begin(self, name: str) -> None: ...

    def end(self, name: str) -> None: ...


def span(name: str) -> AbstractContextManager[None]:
    """Return a context manager that reports its block to the listener as a span (period of time) with this name."""
    return _SILENCE if _listener is None else _Span(name, _listener)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Context manager that reports every span (named period of time) of this process to `listener` within its block."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


class _Silence:
    """Context manager that does nothing; one object serves all spans (named periods of time) while nobody listens."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass


class _Span:
    __slots__ = ("_listener", "_name")

    def __init__(self, name: str, listener: Listener) -> None:
        self._name = name
        self._listener = listener

    def __enter__(self) -> None:
        self._listener.begin(self._name)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.end(self._name)


_SILENCE = _Silence()
_listener: Listener | None = None
