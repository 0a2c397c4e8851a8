"""Export of models to formats that do not need Keras: safetensors, torch state dict, torch.export, ONNX."""

import io
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from kerascli.errors import ConfigError, first_line, safe_text
from kerascli.model.runtime.weights import Weight
from kerascli.training.build import Experiment
from kerascli.training.train_step import autocast

MAX_ONNX_BYTES = 2**31 - 1
"""Largest size of an ONNX file, which is one protobuf message."""


class Forward(nn.Module):
    """A model's graph as a plain torch module: tensors in the order of the inputs -> tensors of the outputs."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        self.model = experiment.graph
        self.precision = experiment.module.precision
        self.names = [given.name for given in experiment.spec.model.inputs]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:  # each (N, *) -> each (N, *)
        with autocast(self.precision, inputs[0].device):
            outcome = self.model(dict(zip(self.names, inputs, strict=True)))
        return tuple(outcome.outputs.values())


def safetensors_bytes(weights: Sequence[Weight], model: Mapping[str, Any]) -> bytes:
    """Return a safetensors file: weights by name, in Keras's layout, and the model section as JSON in the metadata."""
    tensors = {weight.name: weight.keras().to("cpu").contiguous() for weight in weights}
    return save_tensors(tensors, metadata={"format": "pt", "model": json.dumps(model)})


def state_dict_bytes(weights: Sequence[Weight]) -> bytes:
    """Return a state dict (`dense.kernel`, ...) in torch's layout, for torch.load(weights_only=True)."""
    out = io.BytesIO()
    torch.save({key: value.contiguous().clone() for key, value in _by_dots(weights).items()}, out)
    return out.getvalue()


def state_dict_of(data: bytes) -> dict[str, Tensor]:
    """Return the tensors of a state dict file."""
    return torch.serialization.load(io.BytesIO(data), weights_only=True)


def _by_dots(weights: Sequence[Weight]) -> dict[str, Tensor]:
    return {weight.name.replace("/", "."): weight.tensor.detach().to("cpu") for weight in weights}


def differs(weights: Sequence[Weight], found: Mapping[str, Tensor], *, torch_layout: bool) -> bool:
    """Return True if tensors read back from a file differ from the weights in names or values."""
    own = _by_dots(weights) if torch_layout else {weight.name: weight.keras().to("cpu") for weight in weights}
    return own.keys() != found.keys() or not all(torch.equal(value, found[name]) for name, value in own.items())


def program_bytes(experiment: Experiment, inputs: Sequence[Tensor]) -> bytes:
    """Return a torch.export file of the forward pass, for batches of any size."""
    out = io.BytesIO()
    torch.export.save(_program(experiment, inputs), out)
    return out.getvalue()


def run_program(data: bytes, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the outputs that a torch.export file computes."""
    return list(torch.export.load(io.BytesIO(data)).module()(*inputs))


def _program(experiment: Experiment, inputs: Sequence[Tensor]) -> Any:
    forward = Forward(experiment).eval()
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # warnings of torch about its own code
            return torch.export.export(forward, tuple(inputs), dynamic_shapes=(_dynamic(experiment),))
    except Exception as error:  # torch.export raises errors of many classes
        raise ConfigError(f"torch.export cannot export this model: {first_line(error)}") from error


def _dynamic(experiment: Experiment) -> tuple[dict[int, Any], ...]:
    """Return the dynamic axes of each input for torch.export: the batch axis, and unknown dimensions if code allows."""
    dim = torch.export.Dim
    return tuple(
        {0: dim.DYNAMIC, **{axis + 1: dim.AUTO for axis, size in enumerate(given.spec.shape) if size is None}}
        for given in experiment.spec.model.inputs
    )


def onnx_bytes(experiment: Experiment, inputs: Sequence[Tensor]) -> bytes:
    """Return an ONNX file of the forward pass, with the model's names of inputs and outputs. Raises ConfigError."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        text = f"ONNX files need the packages {', '.join(missing)}, which are not installed"
        raise ConfigError(text, hint='pip install "kerascli[onnx]"')
    model = experiment.spec.model
    program = _program(experiment, inputs)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that are not needed here
    try:
        with warnings.catch_warnings(action="ignore"):  # warnings of torch about its own code
            made = torch.onnx.export(
                program, dynamo=True, verbose=False, external_data=False,
                input_names=[given.name for given in model.inputs], output_names=list(model.outputs),
            )  # fmt: skip
    except Exception as error:  # errors of torch.onnx, onnxscript and torch
        text = f"torch.onnx cannot export this model: {safe_text(first_line(_origin(error)))}"
        raise ConfigError(text, hint="try --format torch_export or keras") from error
    assert made is not None
    size = sum(weight.tensor.nbytes for weight in experiment.weights)
    if size > MAX_ONNX_BYTES:
        raise ConfigError(f"an ONNX file holds at most 2 GB, but the weights have {size:,} bytes")
    return made.model_proto.SerializeToString()


def run_onnx(data: bytes, names: Sequence[str], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the outputs that ONNX Runtime computes from an ONNX file."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    given = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
    return [torch.from_numpy(value) for value in session.run(None, given)]


def _origin(error: BaseException) -> BaseException:
    """Return the innermost of chained export errors, which names the operation that failed."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error
