"""Sine: one long wave, noisy or fading, a step a row; with `timeseries` its windows."""

from collections.abc import Mapping

import numpy as np

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.shapes import FixedSeed, NonNegativeFloat, PositiveFloat, PositiveInt


@source()
class Sine(Source):
    """`value` float32, a step a row, in one split `train`."""

    rows: PositiveInt = 1000
    """How many steps."""
    period: PositiveFloat = 50.0
    """In rows."""
    noise: NonNegativeFloat = 0.1
    """Standard deviation of what is added to each value."""
    seed: FixedSeed = 0
    amplitude: PositiveFloat = 1.0
    """How high the wave is in its first row."""
    phase: float = 0.0
    """How far into a period the wave begins, in rows: a quarter of `period` makes it a cosine."""
    decay: NonNegativeFloat = 0.0
    """The amplitude falls by this share a row: it is `amplitude * exp(-decay * row)`."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        return {"value": Field((), "float32")}

    def load(self, context: Context) -> Mapping[str, Table]:
        noise = self.noise * np.random.default_rng(self.seed).standard_normal(self.rows)
        row = np.arange(self.rows)
        amplitude = self.amplitude * np.exp(-self.decay * row)
        value = amplitude * np.sin(2 * np.pi * (row + self.phase) / self.period) + noise
        return {"train": table_of({"value": value.astype(np.float32)}, "sine")}
