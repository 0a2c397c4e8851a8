"""Compute the loss and metrics of a model over a split of the data; metric states stay on the device until the end."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial

import torch
from torch import Tensor

from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.foundation.events import Tick
from kerascli.training.distributed import fsdp
from kerascli.training.distributed.turns import Turns, all_states, numbered
from kerascli.training.layer_states import EvaluationStates
from kerascli.training.objectives.train_step import TrainStepModule


def evaluate(
    module: TrainStepModule, batches: Iterable[Batch] | Turns, *, seed: int, step: int = 0, only_defined: bool = False
) -> Generator[Tick, None, dict[str, float]]:
    """Evaluate a model on batches: yield a Tick event after each batch, return losses and metrics as a dict by name.

    `step` keys the random numbers of models that sample in inference. With `Turns`, other processes evaluate a part.
    With `only_defined`, metrics that are undefined for these rows are left out.
    """
    module.eval()
    no_gradients = inference_of(module)
    sums: list[Tensor] | None = None
    states: list[Tensor] = []
    own_states = EvaluationStates(module.states())
    for number, batch in numbered(batches):
        if batch is not None:
            drawn = draws.Draws(seed, f"evaluate/{number}", step)
            # not around the yield: the receiver of the event would be in inference mode too
            with no_gradients(), draws.using(drawn), own_states.for_batch():
                outcome = module(batch)
                own_states.keep(outcome.updates)
            states = outcome.loss.states
        with torch.inference_mode():
            for each in all_states(batches, number, states):
                sums = add_states(sums, each)
        yield Tick()
    assert sums is not None, "a split has rows"
    return module.objective.figures(sums, only_defined=only_defined)


def inference_of(module: TrainStepModule) -> Callable[[], AbstractContextManager[object]]:
    """Return a function that makes a context in which a model is evaluated, without gradients.

    At the end of its block a model that FSDP divides frees the weights that it has gathered.
    """
    divided = any(weight.part is not None for weight in module.weights())
    return partial(fsdp.without_gradients, module) if divided else torch.inference_mode


def add_states(sums: list[Tensor] | None, states: Sequence[Tensor]) -> list[Tensor]:
    """Add a batch's metric states to the sums over earlier batches, in place; return the list of sums."""
    if sums is None:
        return [state.clone() for state in states]
    for total, state in zip(sums, states, strict=True):
        total += state
    return sums
