"""Contents of a file, produced piece by piece, so that the whole never has to be in memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator

Piece = bytes | memoryview


class Pieces:
    """Contents of a file of known size. `make` is called for each reading."""

    def __init__(self, size: int, make: Callable[[], Iterable[Piece]]) -> None:
        self._size = size
        self._make = make

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Piece]:
        yield from self._make()

    def sha256(self) -> str:
        """Return the SHA-256 of the contents, in hexadecimal."""
        digest = hashlib.sha256()
        for piece in self:
            digest.update(piece)
        return digest.hexdigest()


def pieces(data: Piece | Pieces) -> Pieces:
    """Return `data` as `Pieces`; bytes are a single piece."""
    return data if isinstance(data, Pieces) else Pieces(len(data), lambda: [data])
