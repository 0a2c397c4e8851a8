"""Compute the outputs of a model for batches of rows, in the order of the rows."""

from collections.abc import Iterable

import torch
from torch import Tensor

from kerascli.data.batches.loader import Batch
from kerascli.foundation import draws
from kerascli.training.evaluate import EvaluatedBatches
from kerascli.training.layer_states import EvaluationStates
from kerascli.training.objectives.objective import full_precision
from kerascli.training.objectives.train_step import GraphStep


def predict(module: GraphStep, batches: Iterable[Batch] | EvaluatedBatches, *, seed: int) -> dict[str, Tensor]:
    """Return a mapping from output name to array (rows, *), on the CPU; half precision is converted to float32.

    Of batches that are dealt out to several processes, one returns the values of all rows.
    """
    module.eval()
    parts: dict[str, list[Tensor]] = {}
    values: dict[str, Tensor] = {}
    own_states = EvaluationStates(module.states())
    batches = EvaluatedBatches.of(batches)
    for number, batch in batches:
        if batch is not None:
            drawn = draws.Draws(seed, f"predict/{number}", 0)
            with batches.inference(module), draws.using(drawn), own_states.for_batch():
                outcome = module.predict(batch.inputs)
                own_states.keep(outcome.updates)
                values = {name: full_precision(value) for name, value in outcome.outputs.items()}
        for name, value in values.items():
            parts.setdefault(name, []).extend(each.to("cpu") for each in batches.rows(number, value))
    return {name: torch.cat(pieces) for name, pieces in parts.items()}
