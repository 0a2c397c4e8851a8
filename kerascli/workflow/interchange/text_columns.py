"""Imported models whose inputs are made of columns of texts: their `data` section, with the transforms of the file."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kerascli.config.describe import describe
from kerascli.data.base import Field, States
from kerascli.data.pipeline.learned_state import learn
from kerascli.data.pipeline.prepare import named_pipelines_of, stages
from kerascli.data.section import parse_data
from kerascli.data.storage.table import Table
from kerascli.foundation.shapes import Shape
from kerascli.interop.keras.objects import written
from kerascli.workflow.interchange.loading import Loaded

_SOURCE = {"csv": "rows.csv"}
"""Source of the data that an imported run states; predictions read any file of rows, and this file need not exist."""


def text_pipelines(loaded: Loaded) -> dict[str, list[Any]]:
    """Return a mapping from each text input of an imported model to its pipeline, as configs write it."""
    return {
        name: [*_columns(name, text.column, text.shape), written(text.transform)] for name, text in loaded.texts.items()
    }


def with_data(loaded: Loaded, name: str) -> tuple[Loaded, States]:
    """Return an imported model with a `data` section that makes its text inputs, and the state of its transforms."""
    pipelines, columns = text_pipelines(loaded), dict[str, Field]()
    for each in loaded.experiment.spec.model.inputs:
        text = loaded.texts.get(each.name)
        column = loaded.names.inputs.get(each.name, each.name) if text is None else text.column
        shape, dtype = (each.spec.shape, each.spec.dtype) if text is None else (text.shape, "string")
        columns[column] = Field(() if shape == (1,) else shape, dtype)
        if text is None:
            pipelines[each.name] = _columns(each.name, column, shape)
    inputs = {each.name: pipelines[each.name] for each in loaded.experiment.spec.model.inputs}
    spec = parse_data({"source": _SOURCE, "inputs": inputs})
    row = {column: _row(field) for column, field in columns.items()}
    learned = learn(named_pipelines_of(spec), Table(row, 1), columns)
    facts = stages(spec, learned).facts
    sections: Mapping[str, Any] = {"data": {"source": _SOURCE, "inputs": inputs}, **loaded.sections}
    described = describe(sections, name=name, seed=0, data=spec, inputs=facts.inputs, targets=facts.targets)
    experiment = replace(loaded.experiment, spec=described)
    return replace(loaded, sections=dict(sections), experiment=experiment), learned


def _columns(name: str, column: str, shape: Shape) -> list[Any]:
    """Return the first step of a pipeline that reads a column as rows of a shape; none if it is the input's own."""
    if shape == (1,):
        return [{"columns": [column]}]
    return [] if column == name else [{"columns": column}]


def _row(field: Field) -> np.ndarray:
    """Return a column of one row, which transforms with a given vocabulary are fitted on."""
    shape = (1, *(size or 1 for size in field.shape))
    return np.full(shape, "a", object) if field.is_text else np.zeros(shape, field.dtype)
