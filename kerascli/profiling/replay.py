"""A step that is one program has no layers: it is run as modules a few times, to tell what each would take."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from kerascli.errors import first_line
from kerascli.profiling.operations import Seen
from kerascli.profiling.window import Window

_STEPS = 5
"""After one that is not looked at."""


def layer_by_layer(
    device: torch.device, layers: Mapping[str, nn.Module], step: Callable[[], object]
) -> tuple[Seen, str]:
    """The work of some steps; `step` runs forward and backward of `layers`, and changes nothing.

    Modules need more memory than a program: where the device has too little, nothing was seen, and a text says so.
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
        return Seen(), first_line(error)
    finally:
        window.stop()
    return window.work(), window.refusal
