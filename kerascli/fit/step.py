"""One optimizer step: forward, loss, gradients, update; nothing waits for the device."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kerascli import draws
from kerascli.builder.update import Batch, Update
from kerascli.graph.weights import Weight
from kerascli.optimizers.apply import FlatOptimizer


class Trainer:
    """An update with its optimizer: what changes weights."""

    def __init__(self, update: Update, optimizer: FlatOptimizer, weights: Sequence[Weight], *, seed: int) -> None:
        self.update = update
        self.optimizer = optimizer
        self.weights = list(weights)
        self.seed = seed
        self._trained = [weight.tensor for weight in weights if weight.trainable]
        self._by_name = {weight.name: weight for weight in weights}

    def step(self, batch: Batch, number: int) -> list[Tensor]:
        """Update `number` (from 0) on a batch; returns the states of its figures."""
        with draws.using(draws.Draws(self.seed, "train", number)):
            outcome = self.update(batch)
        total = outcome.judgement.total
        gradients = torch.autograd.grad(total, self._trained, allow_unused=True, materialize_grads=True)
        good = self.optimizer.apply(gradients, loss=total.detach())
        self._store(outcome.updates, good)
        return outcome.judgement.states

    def _store(self, updates: dict[str, Tensor], good: Tensor | bool) -> None:
        """New moving statistics and the like; a bad step leaves them as they are."""
        if good is False:
            return
        with torch.no_grad():
            for name, value in updates.items():
                weight = self._by_name[name].tensor
                weight.copy_(value if good is True else torch.where(good, value, weight))

    def snapshot(self) -> dict[str, Tensor]:
        """All weights in Keras's layout, copied to the CPU."""
        return {w.name: w.keras().to("cpu", copy=True).contiguous() for w in self.weights}

    def restore(self, values: dict[str, Tensor]) -> None:
        """Put a snapshot back."""
        for weight in self.weights:
            weight.assign(values[weight.name])
