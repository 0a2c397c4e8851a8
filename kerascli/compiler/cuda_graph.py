"""A program as one CUDA graph: the GPU is handed a whole step at once, not some hundred operations one by one."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from kerascli.compiler.torch_private import copy_all

_WARM_UPS = 3
"""Runs before the capture, in which libraries choose their kernels and take their workspace."""


class Replayed:
    """Calls a function of tensors by replaying what it did once.

    The first `fixed` arguments are tensors that stay where they are, such as weights; the others are copied in. What
    is returned is overwritten by the next call. `cuda` is torch's module, or something like it.
    """

    def __init__(
        self, run: Callable[..., Sequence[Tensor | None]], inputs: Sequence[Tensor], fixed: int, cuda: Any = torch.cuda
    ) -> None:
        self._copied = [tensor.clone() for tensor in inputs[fixed:]]
        self._fixed = fixed
        arguments = [*inputs[:fixed], *self._copied]
        side = cuda.Stream()
        side.wait_stream(cuda.current_stream())
        with cuda.stream(side):  # a capture may not begin on the stream that others use
            for _ in range(_WARM_UPS):
                run(*arguments)
        cuda.current_stream().wait_stream(side)
        self._graph = cuda.CUDAGraph()
        with cuda.graph(self._graph):
            self._found = run(*arguments)

    def __call__(self, *flat: Tensor) -> Sequence[Tensor | None]:
        copy_all(self._copied, flat[self._fixed :])
        self._graph.replay()
        return self._found
