"""A mode of torch in which rounding of a tie fails: the last bits of a sum decide it, and those are the processor's."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_ROUNDINGS = (torch.ops.aten.round.default, torch.ops.aten.round_.default)


class NoTies(TorchDispatchMode):
    """Raise AssertionError for a `round` of a value that is 0.5 from an integer but for the error of a float32 sum."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _ROUNDINGS:
            x = args[0].double()
            ties = ((x - x.floor() - 0.5).abs() < 1e-5).sum()
            assert not ties, f"{int(ties)} of {x.numel()} values are rounded from a tie: choose other arguments"
        return func(*args, **(kwargs or {}))
