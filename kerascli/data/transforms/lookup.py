"""What the lookups share: a vocabulary, and values as numbers of it, as Keras's IndexLookup."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np

from kerascli.data.base import Field, Learned, Transform
from kerascli.data.blocks import Blocks, counted
from kerascli.data.table import BadRow
from kerascli.shapes import NonNegativeInt, PositiveInt


class Lookup(Transform):
    """Indices are: the mask token (if there is one, in mode int), places for unknown values, the vocabulary.

    A learned vocabulary is in order of frequency, ties in falling order of the values, as in Keras. In targets
    it is sorted, there are no places for unknown values, and an unknown one is an error with its row.
    """

    needs_rows = True
    word: ClassVar[str]
    """What one entry is called in messages."""

    max_tokens: PositiveInt | None = None
    """The size of the whole, places for unknown values included."""
    num_oov_indices: NonNegativeInt | None = None
    """Places for unknown values; null: one in inputs, none in targets."""
    output_mode: Literal["int", "one_hot", "multi_hot", "count"] = "int"

    @abstractmethod
    def given(self) -> Sequence[Any] | None:
        """The vocabulary of the config."""

    @abstractmethod
    def mask(self) -> Any:
        """The mask token, or None."""

    @abstractmethod
    def check_field(self, field: Field) -> None:
        """Raises ValueError for columns of the wrong kind."""

    @abstractmethod
    def oov_offsets(self, unknown: np.ndarray, places: int) -> np.ndarray:
        """Which of several places each unknown value gets."""

    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        self.check_field(field)
        vocabulary = self._vocabulary(learned)
        size = None if vocabulary is None else len(vocabulary) + self._first(target)
        classes = tuple(map(str, vocabulary)) if target and vocabulary is not None else None
        known = replace(field, vocabulary_size=size, classes=classes, num_classes=size if target else None)
        match self.output_mode:
            case "int":
                return replace(known, dtype="int64")
            case "one_hot":
                leading = field.shape[:-1] if field.shape and field.shape[-1] == 1 else field.shape
                return replace(known, shape=(*leading, size), dtype="uint8")
            case "multi_hot":
                return replace(known, shape=(*field.shape[:-1], size), dtype="uint8")
            case "count":
                return replace(known, shape=(*field.shape[:-1], size), dtype="float32")

    def learn(self, rows: Blocks, field: Field, *, target: bool) -> Learned:
        if self.given() is not None:
            return Learned({"vocabulary": list(self.given() or ())}, {})
        found, counts = counted(block[self._present(block)] for block in rows)
        order = np.arange(len(found)) if target else np.lexsort((np.arange(len(found)), counts))[::-1]
        if self.max_tokens is not None:
            order = order[: max(0, self.max_tokens - self._first(target))]
        if not len(order):
            raise ValueError(f"there is no {self.word} to learn")
        if target and len(order) == 1:
            raise ValueError(f"there is one class, '{found[0]}'; nothing to learn")
        return Learned({"vocabulary": found[order].tolist()}, {})

    def check(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> None:
        if values.dtype == object and self.mask() != "" and (missing := np.asarray(values == "", bool)).any():
            hint = None if target else "add impute, or mask_token: '' to keep a place for missing values"
            raise BadRow(_row(missing), "no label" if target else "missing value", hint=hint)

    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        vocabulary = self._vocabulary(learned)
        assert vocabulary is not None
        indices = self._indices(values, vocabulary, learned, target)
        return self._encode(indices, len(vocabulary) + self._first(target))

    def _table(self, vocabulary: Sequence[Any], target: bool) -> dict[Any, int]:
        first = self._first(target)
        table = {value: index for index, value in enumerate(vocabulary, first)}
        if self.mask() is not None:
            table[self.mask()] = 0 if self._masks_index() else first + len(vocabulary)  # beyond all: dropped
        return table

    def _indices(self, values: np.ndarray, vocabulary: Sequence[Any], learned: Learned, target: bool) -> np.ndarray:
        if "table" not in learned.memo:
            learned.memo["table"] = self._table(vocabulary, target)
        table = learned.memo["table"]
        found, inverse = np.unique(values, return_inverse=True)
        numbers = np.array([table.get(value, -1) for value in found.tolist()], np.int64)
        unknown = numbers < 0
        if unknown.any():
            places = self._places(target)
            if not places:
                self._refuse(values, unknown[inverse.reshape(values.shape)], vocabulary, target)
            numbers[unknown] = self._masks_index() + self.oov_offsets(found[unknown], places)
        return numbers[inverse].reshape(values.shape)

    def _refuse(self, values: np.ndarray, unknown: np.ndarray, vocabulary: Sequence[Any], target: bool) -> None:
        row = _row(unknown)
        value = values[unknown][0]
        names = ", ".join(map(str, vocabulary[:10])) + (", ..." if len(vocabulary) > 10 else "")
        what = f"the {len(vocabulary)} classes of the training data" if target else f"the {len(vocabulary)} known ones"
        raise BadRow(row, f"{'class' if target else self.word} '{value}' is not among {what} ({names})")

    def _encode(self, indices: np.ndarray, size: int) -> np.ndarray:
        if self.output_mode == "int":
            return indices
        if self.output_mode == "one_hot":
            indices = indices[..., 0] if indices.ndim > 1 and indices.shape[-1] == 1 else indices
            return (indices[..., None] == np.arange(size)).astype(np.uint8)
        spread = indices[:, None] if indices.ndim == 1 else indices
        if self.output_mode == "multi_hot":
            out = np.zeros((*spread.shape[:-1], size + 1), np.uint8)
            np.put_along_axis(out, spread, 1, axis=-1)
            return out[..., :size]
        return np.stack([(spread == index).sum(-1, dtype=np.float32) for index in range(size)], axis=-1)

    def _vocabulary(self, learned: Learned | None) -> Sequence[Any] | None:
        given = self.given()
        return given if given is not None or learned is None else learned.facts["vocabulary"]

    def _places(self, target: bool) -> int:
        if self.num_oov_indices is None:
            return 0 if target else 1
        return self.num_oov_indices

    def _first(self, target: bool) -> int:
        """The index of the vocabulary's first entry."""
        return self._places(target) + self._masks_index()

    def _masks_index(self) -> int:
        """1 where the mask token has an index of its own; in the other modes a masked value is dropped, as in Keras."""
        return int(self.mask() is not None and self.output_mode == "int")

    def _present(self, values: np.ndarray) -> np.ndarray:
        return np.ones(values.shape, bool) if self.mask() is None else np.asarray(values != self.mask(), bool)


def _row(bad: np.ndarray) -> int:
    return int(bad.reshape(len(bad), -1).any(axis=1).argmax())
