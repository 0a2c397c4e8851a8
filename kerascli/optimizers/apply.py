"""Applying gradients as Keras does: clip, decay, update, average, constrain, over flat vectors."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kerascli.errors import FileRefused
from kerascli.optimizers.base import Moment, Optimizer
from kerascli.optimizers.clipping import clip_each_norm, clip_global_norm
from kerascli.optimizers.flat import FlatGroup, NamedWeight, Slice, grouped
from kerascli.optimizers.guard import Guard
from kerascli.schedules.base import Schedule

_ACCUMULATOR = "gradient_accumulator"
_AVERAGE = "average"


class FlatOptimizer:
    """An optimizer bound to a model's trainable weights, whose parameters become views of flat vectors.

    `iterations` counts calls of `apply`, from 0. All state is in `state_dict`, by weight and in Keras's layout.
    """

    def __init__(self, optimizer: Optimizer, weights: Sequence[NamedWeight]) -> None:
        self.optimizer = optimizer
        self.iterations = 0
        self._positions = grouped(weights)
        self._groups = [FlatGroup([weights[i] for i in positions]) for positions in self._positions]
        self._guards = [Guard(group) for group in self._groups]
        self._rate = optimizer.learning_rate
        for group in self._groups:
            for slot in self._slot_names():
                start = 0.0 if slot in {_ACCUMULATOR, _AVERAGE} else optimizer.slot_start(slot)
                group.slots[slot] = torch.full_like(group.weights, start)
