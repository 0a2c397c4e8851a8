"""Loop of a recurrent layer over the time steps of its input, and masks of steps, also for fused kernels.

Torch's fused kernels take no masks. Moving the unmasked steps to the front handles any mask, front padding too, and,
unlike packed sequences, needs no lengths on the host.
"""

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


def mask_of_steps(mask: Tensor, x: Tensor) -> Tensor:
    """Convert a mask of whole sequences (N,) or of parts of time steps (N, T, *) to a mask of time steps (N, T).

    Such masks come from `time_distributed`, and from an embedding before it: a step is unmasked if any part of it is.
    """
    if mask.ndim == 1:
        return mask.unsqueeze(1).expand(x.shape[:2])
    return mask.flatten(2).any(2) if mask.ndim > 2 else mask


def unmasked_first(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return sequences (N, T, F) and their mask with the unmasked steps moved to the front, in unchanged order."""
    seen = mask.cumsum(1)
    times = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    places = torch.where(mask, seen - 1, seen[:, -1:] + times - seen)
    order = torch.zeros_like(times).scatter(1, places, times)  # a stable argsort, for which ONNX has no operation
    return x.gather(1, order.unsqueeze(-1).expand_as(x)), mask.gather(1, order)


def restore_order(outputs: Tensor, mask: Tensor) -> Tensor:
    """Move outputs, computed with the unmasked steps first (`unmasked_first`), back to their time steps.

    A masked step repeats the output before it, or is 0.
    """
    latest = mask.cumsum(1).unsqueeze(-1) - 1
    moved = outputs.gather(1, latest.clamp(min=0).expand_as(outputs))
    return torch.where(latest >= 0, moved, 0.0)
