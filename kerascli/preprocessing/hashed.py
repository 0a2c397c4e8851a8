"""Hashing and HashedCrossing: their settings, for the layers and the transforms."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from kerascli.component import Component
from kerascli.preprocessing.categories import ENCODED, Dense, OutputMode
from kerascli.preprocessing.hashing import Salt
from kerascli.shapes import PositiveInt


class HashingSettings(Component):
    """Of one column, or one tensor."""

    num_bins: PositiveInt
    """How many numbers there are, that of the mask included."""
    mask_value: int | str | None = None
    """What becomes 0, which nothing else then becomes."""
    salt: Salt | None = None
    """Hash by SipHash with this key (two numbers, or one that is both); null: by FarmHash."""
    output_mode: OutputMode = "int"
    sparse: Dense = False

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.mask_value is not None and self.num_bins < 2:
            raise ValueError("num_bins: with a mask_value expected at least 2")
        return self


class HashedCrossingSettings(Component):
    """Of several together."""

    num_bins: PositiveInt
    """How many numbers there are."""
    output_mode: Annotated[Literal["int", "one_hot"], ENCODED] = "int"
    sparse: Dense = False
