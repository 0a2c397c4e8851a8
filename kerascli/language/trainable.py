"""Values of `fit.trainable`: the layers of a pattern are trained, frozen, or trained by LoRA (Hu et al., 2021)."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag, WithJsonSchema

from kerascli.foundation.shapes import PositiveFloat, PositiveInt
from kerascli.language.section import BaseSection, parse_section


class LoRA(BaseSection):
    """Settings of `lora` in `fit.trainable`: the `lora_rank` and `lora_alpha` of all layers of a pattern."""

    title = "lora"

    rank: PositiveInt
    """Rank of the update: the number of columns of its first factor."""
    alpha: PositiveFloat | None = None
    """Numerator of the update's scale, alpha / rank; null: the rank, a scale of 1."""


class TrainedByLoRA(BaseSection):
    """Value of a pattern in `fit.trainable` whose layers are trained by LoRA."""

    title = "trainable"

    lora: Annotated[LoRA, BeforeValidator(lambda value: _parsed(LoRA, value))]
    """Rank and scale of the low-rank updates."""
    trainable: bool = True
    """Train the updates; false: they are frozen, as the kernels are."""


def _parsed(cls: type[BaseSection], value: Any) -> Any:
    return parse_section(cls, value, ()) if isinstance(value, dict) else value


Trainable = Annotated[
    Annotated[bool, Tag("bool")] | Annotated[TrainedByLoRA, Tag("lora")],
    Discriminator(lambda value: "lora" if isinstance(value, TrainedByLoRA) else "bool"),
    BeforeValidator(lambda value: _parsed(TrainedByLoRA, value)),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "object"}]}),
]
"""Type of a value of `fit.trainable`: True (train), False (freeze), or LoRA."""
