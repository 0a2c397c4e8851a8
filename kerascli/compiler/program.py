"""Programs: functions of tensors traced to one graph of torch operations, without Python code between; their costs."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from kerascli.compiler.compiling import Run, compiled
from kerascli.compiler.interpreter import interpreted
from kerascli.compiler.memory_reuse import may_alias
from kerascli.compiler.onednn_matmul import onednn_is_faster, use_onednn
from kerascli.compiler.passes import simplify
from kerascli.compiler.torch_private import OpOverload, copy_all
from kerascli.compiler.tracing import has_ordered, trace
from kerascli.foundation import draws
from kerascli.foundation.device import one_thread

FlatRunner = Callable[[Sequence[Tensor], draws.Draws], Sequence[Tensor | None]]
"""Type of a function that runs a traced program: it takes inputs and random numbers, and returns the results."""


_KERNELS = {
    "aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::convolution", "aten::convolution_backward",
    "aten::embedding", "kerascli::linear",
}  # fmt: skip
_DIVIDED_ELEMENTS = 2**15
"""Minimum number of elements for which torch divides an operation among threads."""
_UNDIVIDED_PRODUCT = 2**18
"""Maximum number of multiplications of a matrix product that takes one thread a few microseconds."""
_WARM_UPS = 3
"""Number of runs of a function before its capture as a CUDA graph, in which libraries choose kernels and allocate
workspaces."""


class Program(NamedTuple):
    """Function of tensors, traced for fixed shapes to the graph `code`, which takes the tensors `reads` (weights ...),
    inputs and random numbers."""

    code: fx.GraphModule
    examples: Sequence[Tensor]
    """Arguments of the graph `code`, with which it was traced."""
    reads: tuple[Tensor, ...]
    """Tensors, such as weights, that the traced function reads although they are not among its arguments."""
    drawn: Sequence[tuple[str, draws.Draw]]
    """Random draws of the traced function, each with the name of the graph node that draws and the number of the draw
    in it."""

    @property
    def device(self) -> torch.device:
        return next(node.meta["device"] for node in self.code.graph.nodes if node.op == "placeholder")

    def compiled(self) -> FlatRunner:
        """Compile the program for its shapes; return a function that runs it. Raises what torch's compiler raises."""
        run = compiled(self.code, self.examples)
        return self._runner(one_thread()(run) if self._is_small() else run)

    def simplified(self) -> FlatRunner:
        """Simplify the program's graph in place; return a function that runs it."""
        is_small = self._is_small()
        simplify(self.code, on_cpu=self.device.type == "cpu")
        in_python = self.device.type == "cuda" or has_ordered(self.code.graph)  # a CUDA graph, or errors of Python
        run = self.code.forward if in_python else interpreted(self.code)
        return self._runner(one_thread()(run) if is_small else run)

    def _is_small(self) -> bool:
        return self.device.type == "cpu" and fits_one_thread(self.code.graph)

    def _runner(self, run: Run) -> FlatRunner:
        reads, drawn = self.reads, self.drawn  # the examples need not stay in memory
        if self.device.type == "cuda" and not has_ordered(self.code.graph):
            with torch.no_grad():
                run = replayed(run, self.examples, fixed=len(reads))

        def runner(inputs: Sequence[Tensor], numbers: draws.Draws) -> Sequence[Tensor | None]:
            # No input requires gradients, but with gradients disabled oneDNN's LSTM saves nothing for its backward.
            with torch.enable_grad():
                return run(*reads, *inputs, *(numbers.make_at(place, draw) for place, draw in drawn))

        return runner


def replayed(run: Run, inputs: Sequence[Tensor], fixed: int, cuda: Any = torch.cuda) -> Run:
    """Capture a function of tensors as a CUDA graph; return a function that replays the graph in every call.

    The first `fixed` arguments are tensors at fixed addresses, such as weights; the others are copied in. The next call
    overwrites the returned tensors. `cuda` is torch.cuda, or a stand-in for tests.
    """
    copied = [tensor.clone() for tensor in inputs[fixed:]]
    arguments = [*inputs[:fixed], *copied]
    side = cuda.Stream()
    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):  # a capture may not begin on the stream that others use
        for _ in range(_WARM_UPS):
            run(*arguments)
    cuda.current_stream().wait_stream(side)
    graph = cuda.CUDAGraph()
    # Threads that load batches, or wait for sums of other parts, may go on meanwhile.
    with cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = run(*arguments)

    def replay(*flat: Tensor) -> Sequence[Tensor | None]:
        copy_all(copied, flat[fixed:])
        graph.replay()
        return outputs

    return replay


def trace_program(
    function: Callable[..., Sequence[Tensor | None]],
    inputs: Sequence[Tensor],
    *,
    reads: Sequence[Tensor] = (),
    drawn: Sequence[tuple[str, draws.Draw]] = (),
) -> Program:
    """Trace a function or module that returns a list of tensors; return it as a program, with any backward pass it
    runs.

    `reads` are the tensors besides `inputs` that may change between calls, known by identity; others become
    constants. `drawn` are the function's random draws, as recorded by a `draws.Tape`. Raises what torch raises if
    Python code depends on a value.
    """
    example = draws.Draws(0, "trace", 0)
    numbers = [example.make_at(place, draw) for place, draw in drawn]
    first, end = len(reads), len(reads) + len(inputs)

    def run(*flat: Tensor) -> Sequence[Tensor | None]:
        with torch.enable_grad(), draws.using(draws.Replay(flat[end:])):
            return function(*flat[first:end])

    code = trace(run, [*reads, *inputs, *numbers])
    if onednn_is_faster():
        use_onednn(code.graph)
    own = tuple(tensor.detach() for tensor in reads)
    return Program(code, [*own, *inputs, *numbers], own, drawn)


def costly_operations(graph: fx.Graph) -> int:
    """Return the number of operations in a graph that a compiler can fuse (no views, products, convolutions,
    embeddings)."""
    operations = (node for node in graph.nodes if isinstance(node.target, OpOverload) and not may_alias(node))
    return sum(node.target._schema.name not in _KERNELS for node in operations)


def has_convolutions(graph: fx.Graph) -> bool:
    """Return True if any operation of a graph is a convolution."""
    return any(node.target is torch.ops.aten.convolution.default for node in graph.nodes)


def fits_one_thread(graph: fx.Graph) -> bool:
    """Return True if a graph for the CPU has no operation that several threads would make much faster."""
    for node in graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and value.numel() >= _DIVIDED_ELEMENTS:
            return False
        name = node.target._schema.name if isinstance(node.target, OpOverload) else ""
        if name in ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"):
            left, right = (each.meta["val"] for each in node.args[-2:])
            if left.numel() * right.shape[-1] > _UNDIVIDED_PRODUCT:
                return False
        elif name in _KERNELS and name != "aten::embedding":
            return False
    return True
