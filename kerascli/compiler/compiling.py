"""Compile graphs of torch operations to native code, cached for the user so that a second run only loads it.

On the CPU a program becomes a shared library, which torch runs without loading its compiler; loading that takes two
seconds. On a GPU torch's compiler caches its kernels itself.
"""

import hashlib
import inspect
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, fx

from kerascli.compiler import compiled_operations, torch_private
from kerascli.compiler.cache import cache_folder, make_own_cache
from kerascli.compiler.decompositions import TRACED, Decompositions
from kerascli.compiler.onednn_matmul import COMPILED, onednn_is_faster, use_onednn
from kerascli.compiler.tracing import trace
from kerascli.foundation.cpus import processor

Run = Callable[..., Sequence[Tensor | None]]
"""Function that runs a graph of torch operations: it takes the graph's inputs and returns its results."""

_LIBRARY = "program.so"


def compiled(code: fx.GraphModule, examples: Sequence[Tensor]) -> Run:
    """Compile a graph to native code for inputs with the shapes, strides and dtypes of `examples`. Raises what torch's
    compiler raises."""
    make_own_cache()
    if any(not tensor.is_cpu for tensor in examples):
        return torch_private.compile_in_process(code, examples)
    results = _results(code)
    there = [place for place, result in enumerate(results) if isinstance(result, fx.Node)]
    library = _library(code, examples)
    try:
        call = torch_private.load_library(library)
    except RuntimeError:  # missing or damaged
        shutil.rmtree(library.parent, ignore_errors=True)
        decomposed = traced_function(code, examples, compiled_operations.COMPILED)
        _make(_without_gaps(decomposed, there), examples, library)
        call = torch_private.load_library(library)
    if len(there) == len(results):
        return lambda *inputs: call(list(inputs))

    def run(*inputs: Tensor) -> list[Tensor | None]:
        outputs: list[Tensor | None] = [None] * len(results)
        for place, tensor in zip(there, call(list(inputs)), strict=True):
            outputs[place] = tensor
        return outputs

    return run


def is_compiled(code: fx.GraphModule, examples: Sequence[Tensor]) -> bool:
    """Return True if `compiled` would load this graph's native code from the cache instead of compiling it."""
    return all(tensor.is_cpu for tensor in examples) and _library(code, examples).exists()


def reason_not_to_compile(code: fx.GraphModule, device: torch.device) -> str | None:
    """Return the reason why a graph cannot be compiled here (its operations, this machine); None if it may work.

    This saves the seconds until torch's compiler fails.
    """
    if device.type == "mps":
        return "torch does not compile for Apple's GPU reliably"
    if device.type == "cpu" and not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        return "there is no C++ compiler"
    if any(node.target is torch.ops.aten.mkldnn_rnn_layer.default for node in code.graph.nodes):
        return "torch does not compile oneDNN's recurrent kernel"
    return None


def traced_function(
    function: Callable[..., Any], examples: Sequence[Tensor], decompositions: Decompositions = TRACED
) -> fx.GraphModule:
    """Trace a function, which may write into its arguments, on copies of `examples`. Raises what tracing raises."""
    return trace(function, [tensor.clone() for tensor in examples], decompositions)


def _library(code: fx.GraphModule, examples: Sequence[Tensor]) -> Path:
    return cache_folder() / "programs" / digest_of(code, examples) / _LIBRARY


def digest_of(code: fx.GraphModule, examples: Sequence[Tensor]) -> str:
    """Return a digest of a graph, its input shapes, the CPU, the number of threads, the version of torch, and our
    decompositions."""
    in_order = torch.are_deterministic_algorithms_enabled()
    digest = hashlib.sha256(f"{COMPILED} {torch_private.LIBRARY_OPTIONS} {in_order}".encode())
    digest.update(f"{torch.__version__} {torch.version.git_version} {torch.get_num_threads()} {processor()}".encode())
    digest.update(inspect.getsource(compiled_operations).encode())
    digest.update(code.code.encode())
    for name, constant in code.named_buffers():
        digest.update(f"{name} {_form(constant)}".encode())
        digest.update(constant.contiguous().view(-1).view(torch.uint8).numpy().data)
    for tensor in examples:
        digest.update(_form(tensor).encode())
    return digest.hexdigest()


def _form(tensor: Tensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)} {tensor.stride()}"


def _make(code: fx.GraphModule, examples: Sequence[Tensor], library: Path) -> None:
    """Compile a graph to a shared library, and move the library to the path `library` atomically."""
    programs = library.parent.parent
    programs.mkdir(mode=0o700, parents=True, exist_ok=True)
    torch_private.call_from_compiled_code(compiled_operations.CALLED)
    made_at = torch_private.compile_library(code, examples)
    with TemporaryDirectory(dir=programs, ignore_cleanup_errors=True) as made:
        shutil.copyfile(made_at, Path(made, _LIBRARY))
        operators = made_at.with_suffix(".json")  # custom operators
        if operators.exists():
            shutil.copyfile(operators, Path(made, _LIBRARY).with_suffix(".json"))
        try:
            Path(made).replace(library.parent)
        except OSError:  # another run has created it meanwhile
            if not library.exists():
                raise


def _results(code: fx.GraphModule) -> Sequence[Any]:
    results = next(iter(code.graph.find_nodes(op="output"))).args[0]
    return results if isinstance(results, (list, tuple)) else ()


def _without_gaps(code: fx.GraphModule, there: Sequence[int]) -> fx.GraphModule:
    """Return a copy of a graph that returns only the results at the positions `there`; its nodes have no metadata.

    It has oneDNN's matrix products.
    """
    results, graph = _results(code), fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.graph_copy(code.graph, copies)
    graph.output([copies[results[place]] for place in there])
    if onednn_is_faster():
        use_onednn(graph, COMPILED)
    for node in graph.nodes:
        node.meta = {}
    return fx.GraphModule(code, graph)
