"""Export a trained model with its preprocessing to ONNX, and compare it with `predict` on random raw rows."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from kerascli.data.base import Field
from kerascli.data.batches.rows import Arrays
from kerascli.data.pipeline.pipeline import FittedPipeline
from kerascli.data.pipeline.prepare import fitted_pipelines, fitted_preparer
from kerascli.data.section import DataSpec, by_section
from kerascli.data.storage.column import pa
from kerascli.data.storage.table import table_of
from kerascli.foundation.errors import DataError
from kerascli.foundation.shapes import TensorSpec
from kerascli.interop import torch_files
from kerascli.interop.example_inputs import open_size
from kerascli.interop.onnx_rows import Answer, Rows, fills_missing, raw_inputs, steps_of
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.predict import predict_rows

_ROWS_MADE = 3
"""Number of rows in the example inputs with which the model is exported."""
_ROWS_COMPARED = 6


Outputs = list[np.ndarray]


def onnx_of_rows(run: LoadedRun, data: DataSpec) -> tuple[bytes, tuple[Outputs, Outputs] | None]:
    """Return an ONNX file that computes the predictions of a run's model from raw columns of the data, and (outputs of
    the model, outputs of the file) for the same random rows, None if `predict` refuses the rows.

    Raises ConfigError for a transform that ONNX has no operations for.
    """
    torch_files.need_onnx()
    specs, own_outputs = torch_files.model_tensors(run.experiment)
    fitted = by_section(fitted_pipelines(data, run.learned).items())["inputs"]
    pipelines = {name: each for name, each in fitted.items() if name in specs}
    inputs = raw_inputs(pipelines.values(), run.raw_fields)
    answers, outputs, names, classes = [], {}, {}, {}
    for name, spec in own_outputs.items():
        answers.append(_answer(run, name))
        for ending, made in _specs(answers[-1], spec).items():
            free = name + ending
            while free in inputs or free in outputs:
                free += "_"
            outputs[free] = made
            names.setdefault(name, free)
        if (reading := answers[-1].reading) is not None:
            classes[names[name]] = reading.names
    model = torch_files.Forward(run.experiment, staged=True)
    module = Rows(list(inputs), [pipelines[name] for name in specs], model, answers)
    size = open_size(run.experiment.spec.model)
    example = [_example(spec, size) for spec in inputs.values()]
    texts = {"classes": json.dumps(classes), **threshold_texts(run)}
    file = torch_files.onnx_bytes(module, example, inputs, outputs, texts)
    rows, arrays = _example_rows(run.raw_fields, list(pipelines.values()), inputs)
    try:
        split = fitted_preparer(data, run.learned, targets=False).split(table_of(rows, "example rows"))
        expected = predict_rows(run, split).outputs
    except DataError:
        return file, None
    got = torch_files.run_onnx(file, arrays)
    return file, (list(expected.values()), [got[names[name]] for name in expected])


def threshold_texts(run: LoadedRun) -> dict[str, str]:
    """Return {"threshold": JSON of a run's decision thresholds by output}, for the metadata of an exported file.

    The thresholds between two classes are those stored in the run's threshold.json; {} if there are none.
    """
    kept = {output: each.model_dump() for output, each in run.label_thresholds().items()}
    return {"threshold": json.dumps(kept)} if kept else {}


def _example(spec: TensorSpec, size: int) -> torch.Tensor:
    sizes = [_ROWS_MADE, *(size if each is None else each for each in spec.shape)]
    return torch.zeros(sizes, dtype=torch.int64 if spec.dtype == "string" else getattr(torch, spec.dtype))


def _answer(run: LoadedRun, name: str) -> Answer:
    pair = next((pair for pair in run.experiment.spec.pairs if pair.output == name), None)
    if pair is None:
        return Answer(None, (), None)
    field = run.stages.facts.targets.get(pair.target)
    if field is not None and run.inverse(pair) is not None:
        modules = run.stages.inverses[pair.target].modules
        return Answer(modules, [size for size in field.shape if size is not None], None)
    return Answer(None, (), run.reading(pair))


def _specs(answer: Answer, made: TensorSpec) -> dict[str, TensorSpec]:
    """Return shape and dtype of the outputs that the answer to a model output has in the file, by the ends of their
    names."""
    if answer.reading is None:
        return {"": made}
    shape = (2,) if answer.reading.binary else made.shape
    return {"": made, "_class": TensorSpec((), "string"), "_probabilities": TensorSpec(shape)}


def _example_rows(
    fields: Mapping[str, Field], pipelines: Sequence[FittedPipeline], inputs: torch_files.Specs
) -> tuple[Arrays, Arrays]:
    """Return random rows as (raw columns, arrays for the inputs of an ONNX file), by the names of the columns."""
    random = np.random.default_rng(0)
    rows: Arrays = {}
    arrays: Arrays = {}
    for column, spec in inputs.items():
        readers = [each for each in pipelines if column in each.columns]
        steps = [step for each in readers for step in steps_of(each, column)]
        values = next((list(made) for step in steps if (made := step.transform.examples(step.state))), [])
        dtype = object if fields[column].is_text else spec.dtype
        rows[column] = arrays[column] = _values(fields[column], values, random).astype(dtype)
        if all(map(fills_missing, readers)):
            rows[column][0] = "" if fields[column].is_text else np.nan
        if spec.dtype != "string" and fields[column].is_text:
            texts = pa.array(rows[column].ravel(), pa.large_string())
            codes = steps[0].transform.codes(texts, steps[0].state, target=False)
            assert isinstance(codes, torch.Tensor)
            arrays[column] = codes.numpy().reshape(rows[column].shape)
    return rows, arrays


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
