"""Export a run to an ONNX file that includes its preprocessing, and compare it with `predict` on random raw rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from kerascli.data.base import NO_STATE, Field, States
from kerascli.data.batches.rows import Split
from kerascli.data.pipeline.learned_state import known_columns
from kerascli.data.pipeline.prepare import fitted_pipelines, named_pipelines_of, prepare_rows
from kerascli.data.section import DataSpec
from kerascli.data.storage.table import table_of
from kerascli.data.transforms.lookup import Lookup
from kerascli.features.feature_space import FeatureSpace
from kerascli.foundation.errors import ConfigError, DataError
from kerascli.interop import torch_files
from kerascli.interop.example_inputs import open_size
from kerascli.interop.onnx_preprocessing.numbers import Undone, classes_of, in_units, probabilities_of
from kerascli.interop.onnx_preprocessing.ops import MODEL, OnnxOps, RawInput, Value, joined
from kerascli.interop.onnx_preprocessing.steps import raw_inputs, tensor_of
from kerascli.metrics.comparisons import OutputTarget
from kerascli.training.checks.label_range_checks import check_values
from kerascli.training.classes import ClassReading, class_reading
from kerascli.training.evaluate import predict
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.units import inverse_of

_ROWS_MADE = 3
"""Number of rows in the example inputs with which the model is exported."""
_ROWS_COMPARED = 6


@dataclass(frozen=True, slots=True)
class OnnxOfRows:
    """Bytes of an ONNX file whose model has raw columns as inputs, and the names of its inputs and outputs."""

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
    needed = {each.name for each in model.inputs}
    fitted = fitted_pipelines(run.data, run.learned)
    pipelines = {
        each.named.name: each for each in fitted if each.named.section == "inputs" and each.named.name in needed
    }
    raw = raw_inputs(pipelines, known_columns(run.learned))
    before, after = OnnxOps("preprocessing/"), OnnxOps("answers/")
    raw_values = {each.column: Value(each.column, each.dtype, each.shape) for each in raw}
    tensors = {each.name: tensor_of(before, pipelines[each.name], raw_values) for each in model.inputs}
    example = [_example(tensor, open_size(model)) for tensor in tensors.values()]
    data = torch_files.onnx_bytes(experiment, example, [tensor.shape for tensor in tensors.values()])
    outputs: dict[str, Value] = {}
    names: dict[str, str] = {}
    for name, value in _answers(run, after):
        free = name
        while free in raw_values or free in outputs:
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
        reading = None if pair is None else _reading_of(run, pair)
        if reading is not None:
            probabilities = probabilities_of(ops, output, reading)
            yield f"{name}_class", classes_of(ops, probabilities, reading)
            yield f"{name}_probabilities", probabilities


def _undone(run: LoadedRun, pair: OutputTarget) -> Undone:
    assert run.data is not None
    fitted = fitted_pipelines(run.data, run.learned)
    undone = next(each for each in fitted if each.named.id == ("targets", pair.target)).undone()
    return [(step.transform, step.field, step.state) for step, _ in undone]


def _reading_of(run: LoadedRun, pair: OutputTarget) -> ClassReading | None:
    """Return the ClassReading (class names ...) of an output of a run's model; None if the output predicts values."""
    shape = [size or 1 for size in run.experiment.spec.built.specs[pair.output].shape]
    return class_reading(torch.empty(1, *shape), run.stages.facts.targets.get(pair.target), pair.loss)


def compared_outputs(run: LoadedRun, file: OnnxOfRows) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
    """Return outputs for random raw rows as two lists of arrays: from the run's model, and from ONNX Runtime.

    None if `predict` refuses the rows, such as numbers where a column holds dates.
    """
    assert run.data is not None
    fields, words = known_columns(run.learned), dict(_vocabularies(run.data, run.learned))
    random = np.random.default_rng(0)
    rows = {each.column: _values(fields[each.column], words.get(each.column), random) for each in file.raw}
    try:
        split = prepare_rows(run.data, run.learned, table_of(rows, "example rows"), targets=False)
        expected = _outputs(run, split)
    except DataError:
        return None
    arrays = {
        each.column: rows[each.column] if each.dtype == "string" else rows[each.column].astype(each.dtype)
        for each in file.raw
    }
    onnx_outputs = torch_files.run_onnx(file.data, arrays)
    return list(expected.values()), [onnx_outputs[file.outputs[name]] for name in expected]


def _outputs(run: LoadedRun, rows: Split) -> dict[str, np.ndarray]:
    """Return the model's outputs for preprocessed rows by name, in the units of targets, as `predict` shows them."""
    experiment, spec = run.experiment, run.experiment.spec
    check_values(spec.graphs, spec.compared(), {"data": rows}, run.stages)
    outputs = predict(experiment.module, rows_in_order(experiment, rows, metrics=False).epoch(0), seed=spec.seed)
    pairs = {pair.output: pair for pair in spec.pairs}
    in_units: dict[str, np.ndarray] = {}
    for name, output in outputs.items():
        undo = inverse_of(run, pairs[name]) if name in pairs else None
        in_units[name] = output.numpy() if undo is None else undo(output.numpy())
    return in_units


def _values(field: Field, words: list[Any] | None, random: np.random.Generator) -> np.ndarray:
    """Return random values for a raw column: words of its vocabulary `words`, small integers, or positive numbers."""
    shape = (_ROWS_COMPARED, *(size or 1 for size in field.shape))
    if words or field.is_text:
        pool = np.array(words or ["a"], object)
        chosen = pool[random.integers(0, len(pool), shape)]
        return chosen if field.is_text else chosen.astype(field.dtype)
    if field.dtype == "uint8":
        return random.integers(0, 256, shape, np.uint8)
    if field.is_integer:
        return random.integers(0, 2, shape).astype(field.dtype)
    return np.abs(random.normal(1.0, 1.0, shape)).astype(field.dtype) + np.asarray(0.1, field.dtype)


def _vocabularies(spec: DataSpec, learned: States) -> Iterator[tuple[str, list[Any]]]:
    """Yield (column name, vocabulary) for the columns that a lookup in the preprocessing takes."""
    for named in named_pipelines_of(spec):
        for index, step in enumerate(named.pipeline.steps if named.section == "inputs" else ()):
            state = learned.get(named.key(index), NO_STATE)
            if isinstance(step.transform, Lookup):
                yield from ((column, state.facts["vocabulary"]) for column in named.pipeline.columns)
            elif isinstance(step.transform, FeatureSpace):
                for name, facts in state.facts["features"].items():
                    yield from ((name, each["vocabulary"]) for each in facts if "vocabulary" in each)
