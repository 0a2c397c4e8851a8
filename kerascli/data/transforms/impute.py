"""Transform `impute`: replace missing values with a statistic of the training rows or a constant."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor, nn

from kerascli.data.base import Field, FittedState, Refusal, Transform, transform
from kerascli.data.storage.blocks import Blocks, medians, unique_counts
from kerascli.data.storage.column import Texts
from kerascli.data.storage.convert import not_in
from kerascli.data.text.onnx_texts import filled
from kerascli.data.transforms.input_checks import float_dtype, need_like
from kerascli.preprocessing.function import Function


@transform()
class Impute(Transform):
    """Replaces missing values (nan, or empty text) per feature of the last axis, as scikit-learn's SimpleImputer.

    The shape is kept; mean and median need numbers.
    """

    fills_missing = True
    keeps_numbers = True

    strategy: Literal["mean", "median", "most_frequent", "constant"] = "mean"
    """Replacement: mean, median or most_frequent value of the feature in training, or the constant `fill_value`."""
    fill_value: float | str | None = None
    """Value that replaces missing values, with the strategy constant."""

    @model_validator(mode="after")
    def _value_for_constant(self) -> "Impute":
        if (self.strategy == "constant") != (self.fill_value is not None):
            raise ValueError("'fill_value' is required with strategy 'constant', and allowed only with it")
        return self

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        if field.is_text and self.strategy in {"mean", "median"}:
            raise ValueError(f"text has no {self.strategy}; use most_frequent, or constant with fill_value")
        need_like(field, "fill_value", self.fill_value)
        fill, frequent = self.fill_value, self.strategy == "most_frequent"
        fits_integers = fill.is_integer() if isinstance(fill, float) else frequent  # an integer, or an existing value
        return field if field.is_text or fits_integers else replace(field, dtype=float_dtype(field))

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        features = (field.shape[-1] or 0) if field.shape else 1
        if self.fill_value is not None:
            fill: list[Any] = [self.fill_value] * features
        elif field.is_text:
            fill = _most_frequent_texts(rows)
        else:
            fill = _STATISTICS[self.strategy](Blocks(lambda: map(_columns, rows)))
        if None in fill:
            raise ValueError("a column has only missing values; there is nothing to learn from")
        return FittedState({"fill": fill}, {}) if field.is_text else FittedState({}, {"fill": np.array(fill, float)})

    def refusals(self, x: Tensor, field: Field, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        return () if x.is_floating_point() else not_in(self.infer(field, state, target=target).dtype, x)

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        dtype = getattr(torch, self.infer(field, state, target=target).dtype)
        return Function(_without_gaps, state.arrays["fill"].tolist(), dtype)

    def rewritten(self, values: Texts | np.ndarray, field: Field, state: FittedState) -> Texts:
        assert isinstance(values, Texts)
        words, codes = values.word_list(), values.codes
        missing = np.fromiter((word == "" for word in words), bool, len(words))[codes]
        fill = len(words) + np.arange(codes.shape[-1] if codes.ndim > 1 else 1)  # one for each feature
        return Texts.of([*words, *state.facts["fill"]], np.where(missing, fill, codes))

    def onnx(self, x: Tensor, field: Field, state: FittedState) -> Tensor:
        return filled(x, state.facts["fill"] if field.shape else state.facts["fill"][:1]) if field.is_text else x

    def inverse(self, field: Field, state: FittedState) -> nn.Module | None:
        """Return the module that undoes the transform in predictions: the identity, as they have no missing values.
        None for a target of text."""
        return None if field.is_text else nn.Identity()


def _without_gaps(x: Tensor, fill: Sequence[float], dtype: torch.dtype) -> Tensor:  # (N, *) -> (N, *)
    """Replace nan by a value for each feature of the last axis, and convert to a dtype."""
    if x.is_floating_point():
        values = torch.tensor(fill if x.ndim > 1 else fill[0], dtype=torch.float64, device=x.device)
        x = torch.where(x.isnan(), values, x.double())
    return x.to(dtype)


def _columns(values: np.ndarray) -> np.ndarray:
    """Reshape (N, *, F) to (M, F) and (N,) to (N, 1): one column for each feature."""
    return values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)


def _present(column: np.ndarray) -> np.ndarray:
    return column[~np.isnan(column)] if column.dtype.kind == "f" else column


def _means(columns: Blocks) -> list[Any]:
    sums = [[(x.sum(dtype=np.float64), len(x)) for x in map(_present, part.T)] for part in columns.parts()]
    totals = np.sum(sums, axis=0)  # (F, 2): sum and number of values of each feature
    return [total / rows if rows else None for total, rows in totals.tolist()]


def _medians(columns: Blocks) -> list[Any]:
    whole = columns.alone()
    if whole is None:
        return [value if value == value else None for value in medians(columns).tolist()]
    return [float(np.median(column)) if len(column) else None for column in map(_present, whole.T)]


def _most_frequent(columns: Blocks) -> list[Any]:
    """Return each feature's most frequent value, the smallest one if several tie, as in scikit-learn."""
    fill: list[Any] = []
    for number in range(next(iter(columns)).shape[1]):
        distinct, counts = unique_counts(_present(block[:, number]) for block in columns)
        fill += distinct[counts.argmax() :][:1].tolist() if len(distinct) else [None]
    return fill


def _most_frequent_texts(rows: Blocks) -> list[Any]:
    """Return each feature's most frequent text, the first in order of code points if several tie."""
    counts: list[Counter[str]] = []
    for texts in rows:
        codes = _columns(texts.codes)
        counts = counts or [Counter() for _ in codes.T]
        for counter, column in zip(counts, codes.T, strict=True):
            times = np.bincount(column, minlength=len(texts.words)).tolist()
            counter.update({word: n for word, n in zip(texts.word_list(), times, strict=True) if word and n})
    return [min(counter, key=lambda word, of=counter: (-of[word], word), default=None) for counter in counts]


_STATISTICS = {"mean": _means, "median": _medians, "most_frequent": _most_frequent}
"""Functions of the training rows, by strategy, to the fill value of each feature; None for one without values."""
