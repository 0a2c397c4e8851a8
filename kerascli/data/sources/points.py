"""Sources `blobs`, `moons` and `circles`: points of two or more classes; and `one_row`, which holds nothing."""

from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.shapes import FixedSeed, NonNegativeFloat, OpenFraction, PositiveFloat, PositiveInt


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


class Curves(Source):
    """Base class of `moons` and `circles`: one class of points along each of two curves, in random order."""

    rows: PositiveInt = 1000
    """Number of samples, in both classes together."""
    noise: NonNegativeFloat = 0.1
    """Standard deviation of the Gaussian noise added to each coordinate."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"x": Field((2,), "float32"), "y": Field((), "int64", num_classes=2)}

    def curves(self, first: np.ndarray, second: np.ndarray, seed: int) -> Mapping[str, Table]:
        """Return one split `train` with the points of both curves in random order, with noise added."""
        random = np.random.default_rng(seed)
        x = np.concatenate([first, second])
        order = random.permutation(len(x))
        x = (x + self.noise * random.standard_normal(x.shape))[order]
        y = (order >= len(first)).astype(np.int64)
        return {"train": table_of({"x": x.astype(np.float32), "y": y}, self.component_name)}


@source()
class Moons(Curves):
    """Two interleaving half circles: `x` (2,), `y` 0 (upper) or 1, in one split `train`; as `make_moons` (sklearn)."""

    seed: FixedSeed = 0
    """Random seed of the generated data; the run's seed has no effect on it."""

    def load(self, context: Context) -> Mapping[str, Table]:
        upper = _circle(self.rows // 2, np.pi, endpoint=True)
        lower = _circle(self.rows - self.rows // 2, np.pi, endpoint=True)
        return self.curves(upper, np.array([1.0, 0.5]) - lower, self.seed)


@source()
class Circles(Curves):
    """Two concentric circles: `x` (2,), `y` 0 (outer) or 1, in one split `train`; as `make_circles` (sklearn)."""

    factor: OpenFraction = 0.5
    """Radius of the inner circle; the outer circle has radius 1."""
    seed: FixedSeed = 0
    """Random seed of the generated data; the run's seed has no effect on it."""

    def load(self, context: Context) -> Mapping[str, Table]:
        outer = _circle(self.rows // 2, 2 * np.pi, endpoint=False)
        inner = _circle(self.rows - self.rows // 2, 2 * np.pi, endpoint=False)
        return self.curves(outer, self.factor * inner, self.seed)


def _circle(points: int, angle: float, *, endpoint: bool) -> np.ndarray:
    angles = np.linspace(0, angle, points, endpoint=endpoint)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@source()
class OneRow(Source):
    """One row without content, column `row`, in one split `train`: for models of weights alone, which take no inputs.

    A config without `data` whose first layer is a `weight` has it.
    """

    is_empty = True

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"row": Field((1,), "float32")}

    def load(self, context: Context) -> Mapping[str, Table]:
        return {"train": table_of({"row": np.zeros((1, 1), np.float32)}, "one_row")}
