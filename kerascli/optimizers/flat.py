"""Concatenation of a model's weights to flat vectors, so that an optimizer step takes few passes over memory."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from kerascli.optimizers.rule import Rule
from kerascli.parts.base import Constraint

ALIGNMENT_BYTES = 64
"""Alignment in bytes of each weight in a flat vector: a cache line, which fast paths of matrix kernels need."""

_CACHED_ELEMENTS = 2**17
"""Number of elements per CPU thread in one range of a step: they stay in its cache, which halves large steps' time."""


class Layout(Protocol):
    """Protocol of an object with a weight's constraint and layout in Keras, such as the weight specification of a
    layer."""

    @property
    def constraint(self) -> Constraint | None: ...

    def to_keras(self, tensor: Tensor) -> Tensor: ...


NamedWeight = tuple[str, nn.Parameter, Layout]
"""Type of a named weight: (canonical name (`dense/kernel`), torch parameter, layout in Keras)."""


SlotShape = Callable[[str, tuple[int, ...]], tuple[int, ...] | None]
"""Type of a function (weight's name, Keras shape) -> shape of one of its optimizer states, or None if it has none."""


class Slice(NamedTuple):
    """Position of one weight in the flat vectors of its group (all weights of the same dtype and device)."""

    name: str
    parameter: nn.Parameter
    layout: Layout
    start: int
    stop: int

    def of(self, vector: Tensor) -> Tensor:
        """Return the weight's range of a flat vector, as a view with the shape of the torch parameter."""
        return vector[self.start : self.stop].view(self.parameter.shape)

    def keras(self, vector: Tensor) -> Tensor:
        """Return the weight's range of a flat vector, as a view with the weight's shape in Keras."""
        return self.layout.to_keras(self.of(vector))


class VectorRange(NamedTuple):
    """Range of a weight group's flat vectors (weights, optimizer states, gradient), for one call of the update rule."""

    weights: Tensor
    slots: dict[str, Tensor]
    gradient: Tensor


