"""Export models to formats that do not need Keras: safetensors, torch state dict, torch.export, ONNX."""

import io
import logging
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kerascli.compiler.cache import existing_cache
from kerascli.data.text.onnx_texts import with_texts
from kerascli.foundation.errors import ConfigError, first_line, safe_text
from kerascli.foundation.shapes import Shape, TensorSpec
from kerascli.model.runtime.weights import Weight
from kerascli.training.build import Experiment
from kerascli.training.objectives.train_step import autocast
from kerascli.training.tensor_file import read_tensors, tensor_pieces

MAX_ONNX_BYTES = 2**31 - 1
"""Largest size of an ONNX file in bytes, because the file is one protobuf message."""


Specs = Mapping[str, TensorSpec]

BATCH = "batch"
"""Name of the batch axis of inputs and outputs in an ONNX file."""
_OPSET = 20
"""Version of ONNX's operations in files: from 19 on strings can be compared. Torch before 2.9 writes 18 by default."""


class Forward(nn.Module):
    """Torch module that runs a model's graph: takes a tensor for each model input, in order, and returns the outputs.

    With `staged`, the steps of the pipelines that run per batch come first.
    """

    def __init__(self, experiment: Experiment, *, staged: bool = False) -> None:
        super().__init__()
        self.stage = experiment.module.input_stage if staged else None
        self.model = experiment.graph
        self.precision = experiment.module.precision
        self.names = [each.name for each in experiment.spec.model.inputs]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:  # each (N, *) -> each (N, *)
        tensors = dict(zip(self.names, inputs, strict=True))
        tensors = tensors if self.stage is None else self.stage(tensors)
        with autocast(self.precision, inputs[0].device):
            outcome = self.model(tensors)
        return tuple(outcome.outputs.values())


def weights_file(
    weights: Sequence[Weight], texts: Mapping[str, str], *, torch_layout: bool
) -> tuple[bytes, dict[str, Tensor], dict[str, Tensor]]:
    """Return a file of weights, the tensors written to it by name, and the tensors read back from it.

    It is a safetensors file in Keras's layout, whose metadata has `texts` by name; or, with `torch_layout`, a state
    dict (`dense.kernel` ...) for torch.load(weights_only=True).
    """
    if torch_layout:
        tensors = {w.name.replace("/", "."): w.tensor.detach().to("cpu").contiguous().clone() for w in weights}
        out = io.BytesIO()
        torch.save(tensors, out)
        return out.getvalue(), tensors, torch.serialization.load(io.BytesIO(out.getvalue()), weights_only=True)
    tensors = {weight.name: weight.keras().to("cpu").contiguous() for weight in weights}
    data = b"".join(tensor_pieces(tensors, {"format": "pt", **texts}))
    return data, tensors, read_tensors(data, "the exported file")


def program_bytes(experiment: Experiment, inputs: Sequence[Tensor], texts: Mapping[str, str]) -> bytes:
    """Return a torch.export file of the model's forward pass, which accepts batches of any size.

    Its extra files are `texts` by name.
    """
    out = io.BytesIO()
    shapes = [each.spec.shape for each in experiment.spec.model.inputs]
    torch.export.save(_program(Forward(experiment), inputs, shapes), out, extra_files=dict(texts))
    return out.getvalue()


def _program(module: nn.Module, inputs: Sequence[Tensor], shapes: Sequence[Shape]) -> Any:
    """Return the traced graph of a module for batches of any size, and for any size of the axes of unknown size if the
    module's code allows. Raises ConfigError."""
    dim = torch.export.Dim
    dynamic = tuple(
        {0: dim.DYNAMIC, **{axis: dim.AUTO for axis, size in enumerate(shape, 1) if size is None}} for shape in shapes
    )
    try:
        with torch.no_grad(), existing_cache(), warnings.catch_warnings(action="ignore"):  # of torch about its code
            program = torch.export.export(module.eval(), tuple(inputs), dynamic_shapes=(dynamic,))
    except ConfigError:
        raise
    except Exception as error:  # torch.export raises errors of many classes
        raise ConfigError(f"torch.export cannot export this model: {first_line(error)}") from error
    if any(str(node.target) == "kerascli.buckets.default" for node in program.graph.nodes):
        hint = "hash them in the input's pipeline under data, or take --format keras"
        raise ConfigError("a layer hashes integers, which torch and ONNX have no operations for", hint=hint)
    return program


Tensors = tuple[dict[str, TensorSpec], dict[str, TensorSpec]]
"""Type of (inputs, outputs) of a model: mappings from name to shape and dtype."""


def model_tensors(experiment: Experiment) -> Tensors:
    """Return shapes and dtypes of the inputs and of the outputs of a model, by name."""
    model, specs = experiment.spec.model, experiment.spec.built.specs
    return {each.name: each.spec for each in model.inputs}, {name: specs[name] for name in model.outputs}


