"""Builder of nodes of an ONNX graph, with the operations that several transforms need, and of the whole file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerascli.foundation.shapes import Shape
from kerascli.interop.torch_files import BATCH

ML = "ai.onnx.ml"
"""Domain of ONNX's operations of classical machine learning, such as LabelEncoder."""
ML_VERSION = 4


@dataclass(frozen=True, slots=True)
class Value:
    """Tensor of the ONNX graph: its name, dtype ("string" or numpy's name), and shape without the batch axis."""

    name: str
    dtype: str
    shape: Shape

    @property
    def is_float(self) -> bool:
        return self.dtype.startswith("float")


@dataclass(frozen=True, slots=True)
class RawInput:
    """Input of the ONNX graph: one column of raw rows (as they are before all transforms)."""

    column: str
    dtype: str
    shape: Shape


class OnnxOps:
    """Collector of nodes and constants for an ONNX graph, in the order in which they are added."""

    def __init__(self, prefix: str) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._prefix = prefix
        self._count = 0

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an ONNX node that has one output; return the output's name."""
        from onnx import helper

        name = self._name(op)
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def rename(self, value: str, name: str) -> None:
        """Give a tensor another name, such as the name of an output of the ONNX graph, by an Identity node."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"{self._prefix}{name}"))

    def constant(self, array: np.ndarray) -> str:
        """Add a constant to the ONNX graph; return its name."""
        from onnx import numpy_helper

        name = self._name("Constant")
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def _name(self, op: str) -> str:
        self._count += 1
        return f"{self._prefix}{op}_{self._count}"

    # Operations on values

    def cast(self, value: Value, dtype: str) -> Value:
        """Convert numbers to another dtype, by an ONNX Cast node unless they already have that dtype."""
        if value.dtype == dtype:
            return value
        return replace(value, name=self.add("Cast", value.name, to=element_type(dtype)), dtype=dtype)

    def binary(self, op: str, value: Value, other: np.ndarray) -> Value:
        """Apply an ONNX operation to a tensor and a constant of the same dtype, which broadcasts over rows."""
        return replace(value, name=self.add(op, value.name, self.constant(np.asarray(other, value.dtype))))

    def reshape(self, value: Value, sizes: tuple[int, ...], shape: Shape) -> Value:
        """Reshape each row of a tensor to `sizes`, where -1 is inferred; `shape` is the shape that results."""
        target = self.constant(np.array([0, *sizes], np.int64))
        return replace(value, name=self.add("Reshape", value.name, target), shape=shape)

    def guarded(self, value: Value, wrong: str) -> Value:
        """Return `value` unchanged, but let the ONNX run fail if `wrong` (a bool tensor of the same shape) is true
        anywhere.

        An index of 1 in a list of one zero is out of bounds, which is an error of every runtime.
        """
        zero = self.constant(np.zeros(1, value.dtype))
        index = self.add("Cast", wrong, to=element_type("int64"))
        return replace(value, name=self.add("Add", value.name, self.add("Gather", zero, index, axis=0)))

    def finite(self, value: Value) -> Value:
        """Return a tensor unchanged, but let the ONNX run fail if it has missing (nan) or infinite floats."""
        if not value.is_float:
            return value
        difference = self.add("Sub", value.name, value.name)  # nan for nan and infinity
        return self.guarded(value, self.add("IsNaN", difference))

    def encoded(self, indices: Value, mode: str, size: int) -> Value:
        """Encode category ids (int64) as vectors, as `preprocessing.categories.encode` does; ids out of range are
        dropped."""
        if mode == "int":
            return indices
        if mode == "one_hot" and indices.shape[-1:] == (1,):
            name, shape = self.add("Squeeze", indices.name, self.constant(np.array([-1]))), indices.shape[:-1]
            indices = replace(indices, name=name, shape=shape)
        dtype = "float32" if mode == "count" else "uint8"
        every = self.constant(np.arange(size, dtype=np.int64))
        last = self.constant(np.array([-1], np.int64))
        hot = self.add("Equal", self.add("Unsqueeze", indices.name, last), every)
        vectors = Value(hot, "bool", (*indices.shape, size))
        if mode == "one_hot" or not indices.shape:
            return self.cast(vectors, dtype)
        counted = self.cast(vectors, "float32")
        axes = self.constant(np.array([-2], np.int64))
        name = self.add("ReduceMax" if mode == "multi_hot" else "ReduceSum", counted.name, axes, keepdims=0)
        return self.cast(Value(name, "float32", (*indices.shape[:-1], size)), dtype)


def element_type(dtype: str) -> int:
    """Return the number by which ONNX denotes a dtype."""
    from onnx import TensorProto, helper

    return TensorProto.STRING if dtype == "string" else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


MODEL = "model/"
"""Prefix of the names that the model's own tensors get in the joined ONNX graph."""


def joined(
    model: bytes,
    inputs: Mapping[str, Value],
    raw: Sequence[RawInput],
    before: OnnxOps,
    after: OnnxOps,
    outputs: Mapping[str, Value],
) -> bytes:
    """Return an ONNX file that computes the operations `before`, then the model, then the operations `after`.

    `inputs` are the tensors of `before` by the model's inputs, `outputs` those of `after` by their names in the file.
    """
    import onnx
    from onnx import compose, helper

    own = compose.add_prefix(onnx.load_model_from_string(model), MODEL)
    for name, value in inputs.items():
        before.rename(value.name, f"{MODEL}{name}")
    for name, value in outputs.items():
        after.rename(value.name, name)
    used = {name for node in (*before.nodes, *after.nodes) for name in node.input}
    constants = [each for each in (*before.constants, *after.constants) if each.name in used]
    versions = {each.domain: each.version for each in own.opset_import} | {ML: ML_VERSION}
    graph = helper.make_graph(
        [*before.nodes, *own.graph.node, *after.nodes],
        "kerascli",
        [_info(each.column, Value(each.column, each.dtype, each.shape)) for each in raw],
        [_info(name, value) for name, value in outputs.items()],
        [*constants, *own.graph.initializer],
        value_info=list(own.graph.value_info),
    )
    whole = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in versions.items()],
        ir_version=own.ir_version,
        functions=list(own.functions),
        producer_name="kerascli",
    )
    onnx.checker.check_model(whole)
    return whole.SerializeToString()


def _info(name: str, value: Value) -> Any:
    from onnx import helper

    shape = [BATCH, *(f"{name}_{axis}" if size is None else size for axis, size in enumerate(value.shape, 1))]
    return helper.make_tensor_value_info(name, element_type(value.dtype), shape)
