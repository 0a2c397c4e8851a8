"""Transform `discretization`: bins with given boundaries, or quantile bins of the training rows."""

from dataclasses import replace

import numpy as np

from kerascli.data.base import Field, FittedState, Transform, transform
from kerascli.data.storage.blocks import Blocks
from kerascli.data.transforms.input_checks import checked_finite, need_numbers
from kerascli.preprocessing.categories import encode, encoded_shape
from kerascli.preprocessing.discretization import DiscretizationSettings, quantile_boundaries


@transform()
class Discretization(DiscretizationSettings, Transform):
    """Buckets numbers into bins: each becomes the index of its bin, or a vector over the bins.

    Boundaries are given, or learned as quantiles of the training rows. As keras.layers.Discretization.
    """

    needs_rows = True

    def infer(self, field: Field, learned: FittedState | None, *, target: bool) -> Field:
        need_numbers(field)
        if self.bin_boundaries is None and self.num_bins is None:
            raise ValueError("needs 'bin_boundaries' or 'num_bins'")
        bounds = self._bounds(learned)
        bins = None if bounds is None else len(bounds) + 1
        dtype = {"int": "int32", "count": "float32"}.get(self.output_mode, "uint8")
        shape = encoded_shape(field.shape, self.output_mode, bins)
        return replace(field, shape=shape, dtype=dtype, vocabulary_size=bins, num_classes=bins, classes=None)

    def learn(self, rows: Blocks, field: Field, *, target: bool) -> FittedState:
        if self.num_bins is None:
            return FittedState({}, {})
        bounds = quantile_boundaries(checked_finite(rows, self.component_name), self.num_bins, self.epsilon)
        return FittedState({}, {"bin_boundaries": bounds})

    def apply(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> np.ndarray:
        bounds = self._bounds(learned)
        assert bounds is not None
        with np.errstate(over="ignore"):  # overflow to infinity falls into the same outermost bin
            numbers = values.astype(np.float32)  # as Keras
        bins = np.digitize(numbers, bounds).astype(np.int32)
        return encode(bins, self.output_mode, len(bounds) + 1)

    def check(self, values: np.ndarray, field: Field, learned: FittedState, *, target: bool) -> None:
        for _ in checked_finite(Blocks.of(values), self.component_name):
            pass

    def _bounds(self, learned: FittedState | None) -> np.ndarray | None:
        if self.bin_boundaries is not None:
            return np.array(self.bin_boundaries, np.float32)
        return None if learned is None else learned.arrays["bin_boundaries"]
