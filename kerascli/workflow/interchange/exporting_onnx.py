"""Export a run to an ONNX file that includes its preprocessing and computes predictions from raw columns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from kerascli.data.base import NO_STATE
from kerascli.data.pipeline.learned_state import known_columns
from kerascli.data.pipeline.pipeline import undone_steps
from kerascli.data.pipeline.prepare import infer_all, named_pipelines_of
from kerascli.foundation.errors import ConfigError
from kerascli.interop import torch_files
from kerascli.interop.example_inputs import open_size
from kerascli.interop.onnx_preprocessing.answers import Undone, classes_of, in_units, probabilities_of
from kerascli.interop.onnx_preprocessing.ops import OnnxOps, Value
from kerascli.interop.onnx_preprocessing.steps import RawInput, raw_inputs, tensor_of
from kerascli.interop.onnx_preprocessing.whole import MODEL, joined
from kerascli.metrics.comparisons import OutputTarget
from kerascli.training.classes import class_reading
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.units import inverse_of

_ROWS_MADE = 3
"""Number of rows in the example inputs with which the model is exported."""


@dataclass(frozen=True, slots=True)
class OnnxOfRows:
    """ONNX file, as bytes, that takes raw columns, with the names of its inputs and outputs."""

    data: bytes
    raw: Sequence[RawInput]
    outputs: Mapping[str, str]
    """Mapping from model output to its name in the ONNX file."""


def onnx_of_rows(run: LoadedRun) -> OnnxOfRows:
    """Return an ONNX file that computes the predictions of a run's model from raw columns.

    Raises ConfigError for a transform that ONNX has no operations for.
    """
    if run.data is None or run.takes_arrays or run.has_own_inputs:
        raise ConfigError("--preprocessing: the model takes arrays of its own, not rows: there is nothing to include")
    experiment, model = run.experiment, run.experiment.spec.model
    torch_files.need_onnx()
    needed = {given.name for given in model.inputs}
    named_pipelines = [
        named for named in named_pipelines_of(run.data) if named.section == "inputs" and named.name in needed
    ]
    columns = known_columns(run.learned)
    fields = infer_all(named_pipelines, columns, run.learned)
    pipelines = {named.name: (named, fields[named.id]) for named in named_pipelines}
    raw = raw_inputs(pipelines, columns)
    before, after = OnnxOps("preprocessing/"), OnnxOps("answers/")
    given = {each.column: Value(each.column, each.dtype, each.shape) for each in raw}
    tensors = {each.name: tensor_of(before, *pipelines[each.name], run.learned, given) for each in model.inputs}
    example = [_example(tensor, open_size(model)) for tensor in tensors.values()]
    data = torch_files.onnx_bytes(experiment, example, [tensor.shape for tensor in tensors.values()])
    outputs: dict[str, Value] = {}
    names: dict[str, str] = {}
    for name, value in _answers(run, after):
        free = name
        while free in given or free in outputs:
            free += "_"
        outputs[free], names[name] = value, free
    return OnnxOfRows(joined(data, tensors, raw, before, after, outputs), raw, names)


def _example(tensor: Value, size: int) -> torch.Tensor:
    sizes = [_ROWS_MADE, *(size if each is None else each for each in tensor.shape)]
    dtype = getattr(torch, tensor.dtype)
    generator = torch.Generator().manual_seed(1)
    if dtype.is_floating_point:
        return torch.randn(sizes, generator=generator).to(dtype)
    return torch.randint(0, 2, sizes, generator=generator).to(dtype)


def _answers(run: LoadedRun, ops: OnnxOps) -> Iterator[tuple[str, Value]]:
    """Yield (name, ONNX value) for each output of the file: values, or predicted classes and their probabilities."""
    spec, facts = run.experiment.spec, run.stages.facts
    pairs = {pair.output: pair for pair in spec.pairs}
    for name in spec.model.outputs:
        made, pair = spec.built.specs[name], pairs.get(name)
        output = Value(f"{MODEL}{name}", made.dtype, made.shape)
        if made.dtype.startswith("float"):  # with mixed precision it is float16 or bfloat16
            output = ops.cast(replace(output, dtype="made"), "float32")
        if pair is not None and inverse_of(run, pair) is not None:
            yield name, in_units(ops, output, facts.targets[pair.target], _undone(run, pair))
            continue
        yield name, output
        meta = torch.empty(1, *(size or 1 for size in made.shape))
        reading = None if pair is None else class_reading(meta, facts.targets.get(pair.target), pair.loss)
        if reading is not None:
            probabilities = probabilities_of(ops, output, reading)
            yield f"{name}_class", classes_of(ops, probabilities, reading)
            yield f"{name}_probabilities", probabilities


def _undone(run: LoadedRun, pair: OutputTarget) -> Undone:
    assert run.data is not None
    named = next(each for each in named_pipelines_of(run.data) if each.id == ("targets", pair.target))
    fields = infer_all([named], known_columns(run.learned), run.learned)[named.id]
    steps = [index for index, _ in undone_steps(named, fields, run.learned)]
    return [
        (named.pipeline.steps[index].transform, fields[index], run.learned.get(named.key(index), NO_STATE))
        for index in steps
    ]
