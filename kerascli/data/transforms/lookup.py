"""Base class of the lookups: map values to indices of a vocabulary, as Keras's IndexLookup."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kerascli.data.base import Field, FittedState, Transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.table import BadRow, first_wrong
from kerascli.data.storage.tokens import TokenCounts, Tokens
from kerascli.data.text.files import read_vocabulary
from kerascli.data.text.oov import count_lookups
from kerascli.data.transforms.input_checks import need_integers
from kerascli.preprocessing.categories import encode, encoded_shape, tally
from kerascli.preprocessing.lookup import LookupSettings, check_vocabulary

_DROPPED, _UNKNOWN = -1, -2


class Lookup(LookupSettings, Transform):
    """Base class of the transforms `string_lookup` and `integer_lookup`, which map values to vocabulary indices.

    Indices are, in this order: the mask token (if set, in mode int), out-of-vocabulary (OOV) indices, the vocabulary.
    A learned vocabulary is in order of frequency, ties in descending order of the values, as in Keras. In targets it is
    sorted, there are no OOV indices by default, and an OOV value is an error that names its row.
    """

    needs_rows = True
    paths = ("vocabulary",)
    entry_noun: ClassVar[str]
    """Noun for a vocabulary entry in error messages (`string`, `integer`)."""
    entry_dtype: ClassVar[str]
    """The dtype of vocabulary entries ("string", "int64"), which is also the output's dtype with `invert`."""
    oov_output: ClassVar[Any]
    """Output of an inverted lookup for OOV indices if `oov_token` is None."""

    @abstractmethod
    def check_field(self, field: Field) -> None:
        """Raise ValueError if the lookup does not accept the dtype of its input."""

    @abstractmethod
    def parse_entry(self, line: str) -> Any:
        """Parse one line of a vocabulary file to an entry. Raises ValueError."""

    @abstractmethod
    def oov_offsets(self, unknown: np.ndarray, places: int) -> np.ndarray:
        """Return, for each out-of-vocabulary value, which of the `places` OOV indices it gets, counted from 0."""

    positive: Any = None

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        if self.positive is not None and not target:
            raise ValueError("positive: goes with the lookup of a target")
        if self.invert:
            need_integers(field)
            return replace(field, dtype=self.entry_dtype, num_classes=None, classes=None)
        self.check_field(field)
        if self.output_mode == "tf_idf" and len(field.shape) > 1:
            raise ValueError(f"tf_idf needs rows with one axis, got shape {field.shape}")
        vocabulary = self._vocabulary(learned)
        size = None if vocabulary is None else len(vocabulary) + self.first(target=target)
        classes = tuple(map(str, vocabulary)) if target and vocabulary is not None else None
        words = None if vocabulary is None else ("",) * self.first(target=target) + tuple(map(str, vocabulary))
        known = replace(field, vocabulary_size=size, classes=classes, num_classes=size if target else None, words=words)
        dtype = {"int": "int64", "one_hot": "uint8", "multi_hot": "uint8"}.get(self.output_mode, "float32")
        width = self.max_tokens if self.pad_to_max_tokens else size
        return replace(known, shape=encoded_shape(field.shape, self.output_mode, width), dtype=dtype)

    def learn(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        return self.learn_tokens(((Tokens.of(block), times) for block, times in rows.counted()), target=target)

    def learn_tokens(self, parts: Iterable[tuple[Tokens, np.ndarray | None]], *, target: bool) -> FittedState:
        """Learn the vocabulary from `parts` of a column: pairs of rows' tokens and each row's frequency (None: 1).

        Raises ValueError, DataError.
        """
        if self.vocabulary is not None:
            return self._given(target)
        counts = TokenCounts.of(parts, documents=self.output_mode == "tf_idf")
        for special in (self.mask_token, *([self.oov_token] if self.places(target=target) else [])):
            counts.occurrences.pop(special, None)
        vocabulary = self._classes(counts.occurrences) if target else counts.by_frequency()
        if self.max_tokens is not None:
            vocabulary = vocabulary[: max(0, self.max_tokens - self.first(target=target))]
        facts: dict[str, Any] = {"vocabulary": vocabulary}
        if len(vocabulary) < len(counts.occurrences):
            facts["oov_share"] = float(
                1 - sum(map(counts.occurrences.__getitem__, vocabulary)) / counts.occurrences.total()
            )
        if not vocabulary:
            raise ValueError(f"the vocabulary is empty: there is no {self.entry_noun} to learn")
        if target and len(vocabulary) == 1:
            raise ValueError(f"expected at least two classes, got only '{vocabulary[0]}'")
        arrays = {"idf_weights": self._weights(counts.idf(vocabulary), target)} if self.output_mode == "tf_idf" else {}
        return FittedState(facts, arrays)

    def _classes(self, counts: Iterable[Any]) -> list[Any]:
        """Return the classes of a target in sorted order; if `positive` names one of two classes, it comes last.
        Raises ValueError."""
        classes = sorted(counts)
        if self.positive is None:
            return classes
        if self.positive not in classes:
            names = ", ".join(f"'{each}'" for each in classes[:10])
            raise ValueError(f"positive: there is no class '{self.positive}'; there are {names}")
        if len(classes) != 2:
            raise ValueError(f"positive: goes with two classes, got {len(classes)}")
        return [*(each for each in classes if each != self.positive), self.positive]

    def _given(self, target: bool) -> FittedState:
        if self.positive is not None:
            raise ValueError("positive: the order of the vocabulary says which class is the positive one, the last")
        written = self.vocabulary
        if isinstance(written, str):
            written = read_vocabulary(Path(written), self.parse_entry)
        entries = self.entries(written)
        check_vocabulary(entries, self.mask_token, self.oov_token if self.invert else None)
        size = len(entries) + self.first(target=target)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(f"vocabulary: with {size - len(entries)} special tokens it has {size} entries, "
                             f"max_tokens is {self.max_tokens}")  # fmt: skip
        if self.idf_weights is not None and len(self.idf_weights) != len(written):
            raise ValueError(f"idf_weights: expected {len(written)}, one per entry, got {len(self.idf_weights)}")
        facts = {"vocabulary": list(entries)}
        if self.idf_weights is None:
            return FittedState(facts, {})
        weights = np.array(self.idf_weights, np.float32)
        return FittedState(facts, {"idf_weights": weights if len(weights) == size else self._weights(weights, target)})

    def _weights(self, weights: np.ndarray, target: bool) -> np.ndarray:
        """Return the IDF weights of all indices: for mask and OOV indices the mean weight, then the vocabulary's."""
        return np.pad(weights, (self.first(target=target), 0), constant_values=weights.mean())

    def check(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> None:
        if values.dtype == object and self.mask_token != "" and (missing := np.asarray(values == "", bool)).any():
            hint = None if target else "add {impute: most_frequent} before it, or mask_token: '' gives it an index"
            row, at = first_wrong(missing)
            raise BadRow(row, "missing label" if target else "missing value", at=at, hint=hint)

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        if self.invert:
            dtype = np.int64 if self.entry_dtype == "int64" else object
            table = np.array(self.inverted_entries(learned.facts["vocabulary"], self.oov_output), dtype)
            return table[np.where((values >= 0) & (values < len(table) - 1), values, -1)]
        indices = self.numbers(values, learned, target=target)
        if self.output_mode == "tf_idf":
            return self.vectors(Tokens.of(indices), learned, target=target)
        return encode(indices, self.output_mode, self.width(learned, target=target))

    def numbers(
        self, values: np.ndarray, learned: FittedState, *, target: bool, lengths: np.ndarray | None = None
    ) -> np.ndarray:
        """Return each value's vocabulary index; masked values are -1 unless output_mode is int. Raises BadRow.

        With `lengths`, the values are the concatenated tokens of texts, of so many tokens each.
        """
        vocabulary = learned.facts["vocabulary"]
        if "table" not in learned.memo:
            learned.memo["table"] = _IndexTable(self._table(vocabulary, target))
        flat = values.reshape(-1)
        indices = learned.memo["table"].indices(flat)
        unknown = indices == _UNKNOWN
        masked = (indices == _DROPPED) | ((indices == 0) & bool(self.masks()))
        shape, entries, in_training = values.shape, len(vocabulary), learned.facts.get("oov_share", 0.0)
        count_lookups(masked.reshape(shape), unknown.reshape(shape), lengths, entries=entries, in_training=in_training)
        if unknown.any():
            places = self.places(target=target)
            if not places:
                self._refuse(values, unknown.reshape(values.shape), vocabulary, target)
            offsets = self.oov_offsets(flat[unknown], places) if places > 1 else 0
            indices[unknown] = self.masks() + offsets
        return indices.reshape(values.shape)

    def vectors(self, tokens: Tokens, learned: FittedState, *, target: bool) -> np.ndarray:
        """Encode rows of vocabulary indices as one vector each; mode tf_idf multiplies counts by the IDF weights."""
        width = self.width(learned, target=target)
        counts = tally(tokens.values, tokens.owners(), len(tokens.lengths), self.output_mode, width)
        if self.output_mode != "tf_idf":
            return counts
        weights = learned.arrays["idf_weights"]
        return counts * np.pad(weights, (0, width - len(weights)))

    def width(self, learned: FittedState, *, target: bool) -> int:
        """Return the length of the vectors that encode rows."""
        if self.pad_to_max_tokens and self.max_tokens is not None:
            return self.max_tokens
        return len(learned.facts["vocabulary"]) + self.first(target=target)

    def _table(self, vocabulary: Sequence[Any], target: bool) -> dict[Any, int]:
        table = {value: index for index, value in enumerate(vocabulary, self.first(target=target))}
        if self.mask_token is not None:
            table[self.mask_token] = 0 if self.masks() else _DROPPED
        return table

    def _refuse(self, values: np.ndarray, unknown: np.ndarray, vocabulary: Sequence[Any], target: bool) -> None:
        row, at = first_wrong(unknown)
        value = values[unknown][0]
        names = ", ".join(map(str, vocabulary[:10])) + (", ..." if len(vocabulary) > 10 else "")
        size = len(vocabulary)
        where = f"among the {size} classes of the training data" if target else f"in the vocabulary of {size}"
        raise BadRow(row, f"{'class' if target else self.entry_noun} '{value}' is not {where} ({names})", at=at)

    def _vocabulary(self, learned: FittedState | None) -> Sequence[Any] | None:
        if isinstance(self.vocabulary, tuple):
            return self.entries(self.vocabulary)
        return None if learned is None else learned.facts["vocabulary"]


class _IndexTable:
    """Table from vocabulary entry to index, for arrays of values; a value that is no entry has the index `_UNKNOWN`."""

    def __init__(self, table: dict[Any, int]) -> None:
        self._table = table
        self._entries: np.ndarray | None = None
        """Vocabulary entries in ascending order, if they are 64-bit integers (with their indices in `_indices`); else
        None."""
        if table and all(isinstance(entry, int) and abs(entry) < 2**63 for entry in table):
            entries = np.array(list(table), np.int64)
            order = np.argsort(entries)
            self._entries, self._indices = entries[order], np.array(list(table.values()), np.int64)[order]

    def indices(self, values: np.ndarray) -> np.ndarray:
        """Return the vocabulary index of each value (N,), or `_UNKNOWN` for a value that is not in the vocabulary."""
        if self._entries is None or not np.can_cast(values.dtype, np.int64):
            return np.fromiter(map(self._table.get, values.tolist(), repeat(_UNKNOWN)), np.int64, len(values))
        places = np.minimum(np.searchsorted(self._entries, values), len(self._entries) - 1)
        return np.where(self._entries[places] == values, self._indices[places], _UNKNOWN)
