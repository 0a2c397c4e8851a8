"""Source `copy_task`: the copy task of Graves, Wayne and Danihelka, Neural Turing Machines, 2014."""

from collections.abc import Mapping
from typing import Self

import numpy as np
from pydantic import model_validator

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.shapes import FixedSeed, PositiveInt


@source()
class CopyTask(Source):
    """Copy task: `x` holds random bit vectors, a delimiter on an extra channel, then zeros; `y` repeats the vectors.

    Shapes with T = 2 * length + 1: `x` (T, bits + 1), `y` (T, bits), `recall` (T,), float32; shorter sequences are
    padded with zeros. `recall` is 1 at the steps of the repeated vectors (a sample weight for `y`), 0 elsewhere. The
    split `train` has all rows. With `test_length` there is a split `test` with a tenth as many rows, all of that
    length; unless it equals `length`, the time axis is unknown (None).
    """

    rows: PositiveInt = 1000
    """Number of sequences in the split `train`."""
    length: PositiveInt = 10
    """Maximum number of vectors to copy."""
    bits: PositiveInt = 8
    """Number of bits (0 or 1) of a vector."""
    min_length: PositiveInt | None = None
    """Minimum number of vectors: each sequence has a random number from this to `length`; null: all have `length`."""
    test_length: PositiveInt | None = None
    """Number of vectors of each sequence in the split `test`; null: there is no such split."""
    seed: FixedSeed = 0
    """Random seed of the generated data; the run's seed has no effect on it."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_length is not None and self.min_length > self.length:
            raise ValueError(f"min_length: expected at most length ({self.length}), got {self.min_length}")
        return self

    def facts(self, context: Context) -> Mapping[str, Field]:
        steps = 2 * self.length + 1 if self.test_length in (None, self.length) else None
        shapes = {"x": (steps, self.bits + 1), "y": (steps, self.bits), "recall": (steps,)}
        return {name: Field(shape, "float32") for name, shape in shapes.items()}

    def load(self, context: Context) -> Mapping[str, Table]:
        random = np.random.default_rng(self.seed)
        tables = {"train": self._table(random, self.rows, self.min_length or self.length, self.length)}
        if self.test_length is not None:
            tables["test"] = self._table(random, max(1, self.rows // 10), self.test_length, self.test_length)
        return tables

    def _table(self, random: np.random.Generator, rows: int, least: int, most: int) -> Table:
        vectors = random.integers(0, 2, (rows, most, self.bits))
        lengths = random.integers(least, most + 1, rows) if least < most else np.full(rows, most)
        steps, ends = np.arange(2 * most + 1), lengths[:, None]
        heard, recall = steps < ends, (steps > ends) & (steps <= 2 * ends)
        x = np.zeros((rows, len(steps), self.bits + 1), np.float32)
        y = np.zeros((rows, len(steps), self.bits), np.float32)
        x[heard, :-1] = y[recall] = vectors[heard[:, :most]]
        x[np.arange(rows), lengths, -1] = 1
        return table_of({"x": x, "y": y, "recall": recall.astype(np.float32)}, "copy_task")
