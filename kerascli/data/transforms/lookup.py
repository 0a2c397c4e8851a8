"""Base class of the lookups: map values to indices of a vocabulary, as Keras's IndexLookup."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, NotExportable, Refusal, Transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.storage.column import Texts
from kerascli.data.storage.tokens import Counted, TokenCounts, Tokens
from kerascli.data.text.files import read_vocabulary
from kerascli.data.text.onnx_texts import mapped
from kerascli.data.text.oov import LookedUp, Vocabulary
from kerascli.data.transforms.input_checks import encoded, need_integers, tally
from kerascli.preprocessing.categories import DROPPED, UNKNOWN, Encoded, LookupSettings, vector_dtype

MISSING = -3
"""Code of a missing text that is no mask token, which is refused."""


class Lookup(LookupSettings, Transform):
    """Base class of the transforms `string_lookup` and `integer_lookup`, which map values to vocabulary indices.

    Indices are, in this order: the mask token (if set, in mode int), out-of-vocabulary (OOV) indices, the vocabulary.
    A learned vocabulary is in order of frequency, ties in descending order of the values, as in Keras. In targets it is
    sorted, there are no OOV indices by default, and an OOV value is an error that names its row.
    """

    paths = ("vocabulary",)
    entry_noun: ClassVar[str]
    """Noun for a vocabulary entry in error messages (`string`, `integer`)."""

    positive: Any = None

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        if self.positive is not None and not target:
            raise ValueError("positive: goes with the lookup of a target")
        if self.invert:
            need_integers(field)
            return replace(field, dtype="string" if self.takes_text else "int64", num_classes=None, classes=None)
        self._check(field)
        if self.output_mode == "tf_idf" and len(field.shape) > 1:
            raise ValueError(f"tf_idf needs rows with one axis, got shape {field.shape}")
        vocabulary: Sequence[Any] | None = None if state is None else state.facts["vocabulary"]
        if isinstance(self.vocabulary, tuple):
            vocabulary = self.entries(self.vocabulary)
        size = None if vocabulary is None else len(vocabulary) + self.first(target=target)
        classes = tuple(map(str, vocabulary)) if target and vocabulary is not None else None
        words = None if vocabulary is None else ("",) * self.first(target=target) + tuple(map(str, vocabulary))
        width = self.max_tokens if self.pad_to_max_tokens else size
        facts = {"vocabulary_size": size, "classes": classes, "num_classes": size if target else None, "words": words}
        return encoded(field, self.output_mode, width, **facts)

    def _check(self, field: Field) -> None:
        if not self.takes_text:
            need_integers(field)
        elif not field.is_text and field.dtype != "unknown":
            remedy = "integer_lookup" if field.is_integer else "a numeric transform"
            raise ValueError(f"needs text, got numbers ({field.dtype}); use {remedy}")

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        return self.fit_tokens(map(_counted, rows), target=target)

    def fit_tokens(self, parts: Iterable[Counted], *, target: bool) -> FittedState:
        """Learn the vocabulary from `parts` of a column. Raises ValueError, DataError."""
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
            covered = sum(map(counts.occurrences.__getitem__, vocabulary))
            facts["oov_share"] = float(1 - covered / counts.occurrences.total())
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
        return sorted(classes, key=lambda each: each == self.positive)

    def _given(self, target: bool) -> FittedState:
        if self.positive is not None:
            raise ValueError("positive: the order of the vocabulary says which class is the positive one, the last")
        written = self.vocabulary
        if isinstance(written, str):
            written = read_vocabulary(Path(written), str if self.takes_text else int)
        entries = self.entries(written)
        self.check_entries(entries)
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

    def table(self, state: FittedState, *, target: bool) -> Mapping[Any, int]:
        """Return a mapping from each vocabulary entry, and the mask token, to its index; a missing text that is no mask
        token is `MISSING`."""
        if "table" not in state.memo:
            table = {value: index for index, value in enumerate(state.facts["vocabulary"], self.first(target=target))}
            if self.mask_token is not None:
                table[self.mask_token] = 0 if self.masks() else DROPPED
            is_missing = self.takes_text and self.mask_token != ""
            state.memo["table"] = {**table, "": MISSING} if is_missing else table
        return state.memo["table"]

    def refusals(self, x: Tensor, field: Field, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        if self.invert:
            return
        vocabulary = state.facts["vocabulary"]
        names = ", ".join(map(str, vocabulary[:10])) + (", ..." if len(vocabulary) > 10 else "")
        size, noun = len(vocabulary), "class" if target else self.entry_noun
        where = f"among the {size} classes of the training data" if target else f"in the vocabulary of {size}"
        yield Refusal(x == UNKNOWN, lambda value: f"{noun} '{value}' is not {where} ({names})")
        hint = None if target else "add {impute: most_frequent} before it, or mask_token: '' gives it an index"
        yield Refusal(x == MISSING, lambda _: "missing label" if target else "missing value", lambda _: hint)

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        mode, width = self.output_mode, self.width(state, target=target)
        weights = state.arrays["idf_weights"].tolist() if mode == "tf_idf" else None
        return Encoded(mode, width, getattr(torch, vector_dtype(mode)), weights)

    def onnx(self, x: Tensor, field: Field, state: FittedState) -> Tensor:
        if self.invert:
            raise NotExportable("indices are mapped back to a vocabulary")
        if self.places() > 1:
            raise NotExportable("several OOV indices are chosen by a hash: use num_oov_indices: 1")
        return mapped(x, self.table(state, target=False), self.masks() if self.places() else UNKNOWN)

    def examples(self, state: FittedState) -> Sequence[Any]:
        return () if self.invert else state.facts["vocabulary"]

    def sequences(self, tokens: Tokens, field: Field, state: FittedState) -> Tensor:
        """Encode rows of vocabulary indices as one vector each; mode tf_idf multiplies counts by the IDF weights."""
        counts = tally(tokens, self.output_mode, self.width(state))
        if self.output_mode != "tf_idf":
            return counts
        weights = torch.from_numpy(state.arrays["idf_weights"])
        return counts.mul_(nn.functional.pad(weights, (0, counts.shape[1] - len(weights))))

    def looked_up(self, codes: Tensor, state: FittedState, *, target: bool) -> LookedUp | None:
        if self.invert or not self.places(target=target):  # others are refused
            return None
        first, masks = self.first(target=target), self.masks()
        masked = (codes == DROPPED) | ((codes == 0) & bool(masks))
        vocabulary = Vocabulary("values", len(state.facts["vocabulary"]), state.facts.get("oov_share", 0.0))
        return LookedUp(masked, (codes >= masks) & (codes < first), vocabulary)

    def width(self, state: FittedState, *, target: bool = False) -> int:
        """Return the length of the vectors that encode rows."""
        if self.pad_to_max_tokens and self.max_tokens is not None:
            return self.max_tokens
        return len(state.facts["vocabulary"]) + self.first(target=target)


def _counted(block: np.ndarray | Texts) -> Counted:
    """Return rows by their distinct values, to be counted; equal rows of one text are there once."""
    if not isinstance(block, Texts):
        distinct, codes = np.unique(block, return_inverse=True)
        return distinct.tolist(), Tokens.of(codes.reshape(block.shape)), None
    words = block.word_list()
    if block.codes.ndim > 1:
        return words, Tokens.of(block.codes), None
    return words, Tokens(np.arange(len(words)), np.ones(len(words), np.int64)), block.counts()
