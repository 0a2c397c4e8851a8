"""Random inputs of a model: what an exported file is compared on."""

from collections.abc import Mapping

import torch
from torch import Tensor

from kerascli.graph.model import Model

_OPEN_SIZE = 12
"""What a size that is not known is taken for."""
_LIMITS = ("input_dim", "num_tokens", "num_classes", "num_bins")
"""Settings of layers that say which numbers they take."""


def sample_inputs(model: Model, rows: int, *, seed: int = 0) -> dict[str, Tensor]:
    """Normal numbers, and whole ones that the layers on an input have a place for. The same in every call."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for name, dtype, shape in (
        (given.name, getattr(torch, given.spec.dtype), given.spec.shape) for given in model.inputs
    ):
        sizes = (rows, *(_OPEN_SIZE if size is None else size for size in shape))
        if dtype.is_floating_point:
            found[name] = torch.randn(sizes, generator=generator).to(dtype)
        else:
            high = 2 if dtype == torch.bool else _limits(model).get(name, 2)
            found[name] = torch.randint(0, high, sizes, generator=generator).to(dtype)
    return found


def _limits(model: Model) -> Mapping[str, int]:
    """By tensor, how many numbers every layer called on it has a place for; through layers without settings, too."""
    limits: dict[str, int] = {}
    for node in reversed(model.nodes):
        own = [getattr(node.layer, name, None) for name in _LIMITS]
        high = min((n for n in [*own, *(limits.get(o) for o in node.outputs)] if isinstance(n, int)), default=None)
        if high is not None:
            for name in node.inputs:
                limits[name] = min(high, limits.get(name, high))
    return limits
