"""A few weights with an optimizer, in Keras's layout."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.optimizers.apply import FlatOptimizer
from kerascli.optimizers.base import OPTIMIZERS
from kerascli.parts.base import Constraint

FINE = torch.zeros(())
SHAPES = {"a/kernel": (3, 4), "a/bias": (4,), "b/kernel": (2, 2, 3, 5), "b/scale": (), "c/embeddings": (3, 4)}
AXES: dict[str, tuple[int, ...]] = {"a/kernel": (1, 0), "b/kernel": (3, 2, 0, 1)}


@dataclass(frozen=True)
class Layout:
    """Layout of a weight, as an optimizer uses a layer's WeightSpec."""

    axes: tuple[int, ...] | None = None
    constraint: Constraint | None = None

    def to_torch(self, weight: Tensor) -> Tensor:
        return weight if self.axes is None else weight.permute(self.axes)

    def to_keras(self, tensor: Tensor) -> Tensor:
        return tensor if self.axes is None else tensor.permute(list(np.argsort(self.axes)))


class Ours:
    """Weights of SHAPES with an optimizer, in Keras's layout."""

    def __init__(
        self,
        written: Any,
        *,
        dtype: torch.dtype = torch.float64,
        constraint: Constraint | None = None,
        linked: "Ours | None" = None,
    ):
        self.layouts = {name: Layout(AXES.get(name), constraint if name == "a/kernel" else None) for name in SHAPES}
        self.parameters = [
            nn.Parameter(self.layouts[n].to_torch(torch.from_numpy(value)).to(dtype).contiguous())
            for n, value in first_weights().items()
        ]
        named = list(zip(SHAPES, self.parameters, self.layouts.values(), strict=True))
        self.optimizer = FlatOptimizer(OPTIMIZERS.parse(written), named, linked and linked.optimizer)

    def step(self, gradients: list[np.ndarray], loss: Tensor = FINE) -> None:
        layouts = self.layouts.values()
        self.optimizer.apply(
            [
                layout.to_torch(torch.from_numpy(g)).to(p)
                for layout, g, p in zip(layouts, gradients, self.parameters, strict=True)
            ],
            loss=loss,
        )

    def weights(self) -> list[np.ndarray]:
        pairs = zip(self.layouts.values(), self.parameters, strict=True)
        return [layout.to_keras(p.detach()).numpy().copy() for layout, p in pairs]


def first_weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {name: np.asarray(random.normal(size=shape)) for name, shape in SHAPES.items()}


def gradients_of(weights: list[np.ndarray], step: int) -> list[np.ndarray]:
    """Return gradients of a noisy quadratic: they depend on the weights, so that errors accumulate."""
    random = np.random.default_rng(100 + step)
    return [np.asarray(0.5 * w + random.normal(size=w.shape)) for w in weights]


def first_weights_list() -> list[np.ndarray]:
    return list(first_weights().values())
