"""Time the layers of a training step that usually runs as one graph, by running it as modules a few times."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from kerascli.foundation.errors import first_line
from kerascli.profiling.operations import RecordedWork
from kerascli.profiling.window import Window

_STEPS = 5
"""Number of training steps whose layers are timed, after a first step that is not timed."""


def layer_by_layer(
    device: torch.device, layers: Mapping[str, nn.Module], step: Callable[[], object]
) -> tuple[RecordedWork, str]:
    """Time a few training steps by layer; `step` is called for a forward and backward pass of modules, without changing
    weights.

    Modules need more memory than a graph: if the device has too little, the work is empty and the text says why.
    """
    window = Window(device)
    window.layers = layers
    try:
        step()
        window.start(1, 1)
        for number in range(_STEPS if window.open else 0):
            step()
            window.step_done(last=number == _STEPS - 1)
    except (RuntimeError, MemoryError) as error:
        return RecordedWork(), first_line(error)
    finally:
        window.stop()
    return window.work(), window.refusal
