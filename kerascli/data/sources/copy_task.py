"""CopyTask: to say again what was heard; Graves, Wayne and Danihelka, Neural Turing Machines, 2014."""

from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.table import Table, table_of
from kerascli.shapes import NonNegativeInt, PositiveInt


@source()
class CopyTask(Source):
    """`x`: `length` random vectors, a mark on a channel of its own, silence; `y`: the vectors while `x` is silent.

    `x` is (2 * length + 1, bits + 1), `y` (2 * length + 1, bits), zero until the mark; one split `train`.
    """

    rows: PositiveInt = 1000
    """How many sequences."""
    length: PositiveInt = 10
    """How many vectors are to be copied."""
    bits: PositiveInt = 8
    """How many numbers, 0 or 1, a vector has."""
    seed: NonNegativeInt = 0

    def facts(self, context: Context) -> Mapping[str, Field]:
        steps = 2 * self.length + 1
        return {"x": Field((steps, self.bits + 1), "float32"), "y": Field((steps, self.bits), "float32")}

    def load(self, context: Context) -> Mapping[str, Table]:
        random = np.random.default_rng(self.seed)
        vectors = random.integers(0, 2, (self.rows, self.length, self.bits))
        x = np.zeros((self.rows, 2 * self.length + 1, self.bits + 1), np.float32)
        y = np.zeros((self.rows, 2 * self.length + 1, self.bits), np.float32)
        x[:, : self.length, :-1] = vectors
        x[:, self.length, -1] = 1
        y[:, self.length + 1 :] = vectors
        return {"train": table_of({"x": x, "y": y}, "copy_task")}
