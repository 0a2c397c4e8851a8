"""ONNX operations on text, which torch has not: while a graph is traced, a text is a placeholder of int64."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

ML_VERSION, VERSION = 4, 20
"""Versions of ONNX's operations of classical machine learning (`ai.onnx.ml`), and of all others."""
_TABLE = "table"
"""Attribute with all attributes of a LabelEncoder as JSON while the graph is traced: long lists are slow there."""
_KINDS = {str: "string", int: "int64"}


def mapped(x: Tensor, table: Mapping[Any, Any], default: Any) -> Tensor:  # (N, *) -> (N, *)
    """Map texts or integers by a table to others, in an ONNX graph; `default` is for values that are not in the
    table."""
    key, value = _KINDS[type(next(iter(table)))], _KINDS[type(default)]
    attributes = {f"keys_{key}s": list(table), f"values_{value}s": list(table.values()), f"default_{value}": default}
    encoded = {_TABLE: json.dumps(attributes)}
    name = "ai.onnx.ml::LabelEncoder"
    return _operation(name, (x,), encoded, ML_VERSION, dtype=torch.int64, shape=x.shape)


def filled(x: Tensor, fill: Sequence[str]) -> Tensor:  # (N, *) -> (N, *)
    """Replace empty texts by those of `fill` (one, or one for each index of the last axis), in an ONNX graph."""
    is_empty = _operation("Equal", (x, _constant([""])), dtype=torch.bool, shape=x.shape)
    return _operation("Where", (is_empty, _constant(fill), x), dtype=torch.int64, shape=x.shape)


def _constant(texts: Sequence[str]) -> Tensor:
    return _operation("Constant", (), {"value_strings": list(texts)}, dtype=torch.int64, shape=(len(texts),))


def _operation(
    name: str, inputs: Sequence[Tensor], attributes: Any = None, version: int = VERSION, **made: Any
) -> Tensor:
    return torch.onnx.ops.symbolic(name, inputs, attributes, version=version, **made)


def with_texts(model: Any, texts: Collection[str]) -> Any:
    """Return an ONNX model whose inputs and outputs `texts` are strings, in place of placeholders; the types of values
    in the graph are inferred again."""
    import onnx  # pyright: ignore[reportMissingImports]

    graph = model.graph
    encoders = [node for node in graph.node if node.op_type == "LabelEncoder"]
    for node in encoders:
        table = json.loads(node.attribute[0].s)
        del node.attribute[:]
        node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in table.items())
    for info in (*graph.input, *graph.output):
        if info.name in texts:
            info.type.tensor_type.elem_type = onnx.TensorProto.STRING
    if not encoders:
        return model
    del graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model)
