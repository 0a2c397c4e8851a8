"""Weights side by side in one vector: an update is then a few passes over memory, not a few per weight."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from kerascli.parts.base import Constraint

_ALIGNMENT_BYTES = 64
"""Each weight starts on a cache line, which matrix kernels need for their fast paths."""


_CACHED_ELEMENTS = 2**16
"""Elements a thread of the CPU: what all passes of an update can keep in its cache, half the time for large models."""


class Layout(Protocol):
    """What an optimizer must know of a weight: `WeightSpec` of layers has it."""

    @property
    def constraint(self) -> Constraint | None: ...

    def to_keras(self, tensor: Tensor) -> Tensor: ...


NamedWeight = tuple[str, nn.Parameter, Layout]
"""Canonical name (`dense/kernel`), torch's parameter, how Keras sees it."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One weight's place in its vectors."""

    name: str
    parameter: nn.Parameter
    layout: Layout
    start: int
    stop: int

    def of(self, vector: Tensor) -> Tensor:
        """The weight's part of a vector, in torch's shape."""
        return vector[self.start : self.stop].view(self.parameter.shape)

    def keras(self, vector: Tensor) -> Tensor:
        """The weight's part of a vector, in Keras's shape: a view."""
        return self.layout.to_keras(self.of(vector))


class FlatGroup:
    """The weights of one dtype and device. Their parameters become views of `weights`."""

    def __init__(self, named: Sequence[NamedWeight]) -> None:
        first = named[0][1]
        align = _ALIGNMENT_BYTES // first.element_size()
        self.slices: list[Slice] = []
        end = 0
        for name, parameter, layout in named:
            self.slices.append(Slice(name, parameter, layout, end, end + parameter.numel()))
            end += -(-parameter.numel() // align) * align
        self.weights = torch.zeros(end, dtype=first.dtype, device=first.device)
        self.gradient = torch.zeros_like(self.weights)
        self.slots: dict[str, Tensor] = {}
        self._gradient_views = [s.of(self.gradient) for s in self.slices]
        ends = [*(s.start for s in self.slices[1:]), end]
        self._gaps = [self.gradient[s.stop : stop] for s, stop in zip(self.slices, ends, strict=True) if s.stop < stop]
        for s in self.slices:
            s.of(self.weights).copy_(s.parameter.data)
            s.parameter.data = s.of(self.weights)

    def gather(self, gradients: Sequence[Tensor | None]) -> list[Slice]:
        """Copy gradients into the vector; the slices that have one."""
        if self._gaps:  # an update may use the vector up; what lies between weights counts as gradient 0
            torch._foreach_zero_(self._gaps)  # pyright: ignore[reportPrivateImportUsage]
        pairs = list(zip(self._gradient_views, gradients, self.slices, strict=True))
        present = [(view, gradient) for view, gradient, _ in pairs if gradient is not None]
        if present:
            torch._foreach_copy_([view for view, _ in present], [gradient for _, gradient in present])  # pyright: ignore[reportPrivateImportUsage]
        for view, gradient, _ in pairs:
            if gradient is None:
                view.zero_()
        return [s for _, gradient, s in pairs if gradient is not None]

    def runs(self, present: Sequence[Slice]) -> Iterator[tuple[int, int]]:
        """The stretches of the vectors that `present` covers (padding may be), as long as the caches like them."""
        whole = [(0, self.weights.numel())]
        stretches = whole if len(present) == len(self.slices) else [(s.start, s.stop) for s in present]
        longest = _CACHED_ELEMENTS * torch.get_num_threads() if self.weights.is_cpu else self.weights.numel()
        for start, stop in stretches:
            for first in range(start, stop, longest):
                yield first, min(first + longest, stop)


def grouped(named: Sequence[NamedWeight]) -> list[list[int]]:
    """Positions of the weights by dtype and device."""
    groups: dict[tuple[torch.dtype, torch.device], list[int]] = {}
    for position, (_, parameter, _) in enumerate(named):
        groups.setdefault((parameter.dtype, parameter.device), []).append(position)
    return list(groups.values())
