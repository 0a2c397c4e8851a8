"""One optimizer step: forward, loss, gradients, update; nothing waits for the device."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kerascli import draws
from kerascli.builder.program import Runner
from kerascli.builder.update import Update
from kerascli.data.loader import Batch
from kerascli.errors import FileRefused
from kerascli.graph.weights import Weight
from kerascli.optimizers.apply import FlatOptimizer
from kerascli.spans import span


class Trainer:
    """A runner of steps with its optimizer: what changes weights."""

    def __init__(
        self, update: Update, optimizer: FlatOptimizer, weights: Sequence[Weight], *, seed: int, run: Runner
    ) -> None:
        self.update = update
        self.optimizer = optimizer
        self.weights = list(weights)
        self.seed = seed
        self._run = run
        self._by_name = {weight.name: weight for weight in weights}

    def step(self, batch: Batch, number: int) -> list[Tensor]:
        """Update `number` (from 0) on a batch; returns the states of its figures."""
        outcome = self._run(batch, draws.Draws(self.seed, "train", number))
        with span("optimizer"):
            assigned = [(w.tensor, v) for name, v in outcome.updates.items() if (w := self._by_name[name]).trainable]
            self.optimizer.apply(outcome.gradients, loss=outcome.total, assigned=assigned)
            self._store({name: v for name, v in outcome.updates.items() if not self._by_name[name].trainable})
        return outcome.states

    def _store(self, updates: dict[str, Tensor]) -> None:
        """New moving statistics and the like; a bad step leaves them as they are."""
        if not updates:
            return
        with torch.no_grad():
            for name, value in updates.items():
                weight = self._by_name[name].tensor
                weight.copy_(self.optimizer.keep_if_good(value, weight))

    def snapshot(self) -> dict[str, Tensor]:
        """All weights in Keras's layout, copied to the CPU."""
        return {w.name: w.keras().to("cpu", copy=True).contiguous() for w in self.weights}

    def restore(self, values: Mapping[str, Tensor]) -> None:
        """Put a snapshot back."""
        assign_weights(self.weights, values)


def assign_weights(weights: Sequence[Weight], values: Mapping[str, Tensor]) -> None:
    """Store values by name, in Keras's layout. Raises FileRefused where they are another model's."""
    saved = {name: tuple(value.shape) for name, value in values.items()}
    wanted = {weight.name: tuple(weight.spec.shape) for weight in weights}
    differing = sorted(name for name in {*saved, *wanted} if saved.get(name) != wanted.get(name))
    if differing:
        name = differing[0]
        text = f"the weights are of another model: '{name}' is {saved.get(name)} there, {wanted.get(name)} here"
        raise FileRefused(text, hint="start a new run, or set the model back to what it was")
    for weight in weights:
        weight.assign(values[weight.name])
