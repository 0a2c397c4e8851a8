"""Divide rows among splits or folds: at random from a seed, by time, or the last rows as Keras's `validation_split`."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from kerascli.foundation.errors import DataError, counted

SHORT = "leave its rows out of the file, or hold out a larger share"
"""Hint of an error about a series that is too short to be in every part of a split."""


def shuffled(count: int, seed: int) -> np.ndarray:
    """Return a random permutation of 0..count-1 that depends on the seed alone, in every version of numpy.

    It is the order of raw Philox words: numpy guarantees those, but not the algorithm of `Generator.permutation`.
    """
    return stable_order(np.random.Philox(key=seed).random_raw(count))


def stable_order(words: np.ndarray) -> np.ndarray:
    """Return the indices that sort uint64 words, of equal ones in their order: a stable argsort in a tenth of its time.

    The words are sorted with their indices in place of their low bits, and those that differ there alone once more.
    """
    low = np.uint64(2 ** len(words).bit_length() - 1)
    packed = words & ~low
    packed |= np.arange(len(words), dtype=np.uint64)
    packed.sort()
    alike = np.flatnonzero(packed[1:] ^ packed[:-1] <= low)
    packed &= low
    order = packed.view(np.int64)
    places = np.union1d(alike, alike + 1)
    order[places] = order[places][np.argsort(words[order[places]], kind="stable")]
    return order


def random_split(classes: np.ndarray, parts: Mapping[str, float], seed: int) -> dict[str, np.ndarray]:
    """Return a mapping from `train` and each of `parts` to row indices, drawn at random, ascending.

    Every class (integers from 0 on, one a row) is split separately; its fraction of a part is exact to a row.
    """
    groups = np.split(np.argsort(classes, kind="stable"), np.cumsum(np.bincount(classes))[:-1])
    totals = _counts([len(group) for group in groups], parts)
    part_of = np.empty(len(classes), np.min_scalar_type(len(parts)))
    for number, group in enumerate(groups):
        part_of[group] = _drawn(len(group), seed + number, [totals[name][number] for name in parts])
    return _rows_of(part_of, parts)


def _rows_of(part_of: np.ndarray, parts: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the indices of the rows of `train`, whose number is the last, and of each part, by the part of a row."""
    indices = {name: np.flatnonzero(part_of == index) for index, name in enumerate((*parts, "train"))}
    return {"train": indices.pop("train"), **indices}


def _drawn(count: int, seed: int, sizes: list[int]) -> np.ndarray:
    """Return the part of each of `count` rows: the first `sizes[0]` rows in the order of `shuffled` are in part 0, the
    next `sizes[1]` in part 1, and so on; the others are in part `len(sizes)`."""
    bounds = np.cumsum(sizes, dtype=np.int64)
    words = np.random.Philox(key=seed).random_raw(count)
    inner = bounds[bounds < count]
    part_of = np.searchsorted(np.partition(words, inner)[inner], words, side="right")
    if np.array_equal(np.bincount(part_of, minlength=len(sizes) + 1)[:-1], sizes):
        return part_of
    part_of[shuffled(count, seed)] = np.searchsorted(bounds, np.arange(count), side="right")  # equal words at a bound
    return part_of


