"""Weights of a model: named as in Keras, created on the meta device, initialized once; parts of them with FSDP."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kerascli.foundation.draws import key_seed
from kerascli.foundation.errors import FileRefused, safe_text
from kerascli.foundation.light_torch import without_compiler
from kerascli.layers.base import WeightedModule
from kerascli.layers.weight_spec import WeightSpec


@dataclass(frozen=True, slots=True)
class WeightPart:
    """Part of a weight that a process holds with FSDP: rows `start` to `stop` of `size`, along the first torch axis."""

    start: int
    stop: int
    size: int

    def of(self, whole: Tensor) -> Tensor:
        """Return the part of a whole weight, in torch's layout, within this range of rows, as a view."""
        return whole[self.start : self.stop]


def part_of(tensor: Tensor) -> WeightPart | None:
    """Return the range of a parameter's rows that this process holds with FSDP; None if it holds the whole parameter.

    As with `torch.chunk`, all parts but the last ones have equal size, and the last ones may be empty.
    """
    mesh: Any = getattr(tensor, "device_mesh", None)
    if mesh is None:
        return None
    size = tensor.shape[0]
    rows = -(-size // mesh.size())
    start = min(mesh.get_local_rank() * rows, size)
    return WeightPart(start, min(start + rows, size), size)


def held(tensor: Tensor) -> Tensor:
    """Return the values of a parameter, or the part that this process holds with FSDP, detached, without a copy."""
    values: Any = tensor.detach()
    return values if part_of(tensor) is None else values.to_local()


def gathered(tensor: Tensor) -> Tensor:
    """Return all values of a parameter, detached; with FSDP, every process must call it, to give its part."""
    values: Any = tensor.detach()
    return values if part_of(tensor) is None else values.full_tensor()


@dataclass(frozen=True, slots=True)
class Weight:
    """Weight of a model: `name` is its path in Keras (`dense_1/kernel`), `owner` the module that has the tensor."""

    name: str
    spec: WeightSpec
    """Declaration of the weight by its module: shape, initializer, layout in Keras ..."""
    owner: nn.Module
    trainable: bool

    @property
    def tensor(self) -> Tensor:
        """Parameter or buffer with the current values of the weight, in torch's layout."""
        return getattr(self.owner, self.spec.name)

    @property
    def part(self) -> WeightPart | None:
        """Range of the weight's rows that this process holds, if FSDP divides it; None: the whole weight."""
        return part_of(self.tensor)

    def keras(self) -> Tensor:
        """Return the weight's values (with FSDP, those that this process holds) in Keras's layout, as a view."""
        return self.spec.to_keras(held(self.tensor))

    def whole(self) -> Tensor:
        """Return all values of the weight in Keras's layout; with FSDP, every process must call it."""
        return self.spec.to_keras(gathered(self.tensor))

    def assign(self, values: Tensor) -> None:
        """Set the weight to `values` in Keras's layout: of the whole weight, or of the part that this process holds."""
        with torch.no_grad():
            held(self.tensor).copy_(self.own(self.spec.to_torch(values)))

    def own(self, values: Tensor) -> Tensor:
        """Return the part of `values`, in torch's layout, that this process holds with FSDP; else all of them.

        `values` are those of the whole weight; those of the part alone are returned unchanged.
        """
        part = self.part
        return values if part is None or values.shape == held(self.tensor).shape else part.of(values)

    def take(self, values: Tensor) -> None:
        """Set the weight to values in Keras's layout that were read from a file.

        Raises FileRefused if a value is not finite in the weight's dtype.
        """
        self.assign(finite_as(values, self.tensor.dtype, f"weight '{safe_text(self.name)}'"))

    @property
    def count(self) -> int:
        return math.prod(self.spec.shape)


def finite_as(values: Tensor, dtype: torch.dtype, what: str) -> Tensor:
    """Return values read from a file, cast to `dtype`. Raises FileRefused if any is, or becomes, NaN or infinite.

    `what` names the values in the error.
    """
    converted = values.to(dtype)
    if converted.is_floating_point() and not converted.isfinite().all():
        value = float(values.flatten()[int((~converted.isfinite()).flatten().int().argmax())])
        if math.isfinite(value):
            raise FileRefused(f"{what} holds {value:g}, which is too large for {str(dtype).removeprefix('torch.')}")
        raise FileRefused(f"{what} is not finite: the file holds nan or infinite numbers")
    return converted


def weights_of(module: nn.Module, prefix: str, *, trainable: bool) -> Iterator[Weight]:
    """Yield the weights declared in a node's module, in order of declaration; their names begin with `prefix`.

    Without `trainable`, the node's layer is frozen, and none of its weights is trained.
    """
    for path, inner in module.named_modules():
        if not isinstance(inner, WeightedModule):
            continue
        for name, spec in inner.weight_specs.items():
            full = "/".join(part for part in (prefix, path.replace(".", "/"), name) if part)
            yield Weight(full, spec, inner, trainable and spec.trainable)


def lasting(weights: Iterable[Weight]) -> list[Weight]:
    """Return weights without those that are states of stateful layers, kept between batches."""
    return [weight for weight in weights if not weight.spec.is_state]


@without_compiler()
def materialize(
    module: nn.Module, weights: list[Weight], *, seed: int, device: torch.device, initialize: bool = True
) -> None:
    """Move a model from the meta device to `device`: allocate its tensors, and initialize its weights.

    The values of a weight depend on the seed and its name only, and are the same on every device. Without `initialize`
    the values are undefined, but for states and factors of LoRA.
    """
    declared = {id(weight.tensor) for weight in weights}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        assert id(tensor) in declared or not tensor.is_meta, f"'{name}' is a tensor that no add_weight declared"
    if initialize:
        module.to_empty(device=device)
    else:
        _replace(module, device)
    for weight in weights:
        if initialize or weight.spec.is_state or weight.spec.is_of_lora:
            weight.assign(initial_value(weight, seed))
        if isinstance(weight.tensor, nn.Parameter):
            weight.tensor.requires_grad_(weight.trainable)


def _replace(module: nn.Module, device: torch.device) -> None:
    """Replace a module's parameters and buffers by new ones on `device`, which may be of another class of tensors."""
    made: dict[Tensor, Tensor] = {}  # keeps the old ones: a new one at the address of an old one would pass for it
    for inner in module.modules():
        for name, tensor in (*inner.named_parameters(recurse=False), *inner.named_buffers(recurse=False)):
            if tensor not in made:
                new = torch.empty_like(tensor, device=device)
                made[tensor] = nn.Parameter(new) if isinstance(tensor, nn.Parameter) else new
            setattr(inner, name, made[tensor])


def initial_value(weight: Weight, seed: int) -> Tensor:
    """Return the initial values of a weight for a seed, in Keras's layout, on the CPU."""
    generator = torch.Generator().manual_seed(key_seed(f"{seed}/weights/{weight.name}"))
    dtype = weight.spec.dtype or weight.tensor.dtype
    return weight.spec.initializer(weight.spec.shape, dtype=dtype, generator=generator)
