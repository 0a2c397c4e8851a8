"""A model as files that need no Keras: safetensors, a torch state dict, torch.export, ONNX."""

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
"""What one protobuf message holds."""


class Forward(nn.Module):
    """The graph as PyTorch expects a model: tensors in the order of the inputs in, those of the outputs out."""

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
    """The weights by our names, in Keras's layout; the model section is the JSON `model` of the metadata."""
    tensors = {weight.name: weight.keras().to("cpu").contiguous() for weight in weights}
    return save_tensors(tensors, metadata={"format": "pt", "model": json.dumps(model)})


def state_dict_bytes(weights: Sequence[Weight]) -> bytes:
    """`dense.kernel` and so on in torch's layout, for torch.load(weights_only=True)."""
    out = io.BytesIO()
    torch.save({key: value.contiguous().clone() for key, value in _by_dots(weights).items()}, out)
    return out.getvalue()


def state_dict_of(data: bytes) -> dict[str, Tensor]:
    """The tensors of a state dict, as its readers get them."""
    return torch.serialization.load(io.BytesIO(data), weights_only=True)


def _by_dots(weights: Sequence[Weight]) -> dict[str, Tensor]:
    return {weight.name.replace("/", "."): weight.tensor.detach().to("cpu") for weight in weights}


def differs(weights: Sequence[Weight], found: Mapping[str, Tensor], *, torch_layout: bool) -> bool:
    """Whether tensors read back are not these weights."""
    own = _by_dots(weights) if torch_layout else {weight.name: weight.keras().to("cpu") for weight in weights}
    return own.keys() != found.keys() or not all(torch.equal(value, found[name]) for name, value in own.items())


def program_bytes(experiment: Experiment, inputs: Sequence[Tensor]) -> bytes:
    """The forward as a program of torch.export; the batch may have any size."""
    out = io.BytesIO()
    torch.export.save(_program(experiment, inputs), out)
    return out.getvalue()


def run_program(data: bytes, inputs: Sequence[Tensor]) -> list[Tensor]:
    """What such a file computes."""
    return list(torch.export.load(io.BytesIO(data)).module()(*inputs))


def _program(experiment: Experiment, inputs: Sequence[Tensor]) -> Any:
    forward = Forward(experiment).eval()
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # torch's own, about torch
            return torch.export.export(forward, tuple(inputs), dynamic_shapes=(_dynamic(experiment),))
    except Exception as error:  # torch.export has a class for each way to fail
        raise ConfigError(f"torch.export cannot take this model: {first_line(error)}") from error


def _dynamic(experiment: Experiment) -> tuple[dict[int, Any], ...]:
    """The batch of every input has any size, and so has, where the model's code lets it, what a spec leaves open."""
    dim = torch.export.Dim
    return tuple(
        {0: dim.DYNAMIC, **{axis + 1: dim.AUTO for axis, size in enumerate(given.spec.shape) if size is None}}
        for given in experiment.spec.model.inputs
    )


def onnx_bytes(experiment: Experiment, inputs: Sequence[Tensor]) -> bytes:
    """The forward as an ONNX model, inputs and outputs by their names. Raises ConfigError."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        text = f"ONNX files need the packages {', '.join(missing)}, which are not installed"
        raise ConfigError(text, hint='pip install "kerascli[onnx]"')
    model = experiment.spec.model
    program = _program(experiment, inputs)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of packages that are not needed here
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's own, about torch
            made = torch.onnx.export(
                program, dynamo=True, verbose=False, external_data=False,
                input_names=[given.name for given in model.inputs], output_names=list(model.outputs),
            )  # fmt: skip
    except Exception as error:  # its own, onnxscript's and torch's
        text = f"torch.onnx cannot export this model: {safe_text(first_line(_origin(error)))}"
        raise ConfigError(text, hint="--format torch_export or keras may take it") from error
    assert made is not None
    size = sum(weight.tensor.nbytes for weight in experiment.weights)
    if size > MAX_ONNX_BYTES:
        raise ConfigError(f"an ONNX file holds at most 2 GB, the weights have {size:,} bytes")
    return made.model_proto.SerializeToString()


def run_onnx(data: bytes, names: Sequence[str], inputs: Sequence[Tensor]) -> list[Tensor]:
    """What such a file computes in ONNX Runtime."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    given = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
    return [torch.from_numpy(value) for value in session.run(None, given)]


def _origin(error: BaseException) -> BaseException:
    """Return the first of a chain of errors: torch's exporter wraps the one that names the operation."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error
