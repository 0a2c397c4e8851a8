"""The private names of torch that the compiler uses; the tests list them, to check new versions of torch for them."""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode
from torch.utils._pytree import tree_map_only as tree_map_only

OpOverload = torch._ops.OpOverload
SOFTMAX = torch.ops.aten._softmax.default
SOFTMAX_BACKWARD = torch.ops.aten._softmax_backward_data.default


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    """Compute activation(x @ weight.t() + bias) by oneDNN, and return it."""
    return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, activation, [], "")


def onednn_convolution() -> OpOverload:
    """Return oneDNN's operator for a convolution followed by an activation; needs a torch with oneDNN."""
    return torch.ops.mkldnn._convolution_pointwise.default


def new_script_graph() -> Any:
    """Return an empty graph of TorchScript, to which operations are appended."""
    return torch._C.Graph()  # pyright: ignore[reportAttributeAccessIssue]


def run_script_graph(graph: Any) -> Callable[..., tuple[Tensor | None, ...]]:
    """Return a function that runs a graph of TorchScript as it is, without optimizations, which change results.

    Autograd is not called; its mode stays, which some operations ask for.
    """
    function = torch._C._create_function_from_graph("graph", graph)  # pyright: ignore[reportAttributeAccessIssue]

    def run(*inputs: Tensor) -> tuple[Tensor | None, ...]:
        optimizes = torch._C._get_graph_executor_optimize()
        torch._C._set_graph_executor_optimize(False)
        without_autograd = torch._C._AutoDispatchBelowAutograd()
        try:
            return function(*inputs)
        finally:
            del without_autograd
            torch._C._set_graph_executor_optimize(optimizes)

    return run


def copy_all(targets: list[Tensor], sources: tuple[Tensor, ...]) -> None:
    """Copy the values of several source tensors into target tensors, by one operation."""
    torch._foreach_copy_(targets, sources)  # pyright: ignore[reportPrivateImportUsage]


# torch starts Python to see which instructions the processor has; it would import a random.py of the current folder.
_SAFE_PATH = {"PYTHONSAFEPATH": "1"}


# Precompiled headers would save a second, but are stored in the shared temporary folder. A loop is divided among
# threads where torch's own operations are, too: in shorter ones, waiting for the others costs more than it saves.
# Strides stay: the compiler would take images whose last axis in memory are channels for others, and turn them.
LIBRARY_OPTIONS = {
    "cpp_cache_precompile_headers": False,
    "aot_inductor.precompile_headers": False,
    "cpp.min_chunk_size": 2**14,
    "layout_optimization": False,
}
"""Options of torch's compiler for the CPU, on which its code depends."""


def call_from_compiled_code(operations: Iterable[OpOverload]) -> None:
    """Let code that torch's compiler writes in this process call operations, on tensors with the graph's strides."""
    from torch._inductor import decomposition, lowering

    for operation in operations:
        decomposition.decompositions.pop(operation, None)
        lowering.make_fallback(operation, lowering.constrain_to_fx_strides, warn=False)


def compile_library(code: fx.GraphModule, examples: Sequence[Tensor]) -> Path:
    """Compile a graph for the CPU; return the path of the shared library that was made."""
    from torch._inductor import aot_compile

    quiet = warnings.catch_warnings(action="ignore")  # warnings of torch about its own code
    with torch.no_grad(), mock.patch.dict(os.environ, _SAFE_PATH), quiet:
        return Path(str(aot_compile(code, tuple(examples), options=LIBRARY_OPTIONS)))


def load_library(library: Path) -> Callable[[list[Tensor]], list[Tensor]]:
    """Return the function in a shared library made by `compile_library`. Raises RuntimeError if it cannot be loaded."""
    runners = torch._C._aoti  # pyright: ignore[reportAttributeAccessIssue]
    return runners.AOTIModelContainerRunnerCpu(str(library), 1).run


def compile_in_process(code: fx.GraphModule, examples: Sequence[Tensor]) -> Callable[..., Sequence[Tensor | None]]:
    """Compile a graph for the device of `examples` without making a shared library; torch caches the kernels itself."""
    from torch._inductor import config, standalone_compile

    inputs: list[Any] = list(examples)
    with torch.no_grad(), mock.patch.dict(os.environ, _SAFE_PATH), config.patch(cpp_cache_precompile_headers=False):
        return standalone_compile(code, inputs, dynamic_shapes="from_example_inputs")
