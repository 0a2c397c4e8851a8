"""Named spans of time for profilers, such as a forward pass; they cost next to nothing without a listener."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from kerascli.foundation.replaced import replaced


class Listener(Protocol):
    """Protocol of a receiver of spans (named periods of time), which is told the beginning and end of each; spans nest,
    the last to begin is the first to end."""

    def begin(self, name: str) -> None: ...

    def end(self, name: str) -> None: ...


def span(name: str) -> AbstractContextManager[None]:
    """Return a context manager that reports its block to the listener as a span (period of time) with this name."""
    return _SILENCE if _listener is None else _reported(name, _listener)


def listening(listener: Listener) -> AbstractContextManager[None]:
    """Return a context manager that reports every span (named period of time) in its block to `listener`."""
    return replaced(sys.modules[__name__], "_listener", listener)


@contextmanager
def _reported(name: str, listener: Listener) -> Iterator[None]:
    listener.begin(name)
    try:
        yield
    finally:
        listener.end(name)


_SILENCE = nullcontext()
"""Context manager that does nothing; one object serves all spans (named periods of time) while nobody listens."""
_listener: Listener | None = None
