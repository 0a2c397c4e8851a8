"""LoRA (Hu et al., 2021): layers that train a low-rank update of their kernel, which itself is frozen."""

from dataclasses import replace
from typing import Self

import torch
from pydantic import model_validator
from torch import Tensor

from kerascli.foundation.shapes import PositiveFloat, PositiveInt
from kerascli.layers.base import BaseLayer, ShapeMismatch, WeightedModule
from kerascli.parts.initializers import HeUniform, Zeros


class LowRank(BaseLayer):
    """Mixin with the LoRA arguments of layers with a kernel, which Keras has after all others."""

    lora_rank: PositiveInt | None = None
    """Rank of a trained update of the kernel, which is frozen itself (LoRA; Hu et al., 2021); null: no update."""
    lora_alpha: PositiveFloat | None = None
    """Numerator of the update's scale, lora_alpha / lora_rank; null: lora_rank, a scale of 1."""

    @model_validator(mode="after")
    def _has_a_rank(self) -> Self:
        if self.lora_alpha is not None and self.lora_rank is None:
            raise ValueError("lora_alpha scales the update of LoRA: it needs lora_rank")
        return self


class LowRankModule(WeightedModule):
    """Base class of modules of layers with LoRA, which read their kernel by `adapted`."""

    lora_scale = 0.0
    """Factor of the low-rank update; 0 for a layer without LoRA."""

    def add_lora(self, name: str) -> None:
        """Declare the update's factors if the settings have a rank, and freeze the weight `name`.

        The update starts from 0, since its second factor does. As in Keras, both factors have the weight's regularizer.
        """
        if (rank := self.settings.lora_rank) is None:
            return
        spec = self.weight_specs[name]
        if spec.constraint is not None:
            text = f"has a {name}_constraint, which cannot be combined with LoRA: its {name} is frozen"
            raise ShapeMismatch(text, argument=f"{name}_constraint")
        self.weight_specs[name] = replace(spec, trainable=False)
        factors = {"a": ((*spec.shape[:-1], rank), HeUniform()), "b": ((rank, spec.shape[-1]), Zeros())}
        for factor, (shape, initializer) in factors.items():
            self.add_weight(f"lora_{name}_{factor}", shape, initializer=initializer, regularizer=spec.regularizer)
        self.lora_scale = (self.settings.lora_alpha or rank) / rank

    def adapted(self, name: str) -> Tensor:
        """Return the weight `name`, in torch's layout, with its low-rank update added."""
        weight: Tensor = getattr(self, name)
        if not self.lora_scale:
            return weight
        first, second = (getattr(self, f"lora_{name}_{factor}") for factor in "ab")
        return weight + self.lora_scale * self.weight_specs[name].to_torch(first @ second)

    def merge(self) -> None:
        """Add the low-rank update to the frozen weight, and remove the update.

        Modules of further calls of a shared layer have the same weights, which are merged once.
        """
        factors = [name for name, spec in self.weight_specs.items() if spec.is_of_lora]
        if not factors:
            return
        name = factors[0].removeprefix("lora_").removesuffix("_a")
        if factors[0] in self._parameters:
            with torch.no_grad():
                getattr(self, name).copy_(self.adapted(name))
        for factor in factors:
            self._parameters.pop(factor, None)
            del self.weight_specs[factor]
        self.weight_specs[name] = replace(self.weight_specs[name], trainable=True)
        self.lora_scale = 0.0
