"""Datasets `boston_housing` and `california_housing`: house prices for regression, as in Keras."""

import io
from typing import ClassVar, Literal

import numpy as np

from kerascli.data.base import Context, Field, Fields, Tables, source
from kerascli.data.datasets.download import KERAS_FILES, Downloaded, fetch
from kerascli.data.datasets.word_sequences import shuffled_rows, train_and_test
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.disk.npz import load_npz
from kerascli.foundation.shapes import NonNegativeInt, OpenFraction

_SMALL = 600
_LIMIT = 64 * 2**20


class Housing(Downloaded):
    """Base class of the housing datasets: rows shuffled in Keras's order; the last ones are the split `test`."""

    features: ClassVar[int]

    def facts(self, context: Context) -> Fields:
        return {"x": Field((self.features,), "float64"), "y": Field((), "float64")}

    def split(self, context: Context, test_split: float, seed: int, most: int | None = None) -> dict[str, Table]:
        """Shuffle the dataset's first `most` rows (None: all) and split them into train and test. Raises DataError."""
        arrays = load_npz(io.BytesIO(fetch(self.remote(), context)), self.component_name, _LIMIT)
        x, y = (arrays[name][:most].astype(np.float64) for name in ("x", "y"))
        [order] = shuffled_rows(seed, len(x))
        parts = train_and_test(order, test_split).items()
        return {split: table_of({"x": x[own], "y": y[own]}, f"{self.component_name} {split}") for split, own in parts}


@source()
class BostonHousing(Housing):
    """Boston housing prices, 506 districts: `x` (13 features), `y` (price in $1000), float64. Downloaded once.

    One feature assumes that race influences prices; prefer `california_housing` unless that is the subject of study.
    """

    url = f"{KERAS_FILES}/boston_housing.npz"
    features = 13

    test_split: OpenFraction = 0.2
    """Fraction of the rows reserved for the split 'test'."""
    seed: NonNegativeInt = 113
    """Random seed for shuffling the rows before the split."""

    def load(self, context: Context) -> Tables:
        return self.split(context, self.test_split, self.seed)


@source()
class CaliforniaHousing(Housing):
    """California housing prices, 20,640 districts: `x` (8 features), `y` (price in $), float64. Downloaded once."""

    url = f"{KERAS_FILES}/california_housing.npz"
    features = 8

    version: Literal["large", "small"] = "large"
    """Size of the dataset: large (all 20,640 rows) or small (the first 600 rows)."""
    test_split: OpenFraction = 0.2
    """Fraction of the rows reserved for the split 'test'."""
    seed: NonNegativeInt = 113
    """Random seed for shuffling the rows before the split."""

    def load(self, context: Context) -> Tables:
        return self.split(context, self.test_split, self.seed, _SMALL if self.version == "small" else None)
