"""Run a graph of torch operations by TorchScript's interpreter, so that no Python code runs between them.

A call from Python takes about a microsecond longer, which is more than many operations of small layers take themselves.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from kerascli.compiler.torch_private import new_script_graph, run_script_graph

_MEMORY_FORMATS = (torch.contiguous_format, torch.preserve_format, torch.channels_last, torch.channels_last_3d)
"""Memory formats, in the order of their numbers in TorchScript."""


def interpreted(code: fx.GraphModule) -> Callable[..., Sequence[Tensor | None]]:
    """Return a function that runs a graph by TorchScript's interpreter: the same operations in the same order.

    The graph's operations must be called as torch's operators, not as methods, and may raise only torch's errors.
    """
    graph = new_script_graph()
    values: dict[fx.Node, Any] = {}
    for node in code.graph.nodes:
        if node.op == "placeholder":
            values[node] = graph.addInput()
        elif node.op == "get_attr":
            values[node] = graph.insertConstant(code.get_buffer(str(node.target)))
        elif node.op == "output":
            results = [_argument(graph, result, None, values) for result in node.args[0]]
            joined = torch.TupleType([result.type() for result in results])
            graph.registerOutput(_append(graph, "prim::TupleConstruct", results, [joined]).output())
        elif node.target is operator.getitem:
            values[node] = _item(graph, values[node.args[0]], node.args[1])
        else:
            values[node] = _result(graph, node, values)
    call = run_script_graph(graph)

    def run(*inputs: Tensor) -> Sequence[Tensor | None]:
        try:
            return call(*inputs)
        except RuntimeError:
            code.forward(*inputs)  # raises torch's own error
            raise

    return run


def _result(graph: Any, node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
    """Append an operation to TorchScript's graph; return its result, or a list of its results."""
    schema = node.target._schema  # pyright: ignore
    arguments = []
    for number, argument in enumerate(schema.arguments):
        default = node.kwargs.get(argument.name, argument.default_value)
        value = node.args[number] if number < len(node.args) else default
        arguments.append(_argument(graph, value, argument.type, values))
    results = list(_append(graph, schema.name, arguments, [result.type for result in schema.returns]).outputs())
    return results if len(results) > 1 else results[0]


def _item(graph: Any, results: Any, number: int) -> Any:
    """Return one of an operation's results: `results` is a list of values, or one value that is a list of tensors."""
    if isinstance(results, list):
        return results[number]
    kind = results.type().getElementType()
    return _append(graph, "aten::__getitem__", [results, graph.insertConstant(number)], [kind]).output()


def _argument(graph: Any, value: Any, kind: Any, values: Mapping[fx.Node, Any]) -> Any:
    """Return the value in TorchScript's graph for an argument of a graph node; `kind` is its type in TorchScript."""
    if isinstance(value, fx.Node):
        return values[value]
    if isinstance(value, (list, tuple)):
        kind = kind.getElementType() if kind.kind() == "OptionalType" else kind
        each = [_argument(graph, item, kind.getElementType(), values) for item in value]
        return _append(graph, "prim::ListConstruct", each, [kind]).output()
    if isinstance(value, int) and "float" in str(kind):
        value = float(value)
    return graph.insertConstant(_MEMORY_FORMATS.index(value) if isinstance(value, torch.memory_format) else value)


def _append(graph: Any, name: str, arguments: Sequence[Any], types: Sequence[Any]) -> Any:
    node = graph.create(name, list(arguments), len(types))
    for output, kind in zip(node.outputs(), types, strict=True):
        output.setType(kind)
    return graph.appendNode(node)
