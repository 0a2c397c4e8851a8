"""Activations, initializers, regularizers and constraints, by name."""

from typing import Any

import torch
from torch import Tensor

from kerascli.language.component import Registry
from kerascli.parts.base import INITIALIZERS

FLOAT64 = torch.float64


def parse(registry: Registry[Any], name: str, config: dict[str, Any] | None = None) -> Any:
    return registry.parse({name: config} if config else name)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=FLOAT64, generator=torch.Generator().manual_seed(seed))


def fill(name: str, shape: tuple[int, ...], config: dict[str, Any] | None = None, *, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return parse(INITIALIZERS, name, config)(shape, dtype=FLOAT64, generator=generator)
