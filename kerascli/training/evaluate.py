"""Compute loss and metrics over a split; states stay on the device until the end."""

from collections.abc import Generator, Iterable

import torch
from torch import Tensor

from kerascli import draws
from kerascli.data.batches.loader import Batch
from kerascli.events import Tick
from kerascli.training.layer_states import EvaluationStates
from kerascli.training.train_step import TrainStepModule


def evaluate(
    module: TrainStepModule, batches: Iterable[Batch], *, seed: int, step: int = 0
) -> Generator[Tick, None, dict[str, float]]:
    """Evaluate the model on batches: yield a Tick after each of them, return loss and metrics by name.

    `step` keys the random numbers of models that sample in inference.
    """
    module.eval()
    sums: list[Tensor] | None = None
    own_states = EvaluationStates(module.states())
    for number, batch in enumerate(batches):
        # not around the yield: the receiver of the event would be in inference mode too
        with torch.inference_mode(), draws.using(draws.Draws(seed, f"evaluate/{number}", step)), own_states.for_batch():
            outcome = module(batch)
            own_states.keep(outcome.updates)
            sums = add_states(sums, outcome.loss.states)
        yield Tick()
    assert sums is not None, "a split has rows"
    return module.objective.figures(sums)


def add_states(sums: list[Tensor] | None, states: list[Tensor]) -> list[Tensor]:
    """Add a batch's metric states to their sums over earlier batches, in place; return the sums."""
    if sums is None:
        return [state.clone() for state in states]
    for total, state in zip(sums, states, strict=True):
        total += state
    return sums
