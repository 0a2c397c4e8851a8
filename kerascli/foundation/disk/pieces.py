"""Contents of a file as a stream of pieces, so that all of it never has to be in memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Queue
from threading import Thread

Piece = bytes | memoryview

_SLICE_BYTES = 2 * 1024**2
_WAITING_SLICES = 16
"""Maximum number of slices written but not yet hashed, so that memory of tensors copied from a GPU is soon released."""


class Pieces:
    """Contents of a file of known size, as a stream of pieces; each iteration calls `make` for a new stream."""

    def __init__(self, size: int, make: Callable[[], Iterable[Piece]]) -> None:
        self._size = size
        self._make = make

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Piece]:
        yield from self._make()

    def sha256(self) -> str:
        """Return the SHA-256 of the file's contents (all pieces joined), in hexadecimal."""
        digest = hashlib.sha256()
        for piece in self:
            digest.update(piece)
        return digest.hexdigest()


def pieces(data: Piece | Pieces) -> Pieces:
    """Return file contents as `Pieces` (a stream of pieces); bytes become a single piece."""
    return data if isinstance(data, Pieces) else Pieces(len(data), lambda: [data])


def slices(data: Pieces) -> Iterator[memoryview]:
    """Yield file contents in slices of 2 MiB at most."""
    for piece in data:
        view = memoryview(piece).cast("B")
        for start in range(0, len(view), _SLICE_BYTES):
            yield view[start : start + _SLICE_BYTES]


@contextmanager
def hashing(size: int) -> Iterator[tuple["hashlib._Hash", Callable[[memoryview], None]]]:
    """Context manager with the SHA-256 of a file that is written in its block, complete after it, and a function that
    adds a slice of data, which must not be changed before.

    Large files are hashed in a parallel thread, since hashing takes as long as writing.
    """
    digest = hashlib.sha256()
    if size <= _SLICE_BYTES:
        yield digest, digest.update
        return
    waiting: Queue[memoryview | None] = Queue(_WAITING_SLICES)

    def hash_slices() -> None:
        while (data := waiting.get()) is not None:
            digest.update(data)

    thread = Thread(target=hash_slices, daemon=True)
    thread.start()
    try:
        yield digest, waiting.put
    finally:
        waiting.put(None)
        thread.join()
