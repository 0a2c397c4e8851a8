"""Blobs: points around random centres, one cloud a class; data to try things on."""

from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.shapes import FixedSeed, PositiveFloat, PositiveInt


@source()
class Blobs(Source):
    """`x` (features,) float32, `y` 0..classes-1, in random order, in one split `train`."""

    rows: PositiveInt = 1000
    """How many points."""
    features: PositiveInt = 2
    """How many numbers a point has."""
    classes: PositiveInt = 3
    """How many clouds."""
    spread: PositiveFloat = 1.0
    """Standard deviation of a cloud; the centres lie between -10 and 10."""
    seed: FixedSeed = 0

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"x": Field((self.features,), "float32"), "y": Field((), "int64", num_classes=self.classes)}

    def load(self, context: Context) -> Mapping[str, Table]:
        random = np.random.default_rng(self.seed)
        centres = random.uniform(-10, 10, (self.classes, self.features))
        y = random.permutation(np.arange(self.rows) % self.classes)
        x = centres[y] + self.spread * random.standard_normal((self.rows, self.features))
        return {"train": table_of({"x": x.astype(np.float32), "y": y}, "blobs")}
