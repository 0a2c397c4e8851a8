"""RandomPosterization: reduces the number of shades."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from torch import Tensor

from kerascli.foundation.shapes import to_tuple
from kerascli.preprocessing.images.base import FactorOperation, Use, operation, uniform
from kerascli.preprocessing.images.color import rescaled

_Bits = Annotated[int, Field(ge=1, le=8)]
Bits = _Bits | Annotated[tuple[_Bits, _Bits], BeforeValidator(to_tuple)]


@operation(Use({"factor": 5}), Use({"factor": [2, 5], "value_range": [0.0, 1.0]}))
class RandomPosterization(FactorOperation):
    """Posterizes images in training: keeps the highest bits of values from 0 to 255 and clears the others.

    Input and output: (N, H, W, C).
    """

    factor: Bits  # pyright: ignore[reportIncompatibleVariableOverride]
    """Number of bits to keep, drawn from 1 to this number minus 1 (1: always 1), or from a to b - 1 for [a, b]."""

    def draw(self, x: Tensor) -> Tensor:
        """Draw the distance between neighbouring shades that are kept: a power of 2."""
        low, high = sorted(self.factor) if isinstance(self.factor, tuple) else (1, self.factor)
        last = max(low, high - 1)
        bits = uniform(x, (low, last + 1)).floor().clamp(max=last)
        return 2 ** (8 - bits)

    def change(self, x: Tensor, drawn: Tensor) -> Tensor:
        shades = rescaled(x, self.value_range, (0, 255)).clamp(0, 255).floor()
        return rescaled((shades / drawn).floor() * drawn, (0, 255), self.value_range)
