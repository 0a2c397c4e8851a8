"""CategoryEncoding: numbers of categories to vectors over all of them."""

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from kerascli.component import Component
from kerascli.preprocessing.categories import ENCODED, Dense, encode_tensor
from kerascli.shapes import PositiveInt


class CategoryEncodingSettings(Component):
    """The settings, for the layer and the transform."""

    num_tokens: PositiveInt
    """How many categories there are; numbers go from 0 to num_tokens - 1."""
    output_mode: Annotated[Literal["one_hot", "multi_hot", "count"], ENCODED] = "multi_hot"
    sparse: Dense = False


class CategoryEncodingModule(nn.Module):
    """Gives floats; `dtype` None: the model's."""

    def __init__(self, settings: CategoryEncodingSettings, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.size, self.mode, self.dtype = settings.num_tokens, settings.output_mode, dtype

    def forward(self, x: Tensor, count_weights: Tensor | None = None) -> Tensor:  # (N, *) -> (N, *, num_tokens)
        return encode_tensor(x, self.mode, self.size, self.dtype or torch.get_default_dtype(), count_weights)
