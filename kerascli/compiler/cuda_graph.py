"""Run a function of tensors as one CUDA graph: one launch per training step instead of several hundred."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from kerascli.compiler.torch_private import copy_all

_WARM_UPS = 3
"""Number of runs of a function before its capture as a CUDA graph, in which libraries choose kernels and allocate
workspaces."""


class Replayed:
    """A function of tensors that is captured once as a CUDA graph and replayed in every call.

    The first `fixed` arguments are tensors at fixed addresses, such as weights; the others are copied in. The next call
    overwrites the returned tensors. `cuda` is torch.cuda, or a stand-in for tests.
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
        # Threads that load batches, or wait for sums of other parts, may go on meanwhile.
        with cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = run(*arguments)

    def __call__(self, *flat: Tensor) -> Sequence[Tensor | None]:
        copy_all(self._copied, flat[self._fixed :])
        self._graph.replay()
        return self._outputs
