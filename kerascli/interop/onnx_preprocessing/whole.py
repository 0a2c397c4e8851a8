"""Join the operations before and after a model (preprocessing, predictions) with the model's own ONNX graph."""

from collections.abc import Mapping, Sequence
from typing import Any

from kerascli.interop.onnx_preprocessing.ops import ML, ML_VERSION, OnnxOps, Value, element_type
from kerascli.interop.onnx_preprocessing.steps import RawInput
from kerascli.interop.torch_files import BATCH

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