class FlatGroup:
    """Group of weights of one dtype and device, whose torch parameters become views of the flat vector `weights`.

    With `vector`, the parameters are views of it already. With `own_gradient`, gradients are copied to one vector that
    may be modified. Otherwise each weight is updated directly from its gradient, which must not be modified, since
    autograd can return one tensor for several weights.
    """

    def __init__(self, named: Sequence[NamedWeight], *, own_gradient: bool, vector: Tensor | None = None) -> None:
        first = named[0][1]
        line = ALIGNMENT_BYTES // first.element_size()
        self.slices: list[Slice] = []
        end = 0
        for name, parameter, layout in named:
            self.slices.append(Slice(name, parameter, layout, end, end + parameter.numel()))
            end += -(-parameter.numel() // line) * line  # where the next one starts aligned
        self.weights = first.new_zeros(end) if vector is None else vector
        self.gradient = torch.zeros_like(self.weights) if own_gradient else None
        self.slots: dict[str, Tensor] = {}
        """Mapping from the name of an optimizer state (`momentum` ...) to its flat vector for the group."""
        self.state: dict[str, dict[str, Tensor]] = {s.name: {} for s in self.slices}
        """Mapping from a weight's name to its optimizer states by name: views of flat vectors, in Keras's layout."""
        self.present: list[Slice] = []
        """Positions of the weights that have a gradient in the current step."""
        self.gradients: list[Tensor] = []
        """Gradients of the current step: one for each weight that has one (`present`), or a list of one flat vector
        that holds all of them."""
        self.rule: Rule | None = None
        """Compiled update rule for flat vectors, faster than the optimizer's own `update`; None: not compiled."""
        self._views: dict[tuple[int, int], tuple[Tensor, dict[str, Tensor]]] = {}
        self._own = [] if self.gradient is None else [s.of(self.gradient) for s in self.slices]
        for s in self.slices if vector is None else ():
            s.of(self.weights).copy_(s.parameter.data)
            s.parameter.data = s.of(self.weights)

    def add_slot(self, slot: str, start: float | None = 0.0, shape_of: SlotShape | None = None) -> None:
        """Add an optimizer state vector, filled with the number `start`; None: it starts as a copy of the weights.

        `shape_of` gives the shape of each weight's state; None: that of the weight.
        """
        own = {s.name: tuple(s.keras(self.weights).shape) for s in self.slices}
        shapes = {name: shape_of(name, shape) if shape_of else shape for name, shape in own.items()}
        if shapes == own:
            vector = self.weights.clone() if start is None else torch.full_like(self.weights, start)
            views = {s.name: s.keras(vector) for s in self.slices}
        else:
            sized = {name: shape for name, shape in shapes.items() if shape is not None}
            sizes = [math.prod(shape) for shape in sized.values()]
            assert start is not None, "only a state of the weights' shapes can be initialized with them"
            vector = self.weights.new_full((sum(sizes),), start)
            views = {n: part.view(sized[n]) for n, part in zip(sized, vector.split(sizes), strict=True)}
        self.slots[slot] = vector
        for name, view in views.items():
            self.state[name][slot] = view

    def take(self, gradients: Sequence[Tensor | None]) -> None:
        """Store a step's gradients, in the order of the weights; a weight whose gradient is None is not updated."""
        there = [i for i, gradient in enumerate(gradients) if gradient is not None]
        self.present = [self.slices[i] for i in there]
        self.gradients = [gradient for gradient in gradients if gradient is not None]
        if self.gradient is None:
            return
        if len(there) < len(self.slices):
            self.gradient.zero_()
        if there:
            own = [self._own[i] for i in there]
            torch._foreach_copy_(own, self.gradients)  # pyright: ignore[reportPrivateImportUsage]
        self.gradients = [self.gradient]

    @property
    def is_complete(self) -> bool:
        """True if every weight has a gradient in the current step."""
        return len(self.present) == len(self.slices)

    def ranges(self) -> Iterator[VectorRange]:
        """Yield ranges of the group's weight, state and gradient vectors, which on the CPU fit into its caches."""
        if self.gradient is None:
            parts = [(s.start, g.reshape(-1)) for s, g in zip(self.present, self.gradients, strict=True)]
        elif self.is_complete:
            parts = [(0, self.gradient)]
        else:
            parts = [(s.start, self.gradient[s.start : s.stop]) for s in self.present]
        longest = max(1, self.weights.numel())
        if self.weights.is_cpu and self.rule is None:
            longest = _CACHED_ELEMENTS * torch.get_num_threads()
        for start, gradient in parts:
            for first in range(0, gradient.numel(), longest):
                part = gradient[first : first + longest] if gradient.numel() > longest else gradient
                weights, slots = self._view(start + first, start + first + part.numel())
                yield VectorRange(weights, slots, part)

    def one_by_one(self) -> Iterator[VectorRange]:
        """Yield each weight with its state and gradient, in Keras's shapes, for rules that are not elementwise."""
        assert self.gradient is not None
        for s in self.present:
            yield VectorRange(s.keras(self.weights), self.state[s.name], s.keras(self.gradient))

    def _view(self, start: int, stop: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return views of the group's weight vector and state vectors (a mapping by name) from `start` to `stop`.

        They are cached, since making one takes as long as updating a small weight.
        """
        if (start, stop) not in self._views:
            slots = {slot: vector[start:stop] for slot, vector in self.slots.items()}
            self._views[start, stop] = (self.weights[start:stop], slots)
        return self._views[start, stop]


def grouped(named: Sequence[NamedWeight]) -> list[list[int]]:
    """Return lists of indices into `weights`, one list for each combination of dtype and device."""
    groups: dict[tuple[torch.dtype, torch.device], list[int]] = {}
    for position, (_, parameter, _) in enumerate(named):
        groups.setdefault((parameter.dtype, parameter.device), []).append(position)
    return list(groups.values())
