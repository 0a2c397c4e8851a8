"""Weights side by side in one vector: an update is then a few passes over memory, not a few per weight."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from kerascli.optimizers.rule import Rule
from kerascli.parts.base import Constraint

_ALIGNMENT_BYTES = 64
"""Each weight starts on a cache line, which matrix kernels need for their fast paths."""


_CACHED_ELEMENTS = 2**17
"""Elements a thread of the CPU: what all passes of an update can keep in its cache, half the time for large models."""


class Layout(Protocol):
    """What an optimizer must know of a weight: `WeightSpec` of layers has it."""

    @property
    def constraint(self) -> Constraint | None: ...

    def to_keras(self, tensor: Tensor) -> Tensor: ...


NamedWeight = tuple[str, nn.Parameter, Layout]
"""Canonical name (`dense/kernel`), torch's parameter, how Keras sees it."""


SlotShape = Callable[[str, tuple[int, ...]], tuple[int, ...] | None]
"""(a weight's name, its shape in Keras) -> the shape of a state of it; None: it has none."""


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


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a group's vectors that is updated in one go, and its gradient."""

    weights: Tensor
    slots: dict[str, Tensor]
    gradient: Tensor


class FlatGroup:
    """The weights of one dtype and device. Their parameters become views of `weights`.

    With `own_gradient`, gradients are copied into one vector, which may be written to. Without, each weight is
    updated straight from its own, which may not: autograd hands the same tensor out twice.
    """

    def __init__(self, named: Sequence[NamedWeight], *, own_gradient: bool) -> None:
        first = named[0][1]
        align = _ALIGNMENT_BYTES // first.element_size()
        self.slices: list[Slice] = []
        end = 0
        for name, parameter, layout in named:
            self.slices.append(Slice(name, parameter, layout, end, end + parameter.numel()))
            end += -(-parameter.numel() // align) * align
        self.weights = torch.zeros(end, dtype=first.dtype, device=first.device)
        self.gradient = torch.zeros_like(self.weights) if own_gradient else None
        self.slots: dict[str, Tensor] = {}
        """The state vectors, by name ..."""
        self.state: dict[str, dict[str, Tensor]] = {s.name: {} for s in self.slices}
        """... and each weight's parts of them, in Keras's layout: views."""
        self.present: list[Slice] = []
        """The weights that have a gradient in this step."""
        self.given: list[Tensor] = []
        """Their gradients, or the one vector."""
        self.rule: Rule | None = None
        """Updates the whole vectors, faster than the optimizer's own."""
        self._views: dict[tuple[int, int], tuple[Tensor, dict[str, Tensor]]] = {}
        self._own = [] if self.gradient is None else [s.of(self.gradient) for s in self.slices]
        for s in self.slices:
            s.of(self.weights).copy_(s.parameter.data)
            s.parameter.data = s.of(self.weights)

    def add_slot(self, slot: str, start: float | None = 0.0, shape_of: SlotShape | None = None) -> None:
        """A state vector filled with `start`, or with the weights (None). `shape_of` says how its parts are shaped."""
        own = {s.name: tuple(s.keras(self.weights).shape) for s in self.slices}
        shapes = {name: shape_of(name, shape) if shape_of else shape for name, shape in own.items()}
        if shapes == own:
            vector = self.weights.clone() if start is None else torch.full_like(self.weights, start)
            views = {s.name: s.keras(vector) for s in self.slices}
        else:
            known = {name: shape for name, shape in shapes.items() if shape is not None}
            sizes = [math.prod(shape) for shape in known.values()]
            assert start is not None, "only a state of the weights' own shapes can start as they do"
            vector = self.weights.new_full((sum(sizes),), start)
            views = {n: part.view(known[n]) for n, part in zip(known, vector.split(sizes), strict=True)}
        self.slots[slot] = vector
        for name, view in views.items():
            self.state[name][slot] = view

    def take(self, gradients: Sequence[Tensor | None]) -> None:
        """Note the gradients of a step, in the order of the weights; None: the weight is left alone."""
        there = [i for i, gradient in enumerate(gradients) if gradient is not None]
        self.present = [self.slices[i] for i in there]
        self.given = [gradient for gradient in gradients if gradient is not None]
        if self.gradient is None:
            return
        if len(there) < len(self.slices):
            self.gradient.zero_()
        if there:
            own = [self._own[i] for i in there]
            torch._foreach_copy_(own, self.given)  # pyright: ignore[reportPrivateImportUsage]
        self.given = [self.gradient]

    @property
    def is_complete(self) -> bool:
        """Whether every weight has a gradient in this step."""
        return len(self.present) == len(self.slices)

    def stretches(self) -> Iterator[Stretch]:
        """All that is to be updated, in parts as long as the caches like them."""
        if self.gradient is None:
            parts = [(s.start, g.reshape(-1)) for s, g in zip(self.present, self.given, strict=True)]
        elif self.is_complete:
            parts = [(0, self.gradient)]
        else:
            parts = [(s.start, self.gradient[s.start : s.stop]) for s in self.present]
        longest = self.weights.numel()
        if self.weights.is_cpu and self.rule is None:
            longest = _CACHED_ELEMENTS * torch.get_num_threads()
        for start, gradient in parts:
            for first in range(0, gradient.numel(), longest):
                part = gradient[first : first + longest] if gradient.numel() > longest else gradient
                weights, slots = self._view(start + first, start + first + part.numel())
                yield Stretch(weights, slots, part)

    def _view(self, start: int, stop: int) -> tuple[Tensor, dict[str, Tensor]]:
        """A part of all vectors; made once, since making a view takes as long as updating a small weight."""
        if (start, stop) not in self._views:
            slots = {slot: vector[start:stop] for slot, vector in self.slots.items()}
            self._views[start, stop] = (self.weights[start:stop], slots)
        return self._views[start, stop]


def grouped(named: Sequence[NamedWeight]) -> list[list[int]]:
    """Positions of the weights by dtype and device."""
    groups: dict[tuple[torch.dtype, torch.device], list[int]] = {}
    for position, (_, parameter, _) in enumerate(named):
        groups.setdefault((parameter.dtype, parameter.device), []).append(position)
    return list(groups.values())
