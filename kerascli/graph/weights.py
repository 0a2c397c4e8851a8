"""The weights of a graph: named as in Keras, created on the meta device, filled once."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kerascli.draws import key_seed
from kerascli.layers.base import WeightedModule, WeightSpec


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight of a model: `name` is its path in Keras (`dense_1/kernel`)."""

    name: str
    spec: WeightSpec
    owner: WeightedModule
    trainable: bool

    @property
    def tensor(self) -> Tensor:
        """The parameter or buffer as it is now, in torch's layout."""
        return getattr(self.owner, self.spec.name)

    def keras(self) -> Tensor:
        """The same numbers in Keras's layout, as a view."""
        return self.spec.to_keras(self.tensor.detach())

    def assign(self, values: Tensor) -> None:
        """Store values given in Keras's layout."""
        with torch.no_grad():
            self.tensor.copy_(self.spec.to_torch(values))

    @property
    def count(self) -> int:
        return math.prod(self.spec.shape)


@dataclass(frozen=True, slots=True)
class Made:
    """What building goes by beside shapes."""

    batch_size: int | None
    """How many rows a batch has, for layers that keep states."""
    owners: dict[str, nn.Module] = field(default_factory=dict)
    """The first module with the weights of a name."""


class NodesModule(WeightedModule):
    """A node's module that runs nodes of its own, which may share their weights with others.

    Its forward takes `updates`, the new values of weights by full name so far, and returns such.
    """

    def __init__(self, nodes: Mapping[str, nn.Module], owners: Sequence[tuple[str, bool]]) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(nodes.values())
        self.owners = tuple(owners)
        """For each node what its weights are named by, and whether they are trained."""


def names_of(module: nn.Module, name: str) -> set[str]:
    """What the weights of a node's module are named by: `name`, and the names of the nodes inside of it."""
    inner = zip(module.nodes, module.owners, strict=True) if isinstance(module, NodesModule) else ()
    return {name}.union(*(names_of(node, owner) for node, (owner, _) in inner))


def weights_of(module: nn.Module, prefix: str, *, trainable: bool) -> Iterator[Weight]:
    """The weights declared in a node's module, in order of declaration."""
    if isinstance(module, NodesModule):
        for spec in module.weight_specs.values():
            yield Weight(f"{prefix}/{spec.name}", spec, module, trainable and spec.trainable)
        for node, (owner, trained) in zip(module.nodes, module.owners, strict=True):
            yield from weights_of(node, owner, trainable=trainable and trained)
        return
    for path, inner in module.named_modules():
        if not isinstance(inner, WeightedModule):
            continue
        for name, spec in inner.weight_specs.items():
            full = "/".join(part for part in (prefix, path.replace(".", "/"), name) if part)
            yield Weight(full, spec, inner, trainable and spec.trainable)


def materialize(module: nn.Module, weights: list[Weight], *, seed: int, device: torch.device) -> None:
    """Give a module on the meta device memory on `device`, and every weight its first value.

    A weight's numbers depend on (seed, its name) alone, and are the same on every device.
    """
    declared = {id(weight.tensor) for weight in weights}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        assert id(tensor) in declared or not tensor.is_meta, f"'{name}' is a tensor that no add_weight declared"
    module.to_empty(device=device)
    for weight in weights:
        weight.assign(initial_value(weight, seed))
        if isinstance(weight.tensor, nn.Parameter):
            weight.tensor.requires_grad_(weight.trainable)


def initial_value(weight: Weight, seed: int) -> Tensor:
    """What a new weight is filled with, in Keras's layout, on the CPU."""
    generator = torch.Generator().manual_seed(key_seed(f"{seed}/weights/{weight.name}"))
    dtype = weight.spec.dtype or weight.tensor.dtype
    return weight.spec.initializer(weight.spec.shape, dtype=dtype, generator=generator)
