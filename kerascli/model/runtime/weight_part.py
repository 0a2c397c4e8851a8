"""Part of a weight that this process holds, if FSDP divides the model's weights (DTensor)."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True)
class WeightPart:
    """Range of a weight's rows that a process holds: `start` to `stop` of `size`, along the first axis in torch."""

    start: int
    stop: int
    size: int

    def of(self, whole: Tensor) -> Tensor:
        """Return the part of a whole weight, in torch's layout, as a view."""
        return whole[self.start : self.stop]


def part_of(tensor: Tensor) -> WeightPart | None:
    """Return the range of a parameter's rows that this process holds; None if it holds the whole parameter.

    As `torch.chunk` has it, all parts but the last ones have equal size, and the last ones may be empty.
    """
    mesh: Any = getattr(tensor, "device_mesh", None)
    if mesh is None:
        return None
    size = tensor.shape[0]
    rows = -(-size // mesh.size())
    start = min(mesh.get_local_rank() * rows, size)
    return WeightPart(start, min(start + rows, size), size)


def held(tensor: Tensor) -> Tensor:
    """Return the values of a parameter that this process holds, without a copy and detached from autograd."""
    values: Any = tensor.detach()
    return values if part_of(tensor) is None else values.to_local()


def gathered(tensor: Tensor) -> Tensor:
    """Return all values of a parameter, detached from autograd; every process must call it, to give its part."""
    values: Any = tensor.detach()
    return values if part_of(tensor) is None else values.full_tensor()
