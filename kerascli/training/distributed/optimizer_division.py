"""Division of an optimizer's state among processes that hold a whole model (ZeRO-1).

Each process updates consecutive rows of the weights, of which it has the sums of gradients and the optimizer's states;
then all get the new weights from each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor, nn

from kerascli.model.runtime.weight_part import WeightPart
from kerascli.optimizers.divided import Divided
from kerascli.optimizers.flat import ALIGNMENT_BYTES, FlatGroup, Layout, NamedWeight, aligned, grouped
from kerascli.parts.base import Constraint
from kerascli.training.distributed.processes import Processes


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a weight along its first axis in torch: process `r` has those from `cuts[r]` to `cuts[r + 1]`."""

    elements: int
    """Number of elements in a row."""
    cuts: tuple[int, ...]

    @property
    def rows(self) -> int:
        return self.cuts[-1]

    def part(self, rank: int) -> WeightPart:
        """Return the rows of process `rank`, which may be none."""
        return WeightPart(self.cuts[rank], self.cuts[rank + 1], self.rows)


def rows_of(named: Sequence[NamedWeight], size: int) -> list[Rows]:
    """Divide the rows of weights among `size` processes: all get about as many elements, and consecutive ones.

    A part begins where a cache line does, counted from the start of the weight, as weights in a flat vector do. A
    weight with a constraint, which may depend on all of it, is one process's.
    """
    ends = list(accumulate((parameter.numel() for _, parameter, _ in named), initial=0))
    found = []
    for start, (_, parameter, layout) in zip(ends, named, strict=False):
        rows, elements = parameter.shape[0], math.prod(parameter.shape[1:])
        line = ALIGNMENT_BYTES // parameter.element_size()
        step = rows if layout.constraint is not None else line // math.gcd(line, elements)

        def cut(number: int, start=start, rows=rows, elements=elements, step=step) -> int:
            wanted = ends[-1] * number / size - start  # elements of this weight
            if wanted >= rows * elements:
                return rows
            return min(rows, max(0, round(wanted / (elements * step)) * step))

        found.append(Rows(elements, tuple(cut(number) for number in range(size + 1))))
    return found


def bounds(divided: Sequence[Rows], start: int = 0, *, line: int = 1) -> list[int]:
    """Return the bounds of the processes' parts in a vector that has these weights one after the other, from `start`.

    Each weight takes a multiple of `line` elements.
    """
    size = len(divided[0].cuts) if divided else 0

    def elements(rows: Rows, cut: int) -> int:
        return aligned(cut * rows.elements, line) if cut == rows.rows else cut * rows.elements

    return [start + sum(elements(rows, rows.cuts[number]) for rows in divided) for number in range(size)]


def in_place(parts: Sequence[NamedWeight], processes: Processes) -> Divided:
    """Return the division of parts of weights that FSDP has made: each lies in memory of its own."""
    vectors = [([i], parameter.data.view(-1)) for i, (_, parameter, _) in enumerate(parts)]
    elements = sum(vector.numel() for _, vector in vectors) * processes.world.size
    return Divided(vectors, processes.added, elements, are_together=False)


def divide_optimizer(
    named: Sequence[NamedWeight], divided: Sequence[Rows], processes: Processes
) -> tuple[list[NamedWeight], Divided]:
    """Return this process's parts of weights, as its optimizer takes them, and how they are divided.

    The torch parameters become views of one vector for each dtype, and so do the parts.
    """
    rank = processes.world.rank
    vectors: list[tuple[list[int], Tensor]] = []
    gathered: list[tuple[Tensor, list[int]]] = []
    for positions in grouped(named):
        whole = FlatGroup([named[i] for i in positions], own_gradient=False).weights
        line = ALIGNMENT_BYTES // whole.element_size()
        ends = bounds([divided[i] for i in positions], line=line)
        vectors.append((positions, whole[ends[rank] : ends[rank + 1]]))
        gathered.append((whole, ends))
    own: list[NamedWeight] = []
    for (name, parameter, layout), rows in zip(named, divided, strict=True):
        part = rows.part(rank)
        values = nn.Parameter(part.of(parameter.data), requires_grad=False)
        own.append((name, values, _PartLayout(layout, part)))

    def gather() -> None:
        for vector, ends in gathered:
            processes.fill_parts(vector, ends)

    elements = sum(parameter.numel() for _, parameter, _ in named)
    return own, Divided(vectors, processes.added, elements, are_together=True, gather=gather)


@dataclass(frozen=True, slots=True)
class _PartLayout:
    """Layout of a part of a weight."""

    whole: Layout
    part: WeightPart

    @property
    def constraint(self) -> Constraint | None:
        """Constraint of the weight, if the part is all of it."""
        return self.whole.constraint if self.part.stop > self.part.start else None

    def to_keras(self, tensor: Tensor) -> Tensor:
        return self.whole.to_keras(tensor)
