"""Sources `sine` and `moving_average`: generated series, one time step for each row."""

import numpy as np

from kerascli.data.base import Context, Field, Fields, source
from kerascli.data.sources.generated import Columns, Generated
from kerascli.foundation.shapes import NonNegativeFloat, PositiveFloat, PositiveInt


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
