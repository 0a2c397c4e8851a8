"""Sources `sine` and `moving_average`: generated series, one time step for each row."""

from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.shapes import FixedSeed, NonNegativeFloat, PositiveFloat, PositiveInt


@source()
class Sine(Source):
    """Sine wave with noise and decay: `value` float32, one time step for each row, in one split `train`.

    Wrap it in the source `timeseries` for windows.
    """

    rows: PositiveInt = 1000
    """Number of time steps."""
    period: PositiveFloat = 50.0
    """Period of the wave, in rows."""
    noise: NonNegativeFloat = 0.1
    """Standard deviation of the Gaussian noise added to each value."""
    seed: FixedSeed = 0
    """Random seed of the generated data; the run's seed has no effect on it."""
    amplitude: PositiveFloat = 1.0
    """Amplitude of the wave at row 0."""
    phase: float = 0.0
    """Phase at row 0, in rows: a quarter of `period` gives a cosine."""
    decay: NonNegativeFloat = 0.0
    """Exponential decay rate of the amplitude per row: it is `amplitude * exp(-decay * row)`."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"value": Field((), "float32")}

    def load(self, context: Context) -> Mapping[str, Table]:
        noise = self.noise * np.random.default_rng(self.seed).standard_normal(self.rows)
        row = np.arange(self.rows)
        amplitude = self.amplitude * np.exp(-self.decay * row)
        value = amplitude * np.sin(2 * np.pi * (row + self.phase) / self.period) + noise
        return {"train": table_of({"value": value.astype(np.float32)}, "sine")}


@source()
class MovingAverage(Source):
    """Uniform noise `value` in [-amplitude, amplitude] and `average`, the mean of the last `window` values.

    Both are float32, one time step for each row, in one split `train`. Averages of the first rows include values from
    before row 0.
    """

    rows: PositiveInt = 1000
    """Number of time steps."""
    window: PositiveInt = 2
    """Number of values averaged, including the current one."""
    amplitude: PositiveFloat = 0.1
    """Bound of the absolute values: they are uniformly distributed between minus and plus this number."""
    seed: FixedSeed = 0
    """Random seed of the generated data; the run's seed has no effect on it."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"value": Field((), "float32"), "average": Field((), "float32")}

    def load(self, context: Context) -> Mapping[str, Table]:
        before = self.window - 1
        drawn = np.random.default_rng(self.seed).uniform(-self.amplitude, self.amplitude, self.rows + before)
        average = np.lib.stride_tricks.sliding_window_view(drawn, self.window).mean(axis=-1)
        columns = {"value": drawn[before:].astype(np.float32), "average": average.astype(np.float32)}
        return {"train": table_of(columns, "moving_average")}