def onnx_tensors(data: bytes) -> Tensors:
    """Return shapes and dtypes of the inputs and of the outputs of an ONNX file, by name; texts are of dtype string."""
    import onnx  # pyright: ignore[reportMissingImports]

    def spec(info: Any) -> TensorSpec:
        tensor = info.type.tensor_type
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        # torch names an axis by the size that it must have
        sizes = (int(dim.dim_param) if dim.dim_param.isdigit() else dim.dim_value for dim in tensor.shape.dim[1:])
        return TensorSpec(tuple(size or None for size in sizes), "string" if dtype == "object" else dtype)

    graph = onnx.load_model_from_string(data).graph
    return {each.name: spec(each) for each in graph.input}, {each.name: spec(each) for each in graph.output}


def onnx_bytes(
    module: nn.Module, example: Sequence[Tensor], inputs: Specs, outputs: Specs, texts: Mapping[str, str] | None = None
) -> bytes:
    """Return an ONNX file of a module, with the names, shapes and dtypes of its inputs and outputs, of which some may
    be text. Its metadata has `texts` by name. Raises ConfigError."""
    need_onnx()
    size = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    if size > MAX_ONNX_BYTES:
        raise ConfigError(f"an ONNX file holds at most 2 GB, but the weights have {size:,} bytes")
    program = _program(module, example, [each.shape for each in inputs.values()])
    for name in ("torch.onnx", "onnxscript"):  # they warn of packages and folds that are not needed here
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):  # warnings of torch about its own code
            made = torch.onnx.export(
                program, dynamo=True, verbose=False, external_data=False, opset_version=_OPSET,
                input_names=list(inputs), output_names=list(outputs),
            )  # fmt: skip
    except Exception as error:  # errors of torch.onnx, onnxscript and torch
        text = f"torch.onnx cannot export this model: {safe_text(first_line(_origin(error)))}"
        raise ConfigError(text, hint="try --format torch_export or keras") from error
    assert made is not None
    specs = {**inputs, **outputs}
    _rename_inner_values(made.model.graph, specs)
    proto = with_texts(made.model_proto, {name for name, spec in specs.items() if spec.dtype == "string"})
    for node in proto.graph.node:
        del node.metadata_props[:]  # where torch traced it, with paths of this machine
    for key, text in (texts or {}).items():
        proto.metadata_props.add(key=key, value=text)
    _name_axes(proto.graph)
    _state_shapes(proto.graph, outputs)
    return proto.SerializeToString()


def _rename_inner_values(graph: Any, names: Collection[str]) -> None:
    """Give values within an ONNX graph, which torch calls after their operations, other names than `names`."""
    for value in (value for node in graph for value in node.outputs if value not in graph.outputs):
        if value.name in names:
            value.name += ".inner"


def _name_axes(graph: Any) -> None:
    """Rename the axes of any size in an ONNX graph, also in sizes computed from them, from torch's symbols to BATCH and
    `INPUT_1` ..., after the input that has the axis."""
    names: dict[str, str] = {}
    for info in graph.input:
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            if dim.dim_param.isidentifier():
                names.setdefault(dim.dim_param, f"{info.name}_{axis}" if axis else BATCH)
    if not names:
        return
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(names)))})\b")
    for info in (*graph.input, *graph.output, *graph.value_info):
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = pattern.sub(lambda match: names[match[0]], dim.dim_param)


def _state_shapes(graph: Any, specs: Mapping[str, TensorSpec]) -> None:
    """Give the outputs of an ONNX graph the shapes that they have in the model; torch 2.8 states others for LSTMs."""
    for output in graph.output:
        dims, shape = output.type.tensor_type.shape.dim, specs[output.name].shape
        del dims[1 + len(shape) :]
        while len(dims) < 1 + len(shape):
            dims.add()
        dims[0].dim_param = BATCH
        for dim, size in zip(dims[1:], shape, strict=True):
            if size is not None:
                dim.dim_value = size


def need_onnx() -> None:
    """Raise ConfigError if one of the packages that the ONNX export needs is not installed."""
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        text = f"ONNX files need the packages {', '.join(missing)}, which are not installed"
        raise ConfigError(text, hint='pip install "kerascli[onnx]"')


def run_onnx(data: bytes, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run an ONNX file (as bytes) in ONNX Runtime on the tensors `inputs`, and return its outputs by name."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    try:
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    except Exception as error:  # of classes that are private there
        text = f"ONNX Runtime cannot run this model on the CPU: {safe_text(first_line(error))}"
        raise ConfigError(text, hint="try --format torch_export or keras") from error
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, map(np.asarray, session.run(names, dict(inputs))), strict=True))


def _origin(error: BaseException) -> BaseException:
    """Return the first exception in the chain that led to an export error; it names the operation that failed."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error
