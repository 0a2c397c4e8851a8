"""Content of a file that is made piece by piece: there is never all of it in memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator

Piece = bytes | memoryview


class Pieces:
    """`make` is called each time that it is gone through."""

    def __init__(self, size: int, make: Callable[[], Iterable[Piece]]) -> None:
        self._size = size
        self._make = make

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Piece]:
        yield from self._make()

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for piece in self:
            digest.update(piece)
        return digest.hexdigest()


def pieces(data: Piece | Pieces) -> Pieces:
    """What is whole is one piece."""
    return data if isinstance(data, Pieces) else Pieces(len(data), lambda: [data])
