"""Source `blobs`: isotropic Gaussian clusters, one for each class; synthetic data for classification."""

from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.shapes import FixedSeed, PositiveFloat, PositiveInt


@source()
class Blobs(Source):
    """Gaussian clusters, one for each class: `x` (features,) float32 and `y` 0..classes-1.

    Samples are in random order, in one split `train`; as scikit-learn's `make_blobs`.
    """

    rows: PositiveInt = 1000
    """Number of samples."""
    features: PositiveInt = 2
    """Number of features of a sample."""
    classes: PositiveInt = 3
    """Number of classes, which is the number of clusters."""
    spread: PositiveFloat = 1.0
    """Standard deviation of each cluster; centers are uniform in [-10, 10] for each feature."""
    seed: FixedSeed = 0
    """Random seed of the generated data; the run's seed has no effect on it."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"x": Field((self.features,), "float32"), "y": Field((), "int64", num_classes=self.classes)}

    def load(self, context: Context) -> Mapping[str, Table]:
        random = np.random.default_rng(self.seed)
        centres = random.uniform(-10, 10, (self.classes, self.features))
        y = random.permutation(np.arange(self.rows) % self.classes)
        x = centres[y] + self.spread * random.standard_normal((self.rows, self.features))
        return {"train": table_of({"x": x.astype(np.float32), "y": y}, "blobs")}
