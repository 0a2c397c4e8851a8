"""Builder of ONNX operations, and the ones that several transforms need."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerascli.shapes import Shape

ML = "ai.onnx.ml"
"""Domain of ONNX's operations of classical machine learning, such as LabelEncoder."""
ML_VERSION = 4


@dataclass(frozen=True, slots=True)
class Value:
    """Tensor of the graph: its name, its dtype ("string" or numpy's name), and its shape without the batch axis."""

    name: str
    dtype: str
    shape: Shape

    @property
    def is_float(self) -> bool:
        return self.dtype.startswith("float")


class OnnxOps:
    """Collector of the nodes and constants of a graph, in their order."""

    def __init__(self, prefix: str) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._prefix = prefix
        self._count = 0

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; return the output's name."""
        from onnx import helper

        name = self._name(op)
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def rename(self, value: str, name: str) -> None:
        """Give a tensor another name, such as that of an output of the graph."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"{self._prefix}{name}"))

    def constant(self, array: np.ndarray) -> str:
        """Add a constant; return its name."""
        from onnx import numpy_helper

        name = self._name("Constant")
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def _name(self, op: str) -> str:
        self._count += 1
        return f"{self._prefix}{op}_{self._count}"

    # Operations on values

    def cast(self, value: Value, dtype: str) -> Value:
        """Convert numbers to another dtype."""
        if value.dtype == dtype:
            return value
        return replace(value, name=self.add("Cast", value.name, to=element_type(dtype)), dtype=dtype)

    def binary(self, op: str, value: Value, other: np.ndarray) -> Value:
        """Apply an operation to a value and a constant of the same dtype, which broadcasts over rows."""
        return replace(value, name=self.add(op, value.name, self.constant(np.asarray(other, value.dtype))))

    def reshape(self, value: Value, sizes: tuple[int, ...], shape: Shape) -> Value:
        """Reshape each row to `sizes`, in which -1 is inferred; `shape` is the result's."""
        target = self.constant(np.array([0, *sizes], np.int64))
        return replace(value, name=self.add("Reshape", value.name, target), shape=shape)

    def guarded(self, value: Value, wrong: str) -> Value:
        """Return numbers unchanged, but let the run fail where `wrong` (bool, of the value's shape) is true.

        An index of 1 in a list of one zero is out of bounds, which is an error of every runtime.
        """
        zero = self.constant(np.zeros(1, value.dtype))
        index = self.add("Cast", wrong, to=element_type("int64"))
        return replace(value, name=self.add("Add", value.name, self.add("Gather", zero, index, axis=0)))

    def finite(self, value: Value) -> Value:
        """Return floats unchanged, but let the run fail for missing (nan) and infinite values."""
        if not value.is_float:
            return value
        difference = self.add("Sub", value.name, value.name)  # nan for nan and infinity
        return self.guarded(value, self.add("IsNaN", difference))

    def encoded(self, indices: Value, mode: str, size: int) -> Value:
        """Encode category ids (int64) as vectors, as `preprocessing.categories.encode`; outside ids are dropped."""
        if mode == "int":
            return indices
        if mode == "one_hot" and indices.shape[-1:] == (1,):
            name, shape = self.add("Squeeze", indices.name, self.constant(np.array([-1]))), indices.shape[:-1]
            indices = replace(indices, name=name, shape=shape)
        dtype = "float32" if mode == "count" else "uint8"
        every = self.constant(np.arange(size, dtype=np.int64))
        last = self.constant(np.array([-1], np.int64))
        hot = self.add("Equal", self.add("Unsqueeze", indices.name, last), every)
        found = Value(hot, "bool", (*indices.shape, size))
        if mode == "one_hot" or not indices.shape:
            return self.cast(found, dtype)
        counted = self.cast(found, "float32")
        axes = self.constant(np.array([-2], np.int64))
        name = self.add("ReduceMax" if mode == "multi_hot" else "ReduceSum", counted.name, axes, keepdims=0)
        return self.cast(Value(name, "float32", (*indices.shape[:-1], size)), dtype)


def element_type(dtype: str) -> int:
    """Return ONNX's number of a dtype."""
    from onnx import TensorProto, helper

    return TensorProto.STRING if dtype == "string" else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
