"""Compute the outputs of a model for batches of rows, in the order of the rows."""

from collections.abc import Iterable

import torch
from torch import Tensor

from kerascli import draws
from kerascli.data.batches.loader import Batch
from kerascli.training.layer_states import EvaluationStates
from kerascli.training.train_step import GraphStep


def predict(module: GraphStep, batches: Iterable[Batch], *, seed: int) -> dict[str, Tensor]:
    """Return a mapping from output name to array (rows, *), on the CPU; half precision is converted to float32."""
    module.eval()
    parts: dict[str, list[Tensor]] = {}
    own_states = EvaluationStates(module.states())
    with torch.inference_mode():
        for number, batch in enumerate(batches):
            with draws.using(draws.Draws(seed, f"predict/{number}", 0)), own_states.for_batch():
                outcome = module.predict(batch.inputs)
                own_states.keep(outcome.updates)
            for name, value in outcome.outputs.items():
                value = value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
                parts.setdefault(name, []).append(value.to("cpu"))
    return {name: torch.cat(pieces) for name, pieces in parts.items()}
