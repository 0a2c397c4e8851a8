"""Transform `discretization`: bins with given boundaries, or quantile bins of the training rows."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.data.base import NO_STATE, Field, FittedState, Refusal, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.transforms.input_checks import checked_finite, missing_numbers, need_numbers
from kerascli.preprocessing.categories import encoded_shape
from kerascli.preprocessing.discretization import DiscretizationModule, DiscretizationSettings, quantile_boundaries


@transform()
class Discretization(DiscretizationSettings, Transform):
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
        yield missing_numbers(x, self.component_name)

    def module(self, field: Field, state: FittedState, dtype: torch.dtype, *, target: bool) -> nn.Module:
        bounds = self._bounds(state)
        assert bounds is not None
        vectors = torch.float32 if self.output_mode == "count" else torch.uint8
        return DiscretizationModule(bounds.tolist(), self.output_mode, torch.float32, vectors)  # float32 as in Keras

    def _bounds(self, state: FittedState | None) -> np.ndarray | None:
        if self.bin_boundaries is not None:
            return np.array(self.bin_boundaries, np.float32)
        return None if state is None else state.arrays["bin_boundaries"]
