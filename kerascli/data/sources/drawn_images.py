"""Sources `moving_squares` and `painted_words`: generated videos, and images of text."""

from typing import Annotated, Self

import numpy as np
from pydantic import Field as Setting
from pydantic import model_validator

from kerascli.data.base import Context, Field, Fields, source
from kerascli.data.sources.generated import Columns, Generated
from kerascli.data.storage.image_files import need_pillow
from kerascli.foundation.shapes import Fraction, PositiveInt, Size2D

_SQUARES = 7


@source()
class MovingSquares(Generated):
    """Videos of 3 to 7 squares that move on straight lines: `x` with noise, `y` one frame later, without noise.

    Both are (frames, size, size, 1), float32 in [0, 1]; one split `train`.
    """

    frames: PositiveInt = 15
    """Number of frames of a video."""
    size: Annotated[int, Setting(ge=8)] = 40
    """Height and width of a frame, in pixels."""
    noise: Fraction = 0.1
    """Magnitude of the noise added to or subtracted from the pixels in and around a square of `x`."""

    def facts(self, context: Context) -> Fields:
        field = Field((self.frames, self.size, self.size, 1), "float32")
        return {"x": field, "y": field}

    def columns(self, random: np.random.Generator) -> Columns:
        shape = (self.rows, self.frames, self.size, self.size, 1)
        x, y = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for row in range(self.rows):
            x[row, ..., 0], y[row, ..., 0] = self._film(random)
        return {"x": x, "y": y}

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


_CONSONANTS, _VOWELS = "bcdfghjklmnprstvwz", "aeiou"


@source()
class PaintedWords(Generated):
    """Images of invented words for optical character recognition: `image` (height, width, 1) uint8, `word` text.

    Words of 1 to `letters` letters are drawn dark on white, with random position, size and rotation and with pixel
    noise. One split `train`; needs Pillow.
    """

    rows: PositiveInt = 10_000
    """Number of images."""
    letters: Annotated[int, Setting(ge=1, le=16)] = 4
    """Maximum number of letters of a word."""
    image_size: Size2D = (32, 128)
    """Height and width of an image, in pixels."""
    rotation: Annotated[float, Setting(ge=0, le=45)] = 5.0
    """Maximum rotation of a word, in degrees, in either direction."""
    speckles: Fraction = 0.02
    """Fraction of the pixels that get a random shade of gray."""

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        height, width = self.image_size
        if height < 16 or width < 12 * self.letters:
            raise ValueError(f"image_size: expected at least [16, {12 * self.letters}] for {self.letters} letters, "
                             f"got [{height}, {width}]")  # fmt: skip
        return self

    def facts(self, context: Context) -> Fields:
        return {"image": Field((*self.image_size, 1), "uint8"), "word": Field((), "string")}

    def columns(self, random: np.random.Generator) -> Columns:
        need_pillow()
        words = [_word(random, int(random.integers(1, self.letters + 1))) for _ in range(self.rows)]
        images = np.empty((self.rows, *self.image_size, 1), np.uint8)
        for row, word in enumerate(words):
            images[row, ..., 0] = self._painted(word, random)
        return {"image": images, "word": np.array(words, object)}

    def _painted(self, word: str, random: np.random.Generator) -> np.ndarray:
        from PIL import Image, ImageDraw, ImageFont

        height, width = self.image_size
        font = ImageFont.load_default(float(random.uniform(0.5, 0.7) * height))
        image = Image.new("L", (width, height), 255)
        draw = ImageDraw.Draw(image)
        left, top, right, bottom = draw.textbbox((0, 0), word, font=font)
        x, y = (random.uniform(0, max(0, room)) for room in (width - right + left, height - bottom + top))
        draw.text((x - left, y - top), word, fill=int(random.integers(0, 96)), font=font)
        turned = image.rotate(float(random.uniform(-1, 1) * self.rotation), Image.Resampling.BILINEAR, fillcolor=255)
        pixels = np.array(turned)
        where = random.random(pixels.shape) < self.speckles
        pixels[where] = random.integers(0, 256, int(where.sum()))
        return pixels


def _word(random: np.random.Generator, length: int) -> str:
    """Draw a random word of alternating consonants and vowels; either may come first."""
    kinds = (_CONSONANTS, _VOWELS) if random.integers(2) else (_VOWELS, _CONSONANTS)
    return "".join(kinds[place % 2][int(random.integers(len(kinds[place % 2])))] for place in range(length))
