"""Permutation of the rows in a shuffled epoch, from (seed, epoch) alone, in constant memory for many rows."""

import numpy as np

from kerascli.data.split import shuffled
from kerascli.foundation.draws import key_seed

MANY_ROWS = 2**22
"""Number of rows above which an epoch's permutation is computed on demand, not stored (a sort takes 25 bytes a row)."""

_ROUNDS = 8
_MIX = np.array([0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53], np.uint64)
"""Multipliers of MurmurHash3's finalizer."""


class Order:
    """Permutation of the row indices of an epoch, the same in every process and after a run is resumed."""

    def __init__(self, rows: int, seed: int, epoch: int) -> None:
        self.rows = rows
        key = key_seed(f"{seed}/shuffle/{epoch}")
        self._listed = shuffled(rows, key) if rows <= MANY_ROWS else None
        self._keys = np.random.Philox(key=key).random_raw(_ROUNDS)

    def __getitem__(self, places: slice) -> np.ndarray:
        """Return the row indices (int64) at the given positions of the permutation."""
        if self._listed is not None:
            return self._listed[places]
        indices = _mixed(np.arange(*places.indices(self.rows), dtype=np.uint64), self._keys, self.rows)
        while len(outside := np.flatnonzero(indices >= self.rows)):
            indices[outside] = _mixed(indices[outside], self._keys, self.rows)
        return indices.astype(np.int64)


def _mixed(numbers: np.ndarray, keys: np.ndarray, rows: int) -> np.ndarray:
    """Permute the integers below the next power of two after `rows`, by a Feistel network.

    Reapplying it to results of `rows` or more until they are smaller (cycle walking) gives a permutation of the rows:
    Black and Rogaway, "Ciphers with arbitrary finite domains", 2002.
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
