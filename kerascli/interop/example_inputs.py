"""Random input tensors for a model, on which the outputs of the exported file are compared with the model's."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from kerascli.language.component import Invalid
from kerascli.model.inference.build import build
from kerascli.model.ir.nodes import Model

_OPEN_SIZES = (12, 24, 48, 96, 192, 384, 720)
"""Sizes to try, in order, for an unknown dimension of an input; the last is the smaller of the two sizes that shape
inference uses."""
_LIMITS = ("input_dim", "num_tokens", "num_classes", "num_bins")
"""Names of layer arguments whose value is the exclusive upper bound of the layer's integer inputs."""


def sample_inputs(model: Model, rows: int, *, seed: int = 0) -> dict[str, Tensor]:
    """Return `rows` random rows for each model input, by name: normal floats, or integers that its layers accept."""
    unknown = open_size(model)
    generator = torch.Generator().manual_seed(seed)
    samples: dict[str, Tensor] = {}
    for name, dtype, shape in ((each.name, getattr(torch, each.spec.dtype), each.spec.shape) for each in model.inputs):
        sizes = (rows, *(unknown if size is None else size for size in shape))
        if dtype.is_floating_point:
            samples[name] = torch.randn(sizes, generator=generator).to(dtype)
        else:
            high = 2 if dtype == torch.bool else _limits(model).get(name, 2)
            samples[name] = torch.randint(0, high, sizes, generator=generator).to(dtype)
    return samples


def open_size(model: Model) -> int:
    """Return a size for unknown dimensions of a model's inputs: the first in `_OPEN_SIZES` that all layers accept."""
    if all(None not in each.spec.shape for each in model.inputs):
        return _OPEN_SIZES[0]
    for size in _OPEN_SIZES[:-1]:
        shapes = [tuple(size if own is None else own for own in each.spec.shape) for each in model.inputs]
        inputs = [replace(i, spec=replace(i.spec, shape=shape)) for i, shape in zip(model.inputs, shapes, strict=True)]
        try:
            specs = build(replace(model, inputs=tuple(inputs))).specs
        except Invalid:  # such as a window larger than its input
            continue
        if all(0 not in spec.shape for spec in specs.values()):
            return size
    return _OPEN_SIZES[-1]


def _limits(model: Model) -> Mapping[str, int]:
    """Return a mapping from tensor name to the exclusive upper bound of its integers: the lowest among layers that it
    leads to."""
    limits: dict[str, int] = {}
    for node in reversed(model.nodes):
        own = [getattr(node.layer, name, None) for name in _LIMITS]
        high = min((n for n in [*own, *(limits.get(o) for o in node.outputs)] if isinstance(n, int)), default=None)
        if high is not None:
            for name in node.inputs:
                limits[name] = min(high, limits.get(name, high))
    return limits
