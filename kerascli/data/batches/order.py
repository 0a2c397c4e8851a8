"""The order of a shuffled epoch: every row once, from (seed, epoch) alone, in little memory for many rows, too."""

import numpy as np

from kerascli.data.split import shuffled
from kerascli.draws import key_seed

MANY_ROWS = 2**22
"""Beyond them, rows are not listed (20 bytes each while they are sorted): each is computed when it is due."""

_ROUNDS = 8
_MIX = np.array([0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53], np.uint64)
"""Of MurmurHash3's finalizer."""


class Order:
    """The rows in the order of their use; the same in every process and after a resume."""

    def __init__(self, rows: int, seed: int, epoch: int) -> None:
        self.rows = rows
        key = key_seed(f"{seed}/shuffle/{epoch}")
        self._listed = shuffled(rows, key) if rows <= MANY_ROWS else None
        self._keys = np.random.Philox(key=key).random_raw(_ROUNDS)

    def __getitem__(self, places: slice) -> np.ndarray:
        """The numbers (int64) of the rows that are used at these places."""
        if self._listed is not None:
            return self._listed[places]
        found = _mixed(np.arange(*places.indices(self.rows), dtype=np.uint64), self._keys, self.rows)
        while len(outside := np.flatnonzero(found >= self.rows)):
            found[outside] = _mixed(found[outside], self._keys, self.rows)
        return found.astype(np.int64)


def _mixed(numbers: np.ndarray, keys: np.ndarray, rows: int) -> np.ndarray:
    """A permutation of the numbers below the next power of two after `rows`: a Feistel network.

    Whoever leaves the rows goes through it until he is back among them, which makes it one of the rows alone (Black
    and Rogaway, "Ciphers with arbitrary finite domains", 2002).
    """
    bits = (rows - 1).bit_length()
    low_bits, high_bits = bits // 2, bits - bits // 2
    high, low = numbers >> np.uint64(low_bits), numbers & np.uint64(2**low_bits - 1)
    for key in keys:
        hashed = (low ^ key) * _MIX[0]
        hashed = (hashed ^ (hashed >> np.uint64(33))) * _MIX[1]
        high, low = low, high ^ (hashed >> np.uint64(64 - high_bits))
        low_bits, high_bits = high_bits, low_bits
    return high << np.uint64(low_bits) | low
