"""Hashing and HashedCrossing: settings and modules of the layers and the transforms."""

from typing import Annotated, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from kerascli.foundation.shapes import PositiveInt
from kerascli.language.component import Component
from kerascli.preprocessing.categories import ENCODED, Dense, OutputMode, encode_tensor
from kerascli.preprocessing.hashing import Salt
from kerascli.preprocessing.hashing_tensors import buckets_of, crossed_of


class HashingSettings(Component):
    """Settings that the layer and the transform `hashing` share; both hash one column or tensor."""

    num_bins: PositiveInt
    """Number of bins, including the bin 0 of `mask_value`, if given."""
    mask_value: int | str | None = None
    """Value whose bin index is 0; all other values then get 1 or more. null: no such value."""
    salt: Salt | None = None
    """Key of SipHash, two integers or one for both; null: FarmHash."""
    output_mode: OutputMode = "int"
    sparse: Dense = False

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.mask_value is not None and self.num_bins < 2:
            raise ValueError("num_bins: must be at least 2 with a mask_value")
        return self


class HashedCrossingSettings(Component):
    """Settings that the layer and the transform `hashed_crossing` share; they hash several columns together."""

    num_bins: PositiveInt
    """Number of hash bins."""
    output_mode: Annotated[Literal["int", "one_hot"], ENCODED] = "int"
    sparse: Dense = False


class HashingModule(nn.Module):
    def __init__(self, settings: HashingSettings, mask: int | None) -> None:
        super().__init__()
        self.settings, self.mask = settings, mask

    def forward(self, x: Tensor) -> Tensor:  # (N, *) -> (N, *) or (N, *, num_bins)
        settings, mask = self.settings, self.mask
        bins = buckets_of(x, settings.num_bins - int(mask is not None), settings.salt)
        if mask is not None:
            bins = torch.where(x == mask, 0, bins + 1)
        return encode_tensor(bins, settings.output_mode, settings.num_bins, torch.get_default_dtype())


class HashedCrossingModule(nn.Module):
    def __init__(self, settings: HashedCrossingSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, *xs: Tensor) -> Tensor:  # each (N,) or (N, 1) -> the same, or (N, num_bins)
        bins = crossed_of(xs, self.settings.num_bins)
        return encode_tensor(bins, self.settings.output_mode, self.settings.num_bins, torch.get_default_dtype())
