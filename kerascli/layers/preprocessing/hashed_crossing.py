"""HashedCrossing as a layer: of whole numbers, since tensors hold no words."""

import torch
from torch import Tensor, nn

from kerascli.layers.base import Example, MergeLayer, ShapeMismatch, layer
from kerascli.layers.preprocessing.hashing import IN_DATA
from kerascli.preprocessing.categories import encode_tensor
from kerascli.preprocessing.hashed import HashedCrossingSettings
from kerascli.preprocessing.hashing_tensors import crossed_of
from kerascli.shapes import TensorSpec


@layer(
    Example(input=[(1,), (1,)], output=(1,), config={"num_bins": 10}, dtype="int64"),
    Example(input=[(), (), ()], output=(6,), config={"num_bins": 6, "output_mode": "one_hot"}, dtype="int64"),
)
class HashedCrossing(HashedCrossingSettings, MergeLayer):
    """Replaces the whole numbers of several inputs, together, by one hash, the same number as Keras's."""

    takes_integers = True

    def build(self, xs: tuple[TensorSpec, ...]) -> nn.Module:
        if any(not x.is_integer for x in xs):
            raise ShapeMismatch(f"needs whole numbers, got {' and '.join(x.dtype for x in xs)}", hint=IN_DATA)
        if len({x.shape for x in xs}) > 1 or xs[0].shape not in ((), (1,)):
            raise ShapeMismatch(f"needs inputs of one number each, got {' and '.join(map(str, xs))}")
        return HashedCrossingModule(self)


class HashedCrossingModule(nn.Module):
    def __init__(self, settings: HashedCrossing) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, *xs: Tensor) -> Tensor:  # each (N,) or (N, 1) -> the same, or (N, num_bins)
        bins = crossed_of(xs, self.settings.num_bins)
        return encode_tensor(bins, self.settings.output_mode, self.settings.num_bins, torch.get_default_dtype())
