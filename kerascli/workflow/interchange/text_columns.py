"""Text inputs of models: preprocessing in the config of imported models, Keras layers of exported ones."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kerascli.config.describe import describe
from kerascli.data.base import NO_STATE, Field, States
from kerascli.data.pipeline.learned_state import learn
from kerascli.data.pipeline.pipeline import FittedPipeline
from kerascli.data.pipeline.prepare import named_pipelines_of, stages
from kerascli.data.section import DataSpec, parse_data
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import ConfigError
from kerascli.foundation.shapes import Shape
from kerascli.interop.keras.objects import written
from kerascli.interop.keras_export.vocabularies import TextLayer
from kerascli.runs.record import RunRecord
from kerascli.workflow.interchange.loading import NO_LOSS, Loaded
from kerascli.workflow.loaded import LoadedRun

_LAYERS = frozenset({"string_lookup", "text_vectorization", "hashing"})
"""Transforms of texts that Keras has layers for."""
_MAX_LISTED = 1_000
"""Number of entries above which a vocabulary is a file, not a list in the config."""
_SOURCE = {"csv": "rows.csv"}
"""Source of the data that an imported run states; predictions read any file of rows, and this file need not exist."""

_NO_TARGETS = "with texts no loss is imported: the run can predict; --data CONFIG trains it on columns and targets"


def text_pipelines(loaded: Loaded, record: RunRecord) -> dict[str, list[Any]]:
    """Return a mapping from each text input of an imported model to its preprocessing pipeline, in the form of configs.

    Long vocabularies are written to files in the run's folder preprocessing/.
    """
    pipelines: dict[str, list[Any]] = {}
    for name, text in loaded.texts.items():
        transform, vocabulary = text.transform, getattr(text.transform, "vocabulary", None) or ()
        if len(vocabulary) > _MAX_LISTED and not any("\n" in entry or entry.endswith("\r") for entry in vocabulary):
            file = f"{name}.vocabulary.txt"
            record.write_preprocessing(file, "".join(f"{entry}\n" for entry in vocabulary).encode())
            transform = transform.model_copy(update={"vocabulary": f"preprocessing/{file}"})
        pipelines[name] = [*_columns(name, text.column, text.shape), written(transform)]
    return pipelines


def with_data(loaded: Loaded, record: RunRecord) -> tuple[Loaded, States]:
    """Return an imported model with a `data` section that preprocesses its texts, and the section's fitted state."""
    pipelines, columns = text_pipelines(loaded, record), dict[str, Field]()
    for each in loaded.experiment.spec.model.inputs:
        text = loaded.texts.get(each.name)
        column = loaded.facts["inputs"].get(each.name, each.name) if text is None else text.column
        shape, dtype = (each.spec.shape, each.spec.dtype) if text is None else (text.shape, "string")
        columns[column] = Field(() if shape == (1,) else shape, dtype)
        if text is None:
            pipelines[each.name] = _columns(each.name, column, shape)
    inputs = {each.name: pipelines[each.name] for each in loaded.experiment.spec.model.inputs}
    loaded, learned = with_section(loaded, record, {"source": _SOURCE, "inputs": inputs}, columns)
    notes = [note for note in loaded.notes if note != NO_LOSS]
    return loaded._replace(notes=(*notes, _NO_TARGETS)), learned


def with_section(
    loaded: Loaded, record: RunRecord, data: Mapping[str, Any], columns: Mapping[str, Field]
) -> tuple[Loaded, States]:
    """Return an imported model whose config has the section `data`, and the fitted state of the section's transforms.

    `columns` has the shape and dtype of each column that the section's source has, `record` is the run of the import,
    in whose folder the files of the transforms lie.
    """
    spec = parse_data(data)
    row = {column: _row(field) for column, field in columns.items()}
    fitted = spec.with_transforms(lambda _, transform: transform.with_paths(lambda path: str(record.path / path)))
    pipelines = [FittedPipeline(named, columns, {}) for named in named_pipelines_of(fitted)]
    learned = learn(pipelines, Table(row, 1), columns)
    facts = stages(spec, learned).facts
    sections = {"data": data, **loaded.sections}
    described = describe(sections, name=record.name, seed=0, data=spec, inputs=facts.inputs, targets=facts.targets)
    return loaded._replace(sections=sections, experiment=replace(loaded.experiment, spec=described)), learned


def text_layers(run: LoadedRun, data: DataSpec) -> dict[str, TextLayer]:
    """Return a mapping from each text input of a run's model to the Keras layer (`TextVectorization` ...) for it.

    Raises ConfigError for an input that other transforms make.
    """
    layers: dict[str, TextLayer] = {}
    inputs = {each.name for each in run.experiment.spec.model.inputs}
    for named in named_pipelines_of(data):
        steps = named.steps
        if named.section != "inputs" or named.name not in inputs or not steps:
            continue
        transform, columns = steps[0].transform, named.columns
        state = run.learned.get(named.key(0), NO_STATE)
        is_text = run.raw_fields[columns[0]].is_text
        if len(steps) > 1 or len(columns) > 1 or not is_text or transform.component_name not in _LAYERS:
            listed = ", ".join(step.transform.component_name for step in steps)
            text = f"--preprocessing: a .keras file cannot hold the pipeline of the input '{named.name}' ({listed})"
            hint = "it has string_lookup, text_vectorization, hashing of one column of texts; --format onnx has more"
            raise ConfigError(text, hint=hint)
        layers[named.name] = TextLayer(transform, state, (1,) if named.stacked else ())
    return layers


def _columns(name: str, column: str, shape: Shape) -> list[Any]:
    """Return the first step of a pipeline that reads a column as rows of a shape; none if it is the input's own."""
    if shape == (1,):
        return [{"columns": [column]}]
    return [] if column == name else [{"columns": column}]


def _row(field: Field) -> np.ndarray:
    """Return a column of one row, which transforms with a given vocabulary are fitted on."""
    shape = (1, *(size or 1 for size in field.shape))
    return np.full(shape, "a", object) if field.is_text else np.zeros(shape, field.dtype)
