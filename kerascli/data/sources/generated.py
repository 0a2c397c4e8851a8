"""Sources of generated rows: their base class, `blobs`, the series `sine` and `moving_average`, and `one_row`, which
holds nothing."""

from abc import abstractmethod

import numpy as np

from kerascli.data.base import Context, Field, Fields, Source, Tables, source
from kerascli.data.storage.table import table_of
from kerascli.foundation.shapes import FixedSeed, NonNegativeFloat, PositiveFloat, PositiveInt

Columns = dict[str, np.ndarray]
"""Mapping from column name to its values (rows, *)."""


class Generated(Source):
    """Base class of data sources of generated rows in one split `train`."""

    rows: PositiveInt = 1000
    """Number of rows of the split `train`."""
    seed: FixedSeed = 0
    """Random seed of the generated data; the run's seed has no effect on it."""

    def load(self, context: Context) -> Tables:
        splits = self.splits(np.random.default_rng(self.seed))
        return {split: table_of(columns, self.component_name) for split, columns in splits.items()}

    def splits(self, random: np.random.Generator) -> dict[str, Columns]:
        """Return a mapping from split name to its columns."""
        return {"train": self.columns(random)}

    @abstractmethod
    def columns(self, random: np.random.Generator) -> Columns:
        """Return the columns of the split `train`."""


@source()
class Blobs(Generated):
    """Gaussian clusters, one for each class: `x` (features,) float32 and `y` 0..classes-1.

    Samples are in random order, in one split `train`; as scikit-learn's `make_blobs`.
    """

    features: PositiveInt = 2
    """Number of features of a sample."""
    classes: PositiveInt = 3
    """Number of classes, which is the number of clusters."""
    spread: PositiveFloat = 1.0
    """Standard deviation of each cluster; centers are uniform in [-10, 10] for each feature."""

    def facts(self, context: Context) -> Fields:
        return {"x": Field((self.features,), "float32"), "y": Field((), "int64", num_classes=self.classes)}

    def columns(self, random: np.random.Generator) -> Columns:
        centres = random.uniform(-10, 10, (self.classes, self.features))
        y = random.permutation(np.arange(self.rows) % self.classes)
        x = centres[y] + self.spread * random.standard_normal((self.rows, self.features))
        return {"x": x.astype(np.float32), "y": y}


@source()
class Sine(Generated):
    """Sine wave with noise and decay: `value` float32, one time step for each row, in one split `train`.

    Wrap it in the source `timeseries` for windows.
    """

    period: PositiveFloat = 50.0
    """Period of the wave, in rows."""
    noise: NonNegativeFloat = 0.1
    """Standard deviation of the Gaussian noise added to each value."""
    amplitude: PositiveFloat = 1.0
    """Amplitude of the wave at row 0."""
    phase: float = 0.0
    """Phase at row 0, in rows: a quarter of `period` gives a cosine."""
    decay: NonNegativeFloat = 0.0
    """Exponential decay rate of the amplitude per row: it is `amplitude * exp(-decay * row)`."""

    def facts(self, context: Context) -> Fields:
        return {"value": Field((), "float32")}

    def columns(self, random: np.random.Generator) -> Columns:
        noise = self.noise * random.standard_normal(self.rows)
        row = np.arange(self.rows)
        amplitude = self.amplitude * np.exp(-self.decay * row)
        value = amplitude * np.sin(2 * np.pi * (row + self.phase) / self.period) + noise
        return {"value": value.astype(np.float32)}


@source()
class MovingAverage(Generated):
    """Uniform noise `value` in [-amplitude, amplitude] and `average`, the mean of the last `window` values.

    Both are float32, one time step for each row, in one split `train`. Averages of the first rows include values from
    before row 0.
    """

    window: PositiveInt = 2
    """Number of values averaged, including the current one."""
    amplitude: PositiveFloat = 0.1
    """Bound of the absolute values: they are uniformly distributed between minus and plus this number."""

    def facts(self, context: Context) -> Fields:
        return {"value": Field((), "float32"), "average": Field((), "float32")}

    def columns(self, random: np.random.Generator) -> Columns:
        before = self.window - 1
        drawn = random.uniform(-self.amplitude, self.amplitude, self.rows + before)
        average = np.lib.stride_tricks.sliding_window_view(drawn, self.window).mean(axis=-1)
        return {"value": drawn[before:].astype(np.float32), "average": average.astype(np.float32)}


@source()
class OneRow(Source):
    """One row without content, column `row`, in one split `train`: for models of weights alone, which take no inputs.

    A config without `data` whose first layer is a `weight` has it.
    """

    is_empty = True

    def facts(self, context: Context) -> Fields:
        return {"row": Field((1,), "float32")}

    def load(self, context: Context) -> Tables:
        return {"train": table_of({"row": np.zeros((1, 1), np.float32)}, "one_row")}
