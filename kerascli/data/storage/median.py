"""Exact medians of more rows than fit in memory, by radix selection in a few passes."""

from collections.abc import Iterable

import numpy as np

_DIGIT = 11
"""Bits of a median found per pass over the data: fewer need more passes, more need more memory (32 KiB a feature)."""
_SHIFTS = range(55, -1, -_DIGIT)


def medians(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Compute the median (F,) of each feature over blocks (N, F), which are iterated several times.

    nan values are ignored; a feature without any other value has the median nan.
    """
    present, dtype = 0, np.dtype(np.float64)
    for block in blocks:
        present = present + (~np.isnan(block)).sum(0)
        dtype = block.dtype if block.dtype.kind == "f" else dtype
    ranks = np.array([(np.maximum(present, 1) - 1) // 2, present // 2])
    middle = np.mean(_select(blocks, ranks).astype(dtype), axis=0)  # in the dtype of the values, as numpy.median
    return np.where(present, middle, np.nan)


def _select(blocks: Iterable[np.ndarray], ranks: np.ndarray) -> np.ndarray:
    """Select each feature's values with the given ranks (K, F) by radix selection.

    The values' keys have the same order as unsigned integers. Each pass counts the next digits of the keys that share
    the digits determined so far.
    """
    left = ranks.copy()
    known = np.zeros(ranks.shape, np.uint64)
    for shift in _SHIFTS:
        counts = np.zeros((*ranks.shape, 2**_DIGIT), np.int64)
        for block in blocks:
            keys = _keys(block) >> np.uint64(shift)
            begins, digits = keys >> np.uint64(_DIGIT), (keys & np.uint64(2**_DIGIT - 1)).astype(np.int64)
            for number, wanted in enumerate(known):
                rows, columns = np.nonzero((begins == wanted) & ~np.isnan(block))
                found = np.bincount(columns * 2**_DIGIT + digits[rows, columns], minlength=counts[number].size)
                counts[number] += found.reshape(counts[number].shape)
        upto = counts.cumsum(-1)
        digit = (upto <= left[..., None]).sum(-1).clip(max=2**_DIGIT - 1)
        left -= np.take_along_axis(upto - counts, digit[..., None], -1)[..., 0]
        known = known << np.uint64(_DIGIT) | digit.astype(np.uint64)
    return _values(known)


_SIGN = np.uint64(2**63)


def _keys(values: np.ndarray) -> np.ndarray:
    """Map float64 values to uint64 keys that sort in the same order."""
    bits = values.astype(np.float64).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _values(keys: np.ndarray) -> np.ndarray:
    return np.where(keys & _SIGN, keys ^ _SIGN, ~keys).view(np.float64)
