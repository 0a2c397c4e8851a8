"""Source `moving_squares`: videos for next-frame prediction, after Shi et al., Convolutional LSTM Network, 2015."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field as Setting

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.shapes import FixedSeed, PositiveInt

_SQUARES = 7


@source()
class MovingSquares(Source):
    """Videos of 3 to 7 squares that move on straight lines: `x` with noise, `y` one frame later, without noise.

    Both are (frames, size, size, 1), float32 in [0, 1]; one split `train`.
    """

    rows: PositiveInt = 1000
    """Number of videos."""
    frames: PositiveInt = 15
    """Number of frames of a video."""
    size: Annotated[int, Setting(ge=8)] = 40
    """Height and width of a frame, in pixels."""
    noise: Annotated[float, Setting(ge=0, le=1)] = 0.1
    """Magnitude of the noise added to or subtracted from the pixels in and around a square of `x`."""
    seed: FixedSeed = 0
    """Random seed of the generated data; the run's seed has no effect on it."""

    def facts(self, context: Context) -> Mapping[str, Field]:
        field = Field((self.frames, self.size, self.size, 1), "float32")
        return {"x": field, "y": field}

    def load(self, context: Context) -> Mapping[str, Table]:
        random = np.random.default_rng(self.seed)
        shape = (self.rows, self.frames, self.size, self.size, 1)
        x, y = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for row in range(self.rows):
            x[row, ..., 0], y[row, ..., 0] = self._film(random)
        return {"train": table_of({"x": x, "y": y}, "moving_squares")}

    def _film(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        count = int(random.integers(3, _SQUARES + 1))
        half = random.integers(2, 4, count)
        # squares start inside the frame and may leave it
        start = random.integers(0, self.size, (count, 2))
        steps = random.integers(-1, 2, (count, 2))
        places = start[:, None] + steps[:, None] * np.arange(self.frames + 1)[:, None]
        squares = self._drawn(places, half)
        around = self._drawn(places[:, :-1], half + 1)
        flips = random.integers(0, 2, count)[:, None, None, None] * random.choice([-1, 1], around.shape)
        noise = self.noise * (around * flips).sum(0)
        return np.clip(squares[:, :-1].sum(0) + noise, 0, 1), np.clip(squares[:, 1:].sum(0), 0, 1)

    def _drawn(self, places: np.ndarray, half: np.ndarray) -> np.ndarray:
        """Return frames (squares, frames, size, size) of 0 and 1, each with one square at its position in `places`.

        Positions are (squares, frames, 2).
        """
        near = np.abs(np.arange(self.size) - places[..., None]) <= half[:, None, None, None]
        return (near[:, :, 0, :, None] & near[:, :, 1, None, :]).astype(np.float32)
