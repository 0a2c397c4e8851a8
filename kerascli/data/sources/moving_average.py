"""MovingAverage: a series without any pattern, and the mean of its last values: to know that takes memory."""

from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.shapes import FixedSeed, PositiveFloat, PositiveInt


@source()
class MovingAverage(Source):
    """`value`, drawn evenly from -amplitude to amplitude, and `average`, that of the last `window` values.

    Both are float32, a step a row, in one split `train`. What is before the first row counts in its average.
    """

    rows: PositiveInt = 1000
    """How many steps."""
    window: PositiveInt = 2
    """Over how many values the average goes, that of its own row included."""
    amplitude: PositiveFloat = 0.1
    """The values lie between minus this and this."""
    seed: FixedSeed = 0

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"value": Field((), "float32"), "average": Field((), "float32")}

    def load(self, context: Context) -> Mapping[str, Table]:
        before = self.window - 1
        drawn = np.random.default_rng(self.seed).uniform(-self.amplitude, self.amplitude, self.rows + before)
        average = np.lib.stride_tricks.sliding_window_view(drawn, self.window).mean(axis=-1)
        columns = {"value": drawn[before:].astype(np.float32), "average": average.astype(np.float32)}
        return {"train": table_of(columns, "moving_average")}