def grouped_split(
    groups: np.ndarray, classes: np.ndarray, parts: Mapping[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Return a mapping from `train` and each of `parts` to its row indices, ascending; no group of rows is divided.

    `groups` and `classes` are integers from 0 on, one a row. A group counts as of the class that most of its rows have;
    the groups of each class are drawn in turn until the class has its share of a part, to half a group.
    """
    sizes = np.bincount(groups)
    counts = np.zeros((len(sizes), int(classes.max()) + 1), np.int64)
    np.add.at(counts, (groups, classes), 1)
    majority = counts.argmax(1)
    bounds = np.cumsum(list(parts.values()))
    chosen = np.empty(len(sizes), np.int64)
    for number in np.unique(majority).tolist():
        members = np.flatnonzero(majority == number)
        members = members[shuffled(len(members), seed + number)]
        middle = np.cumsum(sizes[members]) - sizes[members] / 2
        chosen[members] = np.searchsorted(bounds, middle / sizes[members].sum(), side="right")
    return _rows_of(chosen[groups], parts)


def ordered_split(times: np.ndarray, parts: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Return a mapping from `train` (the earliest rows) and each of the later `parts` to its row indices, ascending.

    Later parts have later rows. Rows of equal time are in one part, the later of the two.
    """
    ordered = np.sort(times)
    shares = np.cumsum([1 - sum(parts.values()), *parts.values()])[:-1]
    cuts = [ordered[min(math.floor(len(times) * share + 1e-9), len(times) - 1)] for share in shares]
    number = np.searchsorted(np.array(cuts), times, side="right")
    return {name: np.flatnonzero(number == index) for index, name in enumerate(["train", *parts])}


def stratified_folds(classes: np.ndarray, folds: int) -> np.ndarray:
    """Return the fold (from 0) of each row; each class (integers from 0 on, one a row) is spread evenly over the folds.

    This is scikit-learn's StratifiedKFold, and its KFold for rows of one class; it is applied to shuffled rows.
    """
    _, first, numbers = np.unique(classes, return_index=True, return_inverse=True)
    firsts = first[numbers]  # the classes are in the order of their first rows
    order, turns = np.argsort(firsts, kind="stable"), np.arange(len(classes)) % folds
    fold_of = np.empty_like(turns)
    fold_of[order] = turns[np.lexsort((turns, firsts[order]))]
    return fold_of


def grouped_folds(groups: np.ndarray, folds: int) -> np.ndarray:
    """Return the fold (from 0) of each row; no group (integers from 0 on, one a row) is divided.

    This is scikit-learn's GroupKFold: the largest group that is left goes to the smallest fold.
    """
    sizes, totals = np.bincount(groups), np.zeros(folds, np.int64)
    fold_of = np.empty(len(sizes), np.int64)
    for group in np.argsort(sizes, kind="stable")[::-1]:
        fold_of[group] = totals.argmin()
        totals[fold_of[group]] += sizes[group]
    return fold_of[groups]


def ordered_folds(times: np.ndarray, folds: int) -> np.ndarray:
    """Return the fold (from 1, later ones have later rows) of each row; 0 for the earliest rows, which are in none.

    This is scikit-learn's TimeSeriesSplit. Rows of equal time are in one fold, the later of the two.
    """
    starts = len(times) - len(times) // (folds + 1) * np.arange(folds, 0, -1)
    return np.searchsorted(np.sort(times)[np.minimum(starts, len(times) - 1)], times, side="right")


def _counts(sizes: list[int], parts: Mapping[str, float]) -> dict[str, list[int]]:
    """Return, for each part of a split, its numbers of rows of each group: integers that add up to the part's size."""
    left, counts_of = np.array(sizes), dict[str, list[int]]()
    for name, share in parts.items():
        exact = np.array([size * share for size in sizes])
        counts = np.minimum(np.floor(exact + 1e-9).astype(np.int64), left)
        missing = round(sum(exact.tolist()) + 1e-9) - int(counts.sum())
        by_remainder = np.argsort(counts - exact, kind="stable")
        counts[by_remainder[(counts < left)[by_remainder]][: max(0, missing)]] += 1
        left, counts_of[name] = left - counts, counts.tolist()
    return counts_of


def tail_start(rows: int, validation_split: float, of: str = "") -> int:
    """Return the index of the first validation row; validation rows are the last, as in Keras's `validation_split`.

    `of` says in messages which rows they are: " of series 'a'". Raises DataError.
    """
    start = math.floor(rows * (1.0 - validation_split))
    if start == 0 or start == rows:
        part = "training" if start == 0 else "validation"
        text = f"validation_split {validation_split:g} of {counted(rows, 'row')}{of} leaves 0 rows for {part}"
        raise DataError(text, path=("fit", "validation_split"), hint=SHORT if of else None)
    return start
