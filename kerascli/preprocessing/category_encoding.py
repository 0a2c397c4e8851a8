"""CategoryEncoding: settings and module that convert category ids to vectors over all categories."""

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from kerascli.foundation.shapes import PositiveInt
from kerascli.language.component import Component
from kerascli.preprocessing.categories import ENCODED, Dense, encode_tensor


class CategoryEncodingSettings(Component):
    """Settings that the layer and the transform `category_encoding` share."""

    num_tokens: PositiveInt
    """Number of categories; ids are 0 to num_tokens - 1."""
    output_mode: Annotated[Literal["one_hot", "multi_hot", "count"], ENCODED] = "multi_hot"
    sparse: Dense = False


class CategoryEncodingModule(nn.Module):
    """Module that encodes category ids, for the layer and the transform; its output has `dtype` (None: the model's)."""

    def __init__(self, settings: CategoryEncodingSettings, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.size, self.mode, self.dtype = settings.num_tokens, settings.output_mode, dtype

    def forward(self, x: Tensor, count_weights: Tensor | None = None) -> Tensor:  # (N, *) -> (N, *, num_tokens)
        return encode_tensor(x, self.mode, self.size, self.dtype or torch.get_default_dtype(), count_weights)
