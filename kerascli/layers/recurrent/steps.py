"""Loop of a recurrent layer over the time steps of its input, and masks of steps, also for fused kernels.

Torch's fused kernels take no masks. Moving the unmasked steps to the front handles any mask, front padding too, and,
unlike packed sequences, needs no lengths on the host.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import embedding

from kerascli.layers.geometry import broadcast_mask

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]
"""Type of a function (a step's input, state before it) -> state after it; the state's first tensor is the output."""
F = TypeVar("F")


def run_steps(step: Step, x: Tensor, state: State, mask: Tensor | None) -> tuple[Tensor, State]:
    """Call the function `step` on each time step of `x` (N, T, *); return the outputs (N, T, *) and the last state.

    A masked step keeps the state and repeats the output before it.
    """

    def both(frame: Tensor, state: State) -> tuple[State, State]:
        after = step(frame, state)
        return after[:1], after

    outputs, state = loop(both, x.unbind(1), state, mask)  # the gradient of each x[:, time] would be as large as x
    return torch.stack([output for (output,) in outputs], dim=1), state


def loop(
    step: Callable[[F, State], tuple[State, State]], frames: Iterable[F], state: State, mask: Tensor | None
) -> tuple[list[State], State]:
    """Call `step`, (a step's input, state before it) -> (outputs, state after it), on each of `frames`; return the
    outputs of all steps and the last state.

    A masked step keeps the state and repeats the outputs before it, or is 0.
    """
    every: list[State] = []
    for frame, seen in zip(frames, repeat(None) if mask is None else mask.unbind(1), strict=False):
        outputs, after = step(frame, state)
        if seen is not None:
            outputs = _where(seen, outputs, every[-1] if every else [torch.zeros_like(x) for x in outputs])
            after = _where(seen, after, state)
        state = after
        every.append(outputs)
    return every, state


def _where(seen: Tensor, new: Sequence[Tensor], old: Sequence[Tensor]) -> State:
    return tuple(torch.where(broadcast_mask(seen, a), a, b) for a, b in zip(new, old, strict=True))


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
    return _taken(x, order), mask.gather(1, order)


def restore_order(outputs: Tensor, mask: Tensor) -> Tensor:
    """Move outputs, computed with the unmasked steps first (`unmasked_first`), back to their time steps.

    A masked step repeats the output before it, or is 0.
    """
    latest = mask.cumsum(1) - 1
    return torch.where(latest.unsqueeze(-1) >= 0, _taken(outputs, latest.clamp(min=0)), 0.0)


def _taken(x: Tensor, times: Tensor) -> Tensor:  # (N, T, F), (N, T) -> (N, T, F)
    """Take the features of one time step of a sequence for each of its steps, row by row, which `gather` does not."""
    first = torch.arange(x.shape[0], device=x.device).unsqueeze(1) * x.shape[1]
    return embedding(times + first, x.flatten(0, 1))
