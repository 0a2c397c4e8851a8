"""Loop of a recurrent layer over the time steps of its input, with masks as in Keras."""

from collections.abc import Callable

import torch
from torch import Tensor

from kerascli.layers.geometry import broadcast_mask

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]
"""Type of a function (a step's input, state before it) -> state after it; the state's first tensor is the output."""


def run_steps(step: Step, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
    """Call the function `step` on each time step of `x` (N, T, *); return the outputs (N, T, *) and the last state.

    A masked step keeps the state and repeats the output before it.
    """
    outputs: list[Tensor] = []
    output = torch.zeros_like(state[0])
    for time, frame in enumerate(x.unbind(1)):  # the gradient of each x[:, time] would be as large as x
        new = step(frame, state)
        if mask is None:
            state, output = new, new[0]
        else:
            seen = broadcast_mask(mask[:, time], output)
            state = tuple(torch.where(seen, after, before) for after, before in zip(new, state, strict=True))
            output = torch.where(seen, new[0], output)
        outputs.append(output)
    return torch.stack(outputs, dim=1), state
