"""Model of the memory that malloc takes from the system for tensors, if it keeps that of freed ones."""

from bisect import bisect_left, insort

SMALLEST_BYTES = 2**12
"""Size from which tensors are counted; smaller objects lie between the others' memory, and keep it apart."""
_ALIGNMENT_BYTES = 96
"""Bytes that malloc needs beside an aligned tensor's own: a freed tensor's memory is too small for an equal one."""


class Heap:
    """Counts the bytes of a heap whose free pieces are neither joined nor divided: small objects lie between them.

    A tensor gets the smallest free piece that is large enough, or new memory at the end.
    """

    def __init__(self) -> None:
        self.size = 0
        self._free: list[int] = []

    def take(self, size: int) -> int:
        """Find memory for a tensor of `size` bytes; return the size of its piece, which is given back later."""
        if size < SMALLEST_BYTES:
            return 0
        needed = size + _ALIGNMENT_BYTES
        at = bisect_left(self._free, needed)
        if at < len(self._free):
            return self._free.pop(at)
        self.size += needed
        return needed

    def give_back(self, piece: int) -> None:
        """Keep a piece that `take` returned for later tensors."""
        if piece:
            insort(self._free, piece)
