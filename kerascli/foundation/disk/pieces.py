"""Contents of a file as a stream of pieces, so that all of it never has to be in memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from queue import Queue
from threading import Thread
from types import TracebackType

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


class Hasher:
    """Context manager that computes the SHA-256 of a file while the file is written.

    Large files are hashed in a parallel thread, since hashing takes as long as writing.
    """

    def __init__(self, size: int) -> None:
        self._digest = hashlib.sha256()
        self._slices: Queue[memoryview | None] = Queue(_WAITING_SLICES)
        self._thread = Thread(target=self._work, daemon=True) if size > _SLICE_BYTES else None

    def __enter__(self) -> "Hasher":
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._thread is not None:
            self._slices.put(None)
            self._thread.join()

    def update(self, data: memoryview) -> None:
        """Add a slice of data to the hash; the slice must not be changed before the `with` block ends."""
        if self._thread is None:
            self._digest.update(data)
        else:
            self._slices.put(data)

    def hexdigest(self) -> str:
        """Return the SHA-256 of all slices; to be called after the `with` block."""
        return self._digest.hexdigest()

    def _work(self) -> None:
        while (data := self._slices.get()) is not None:
            self._digest.update(data)
