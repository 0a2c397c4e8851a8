"""Two transforms: one that learns, and one of a target that predictions undo."""

from dataclasses import replace

import numpy as np
from kerascli.data.learned_checks import check_array, check_names
from kerascli.shapes import OpenFraction

from kerascli.data.base import Field, Inverse, Learned, Transform, transform
from kerascli.data.storage.blocks import Blocks


@transform()
class RobustScale(Transform):
    """(x - low) / (high - low), with the quantiles of the training rows that enclose a share of them."""

    needs_rows = True

    share: OpenFraction = 0.5

    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        if field.is_text:
            raise ValueError("needs numbers, got text")
        return replace(field, dtype="float32", num_classes=None, classes=None)

    def learn(self, rows: Blocks, field: Field, *, target: bool) -> Learned:
        values = np.concatenate([part.astype(np.float64) for part in rows.parts()])
        low, high = np.quantile(values, [0.5 - self.share / 2, 0.5 + self.share / 2], axis=0)
        return Learned({"rows": len(values)}, {"low": low, "high": high})

    def check_learned(self, learned: Learned, field: Field, *, target: bool) -> None:
        check_names(learned.facts, learned.arrays, ("rows",), ("low", "high"))
        for name in ("low", "high"):
            check_array(learned.arrays, name, field.shape)

    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        low, high = learned.arrays["low"], learned.arrays["high"]
        return ((values - low) / (high - low)).astype(np.float32)


@transform(name="arcsinh")
class Arcsinh(Transform):
    """Inverse hyperbolic sine."""

    def infer(self, field: Field, learned: Learned | None, *, target: bool) -> Field:
        if field.is_text:
            raise ValueError("needs numbers, got text")
        return replace(field, dtype="float32", num_classes=None, classes=None)

    def apply(self, values: np.ndarray, field: Field, learned: Learned, *, target: bool) -> np.ndarray:
        return np.arcsinh(values).astype(np.float32)

    def undoing(self, field: Field, learned: Learned) -> Inverse:
        return np.sinh
