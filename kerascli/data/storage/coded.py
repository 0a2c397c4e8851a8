"""Columns of text as codes: the distinct texts, and for each row the index of its text among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Coded:
    """Distinct texts of a column in order of their first appearance, and the index of each row's text among them."""

    words: np.ndarray
    """Distinct texts of the column, an object array of `str`."""
    codes: np.ndarray
    """Index of each row's text among the distinct ones (`words`), (rows,)."""

    @classmethod
    def of(cls, fields: Sequence[str]) -> Self:
        """Return a column's texts as codes: the distinct texts, and the index of each row's text among them."""
        numbers: dict[str, int] = {}
        codes = np.fromiter((numbers.setdefault(field, len(numbers)) for field in fields), np.int32, len(fields))
        return cls(as_objects(list(numbers)), codes)

    def rows(self) -> np.ndarray:
        """Return the text of each row, as an object array; rows of equal text share one object."""
        return self.words[self.codes]

    def firsts(self) -> np.ndarray:
        """Return, for each distinct text, the index of the first row that has it."""
        first = np.empty(len(self.words), np.int64)
        first[self.codes[::-1]] = np.arange(len(self.codes))[::-1]  # of equal indices the last assignment stays
        return first

    def counts(self) -> np.ndarray:
        """Return the number of rows of each distinct text."""
        return np.bincount(self.codes, minlength=len(self.words))

    def take(self, rows: slice | np.ndarray) -> "Coded":
        """Return the codes of the selected rows, with only their own distinct texts, in order of first appearance."""
        codes = self.codes[rows]
        first = np.full(len(self.words), len(codes), np.int64)
        first[codes[::-1]] = np.arange(len(codes))[::-1]
        order = np.argsort(first, kind="stable")
        order = order[: int((first < len(codes)).sum())]
        place = np.empty(len(self.words), np.int32)
        place[order] = np.arange(len(order))
        return Coded(self.words[order], place[codes])


def as_objects(texts: Sequence[str]) -> np.ndarray:
    """Return texts as a column: an object array of `str`."""
    out = np.empty(len(texts), object)
    out[:] = texts
    return out
