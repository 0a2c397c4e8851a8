"""RepeatVector: repeats a vector as the steps of a sequence."""

from torch import Tensor, nn

from kerascli.foundation.shapes import PositiveInt, TensorSpec
from kerascli.layers.base import Example, Layer, ShapeMismatch, layer
from kerascli.preprocessing.function import Function


@layer(Example(input=(3,), output=(5, 3), config={"n": 5}))
class RepeatVector(Layer):
    """Repeats a vector `n` times, as the steps of a sequence: (N, F) becomes (N, n, F)."""

    takes_integers = True
    moves_values = True

    n: PositiveInt
    """Number of repetitions: the steps of the output."""

    def build(self, x: TensorSpec) -> nn.Module:
        if x.rank != 1:
            raise ShapeMismatch(f"needs vectors (features), got {x}")
        return Function(self._repeated)

    def _repeated(self, x: Tensor) -> Tensor:  # (N, F) -> (N, n, F)
        return x.unsqueeze(1).expand(-1, self.n, -1)
