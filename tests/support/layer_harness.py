"""Layers outside a graph: build on meta, allocate, set weights in Keras's layout, run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.foundation import draws
from kerascli.foundation.shapes import Shape, TensorSpec
from kerascli.layers.base import (
    LAYERS,
    BaseLayer,
    Example,
    Outcome,
    WeightedModule,
)
from kerascli.layers.weight_spec import WeightSpec


def make(layer: BaseLayer, *specs: TensorSpec) -> nn.Module:
    """Return the layer's module on the meta device."""
    with torch.device("meta"):
        return layer.build_for(specs)


def parse(name: str, config: Mapping[str, Any] | None = None) -> BaseLayer:
    return LAYERS.parse({name: dict(config)} if config else name)


def weights(module: nn.Module) -> Iterator[tuple[WeightedModule, WeightSpec]]:
    """Return all declared weights, in order of declaration."""
    for inner in module.modules():
        if isinstance(inner, WeightedModule):
            for spec in inner.weight_specs.values():
                yield inner, spec


def materialise(module: nn.Module, *, dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Module:
    """Allocate the module, and initialize its weights."""
    module.to_empty(device="cpu").to(dtype)
    generator = torch.Generator().manual_seed(seed)
    for owner, spec in weights(module):
        values = spec.initializer(spec.shape, dtype=dtype, generator=generator)
        set_weight(owner, spec, values)
    return module


def set_weight(owner: WeightedModule, spec: WeightSpec, values: Tensor) -> None:
    with torch.no_grad():
        getattr(owner, spec.name).copy_(spec.to_torch(values))


def set_weights(module: nn.Module, arrays: Sequence[np.ndarray]) -> None:
    """Set the module's weights from Keras's `get_weights()`."""
    for (owner, spec), array in zip(weights(module), arrays, strict=True):
        set_weight(owner, spec, torch.from_numpy(array))


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """Return the gradients of weights that have one, by name, in Keras's layout."""
    found = {spec.name: (spec, getattr(owner, spec.name).grad) for owner, spec in weights(module)}
    return {name: spec.to_keras(grad) for name, (spec, grad) in found.items() if grad is not None}


def call(module: nn.Module, *xs: Tensor, seed: int = 0, **arguments: Any) -> Any:
    """Return the module's output; draws are keyed by `seed`."""
    with draws.using(draws.Draws(seed, "test", 0)):
        result = module(*xs, **arguments)
    return result.value if isinstance(result, Outcome) else result


def shapes_of(given: Shape | list[Shape]) -> list[Shape]:
    return given if isinstance(given, list) else [given]


def results_of(cls: type[BaseLayer], example: Example, batch: int) -> list[Shape]:
    """Return the output shapes, with batch axis, of the layer's example."""
    first = () if cls.call_form == "none" else (batch,)
    return [(*first, *shape) for shape in shapes_of(example.output)]


def specs_of(example: Example) -> list[TensorSpec]:
    return [TensorSpec(shape, example.dtype) for shape in shapes_of(example.input)]


def call_of(example: Example, batch: int, *, dtype: torch.dtype = torch.float32) -> dict[str, list[Tensor]]:
    """Return random call arguments of the example's shapes."""
    generator = torch.Generator().manual_seed(2)
    return {
        argument: [torch.randn(batch, *shape, generator=generator, dtype=dtype) for shape in shapes]  # type: ignore[arg-type]
        for argument, shapes in example.call.items()
    }


def inputs_of(example: Example, batch: int, *, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Return random inputs of the example's shapes."""
    generator = torch.Generator().manual_seed(1)
    if example.dtype.startswith("int"):
        return [
            torch.randint(0, example.high, (batch, *map(int, shape)), generator=generator)  # type: ignore[arg-type]
            for shape in shapes_of(example.input)
        ]
    return [
        torch.randn(batch, *shape, generator=generator, dtype=dtype)  # type: ignore[arg-type]
        for shape in shapes_of(example.input)
    ]
