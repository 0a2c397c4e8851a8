"""Marks on stretches of work: they cost next to nothing until somebody listens."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Protocol


class Listener(Protocol):
    """Who wants to know when marked work begins and ends; what begins last ends first."""

    def begin(self, name: str) -> None: ...

    def end(self, name: str) -> None: ...


def span(name: str) -> AbstractContextManager[None]:
    """Mark the block as work of that name."""
    return _SILENCE if _listener is None else _Span(name, _listener)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within the block, `listener` hears of every span of this process."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


class _Silence:
    """One object for all spans that nobody hears of: entering it is all they cost."""

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
