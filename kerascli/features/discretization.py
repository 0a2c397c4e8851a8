"""Discretization: numbers to bins, with boundaries given or learned as quantiles, as a transform and as a layer."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated

import numpy as np
import torch
from pydantic import AfterValidator, model_validator
from pydantic import Field as Setting
from torch import Tensor, nn

from kerascli.data.base import NO_STATE, Field, FittedState, Refusal, Transform, transform
from kerascli.data.pipeline.columns import IMPUTE
from kerascli.data.storage.blocks import Blocks
from kerascli.data.transforms.input_checks import checked_finite, need_numbers
from kerascli.foundation.shapes import Floats, TensorSpec
from kerascli.language.component import Component
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.categories import Dense, OutputMode, encode_tensor, encoded_shape
from kerascli.preprocessing.function import Function


def _rising(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if any(a > b for a, b in pairwise(bounds)):
        raise ValueError("expected boundaries in ascending order")
    return bounds


Bins = Annotated[int, Setting(ge=2, le=2**20)]


class DiscretizationSettings(Component):
    """Settings that the layer and the transform `discretization` share."""

    bin_boundaries: Annotated[Floats, AfterValidator(_rising)] | None = None
    """Boundaries of the bins, ascending; the outer bins are open: [0, 1] makes 3 bins.
    A value equal to a boundary belongs to the bin above it."""
    num_bins: Bins | None = None
    """Number of bins of about equal counts, whose boundaries are learned from the training rows."""
    epsilon: Annotated[float, Setting(gt=0, lt=1)] = 0.01
    """Error tolerance of the quantiles, as a fraction of the rows; smaller is more exact and slower."""
    output_mode: OutputMode = "int"
    sparse: Dense = False

    @model_validator(mode="after")
    def _not_both(self) -> "DiscretizationSettings":
        if self.bin_boundaries is not None and self.num_bins is not None:
            raise ValueError("give 'bin_boundaries' or 'num_bins', not both")
        return self

    def binned(self, x: Tensor, boundaries: Sequence[float], dtype: torch.dtype | None = None) -> Tensor:
        """Return the bins (N, *) of values, or in other modes than int vectors (N, *, bins) of a dtype (None: x's)."""
        bounds = torch.tensor(boundaries, dtype=x.dtype, device=x.device)
        bins = torch.bucketize(x, bounds, out_int32=True, right=True)
        return encode_tensor(bins, self.output_mode, len(boundaries) + 1, dtype or x.dtype)


def quantile_boundaries(parts: Iterable[np.ndarray], num_bins: int, epsilon: float) -> np.ndarray:
    """Return boundaries of about `num_bins` bins with equal counts of all values, in float32.

    A summary of every part (values, and the count that each represents) is merged into that of the parts before, so
    that the whole is never sorted at once.
    """
    summary = np.zeros((2, 0), np.float32)
    for part in parts:
        joined = np.concatenate([_summary(part, epsilon), summary], axis=1)
        summary = _compressed(joined[:, np.argsort(joined[0])], epsilon)
    return _compressed(summary, 1.0 / num_bins)[0, :-1]


def _summary(values: np.ndarray, epsilon: float) -> np.ndarray:
    """Summarize values: return every n-th of them in sorted order, and n as the count that each represents."""
    ordered = np.sort(values, axis=None).astype(np.float32)
    step = max(ordered.size / (1.0 / epsilon), 1)
    chosen = ordered[int(step - 1) :: int(step)]
    return np.stack([chosen, np.full_like(chosen, step)])


def _compressed(summary: np.ndarray, epsilon: float) -> np.ndarray:
    """Compress a summary of values to quantiles in steps of `epsilon` (a fraction of all counts), by interpolation."""
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    counts = summary[1].cumsum()
    values = np.interp(shares, counts / counts[-1], summary[0])
    reached = np.interp(shares, counts / counts[-1], counts)
    return np.stack([values, np.diff(reached, prepend=0)]).astype(np.float32)


@transform(name="discretization")
class DiscretizationTransform(DiscretizationSettings, Transform):
    """Buckets numbers into bins: each becomes the index of its bin, or a vector over the bins.

    Boundaries are given, or learned as quantiles of the training rows. As keras.layers.Discretization.
    """

    def infer(self, field: Field, state: FittedState | None, *, target: bool) -> Field:
        need_numbers(field)
        if self.bin_boundaries is None and self.num_bins is None:
            raise ValueError("needs 'bin_boundaries' or 'num_bins'")
        bounds = self._bounds(state)
        bins = None if bounds is None else len(bounds) + 1
        dtype = {"int": "int32", "count": "float32"}.get(self.output_mode, "uint8")
        shape = encoded_shape(field.shape, self.output_mode, bins)
        return replace(field, shape=shape, dtype=dtype, vocabulary_size=bins, num_classes=bins, classes=None)

    def fit(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        if self.num_bins is None:
            return NO_STATE
        bounds = quantile_boundaries(checked_finite(rows, self.component_name), self.num_bins, self.epsilon)
        return FittedState({}, {"bin_boundaries": bounds})

    def refusals(self, x: Tensor, field: Field, state: FittedState, *, target: bool) -> Iterable[Refusal]:
        hint = f"add impute before {self.component_name}: {IMPUTE}"
        if x.is_floating_point():
            yield Refusal(x.isnan(), lambda _: "missing value", lambda _: hint)
            yield Refusal(x.isinf(), lambda _: "infinite value")

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        bounds = self._bounds(state)
        assert bounds is not None
        vectors = torch.float32 if self.output_mode == "count" else torch.uint8
        return Function(self.binned, bounds.tolist(), vectors, dtype=torch.float32)  # float32 as in Keras

    def _bounds(self, state: FittedState | None) -> np.ndarray | None:
        if self.bin_boundaries is not None:
            return np.array(self.bin_boundaries, np.float32)
        return None if state is None else state.arrays["bin_boundaries"]


@layer(Example(input=(4,), output=(4,), config={"bin_boundaries": [-1.5, 0.0, 1.0]}))
class Discretization(DiscretizationSettings, Layer):
    """Replaces numbers by the index of the bin that they fall into, or by vectors over the bins.

    Input: (N, *). Output: (N, *) of integers from 0, or vectors over the bins.
    """

    def build(self, x: TensorSpec) -> nn.Module:
        if self.bin_boundaries is None:
            hint = "give bin_boundaries, or put discretization into the input's pipeline under data"
            raise ShapeMismatch("a layer does not learn bins from the data", hint=hint, argument="num_bins")
        return Function(self.binned, self.bin_boundaries)
