"""Source `moving_average`: uniform noise with its moving average, a target that requires memory of past steps."""

from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.shapes import FixedSeed, PositiveFloat, PositiveInt


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
