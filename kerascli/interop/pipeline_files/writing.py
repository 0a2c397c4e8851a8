"""Write a pipeline file: the config section `data` and what its transforms learned, as one JSON text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerascli import __version__
from kerascli.data.base import NO_STATE, Field, FittedState, States, Transform, file_name
from kerascli.data.pipeline.learned_state import known_columns
from kerascli.data.pipeline.named_pipeline import NamedPipeline
from kerascli.data.pipeline.pipeline import finished
from kerascli.data.pipeline.prepare import infer_all, named_pipelines_of
from kerascli.data.section import DataSpec
from kerascli.foundation.errors import ConfigError
from kerascli.interop.pipeline_files.document import (
    FORMAT,
    VERSION,
    ColumnText,
    Fitted,
    LearnedState,
    OutputText,
    PipelineFile,
    PipelineText,
    StepText,
    TensorText,
    array_text,
    foreign_part,
)


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes of a pipeline file to be written, and notes for the user on what the file lacks."""

    data: bytes
    notes: tuple[str, ...]


def pipeline_bytes(name: str, spec: DataSpec, learned: States, outputs: Mapping[str, OutputText]) -> Written:
    """Return the pipeline file of a `data` section, whose inputs and targets have the model's names, and notes on what
    the file lacks.

    Raises ConfigError for a transform that is Python code of the user.
    """
    notes: list[str] = []
    source = None if foreign_part(spec.source) else spec.source.with_paths(file_name).dump()
    if source is None:
        notes.append(f"the source '{spec.source.component_name}' is Python code, which the pipeline file leaves out")
    named_pipelines = named_pipelines_of(spec)
    fields = infer_all(named_pipelines, known_columns(learned), learned)
    pipelines: dict[str, dict[str, PipelineText]] = {"inputs": {}, "targets": {}, "sample_weight": {}}
    for named in named_pipelines:
        pipelines[named.section][named.name] = _pipeline(named, fields[named.id], learned)
    used = {column for named in named_pipelines for column in named.pipeline.columns}
    columns = {column: _column(field) for column, field in known_columns(learned).items() if column in used}
    shared = {
        name: _fitted(transform, learned.get(f"shared.{name}", NO_STATE), f"data.shared.{name}")
        for name, transform in spec.shared.items()
    }
    document = PipelineFile(
        format=FORMAT, version=VERSION, created_by=f"kerascli {__version__}", name=name, source=source,
        columns=columns, shared=shared, outputs=dict(outputs), **pipelines,
    )  # fmt: skip
    text = json.dumps(document.model_dump(exclude_unset=True), ensure_ascii=False, indent=1)
    return Written(text.encode() + b"\n", tuple(notes))


def _pipeline(named: NamedPipeline, fields: list[Field], learned: States) -> PipelineText:
    steps: list[StepText] = []
    for index, step in enumerate(named.pipeline.steps):
        if step.shared is not None:
            steps.append(StepText(shared=step.shared))
            continue
        state = learned.get(named.key(index), NO_STATE)
        fitted = _fitted(step.transform, state, f"data.{named.section}.{named.name}")
        if fitted.learned == LearnedState():
            steps.append(StepText(transform=fitted.transform))
        else:
            steps.append(StepText(transform=fitted.transform, learned=fitted.learned))
    last = finished(fields)
    columns, tensor = list(named.pipeline.columns), TensorText(dtype=last.dtype, shape=list(last.shape))
    return PipelineText(columns=columns, stacked=named.pipeline.stacked, steps=steps, tensor=tensor)


def _fitted(transform: Transform, learned: FittedState, where: str) -> Fitted:
    if code := foreign_part(transform):
        hint = "copy the run's folder instead, which has the plugin; a pipeline file holds no code"
        raise ConfigError(f"--pipeline: '{code}' ({where}) is Python code of a plugin", hint=hint)
    state = LearnedState(
        facts=dict(learned.facts), arrays={name: array_text(array) for name, array in learned.arrays.items()}
    )
    return Fitted(transform=transform.with_paths(file_name).dump(), learned=state)


def _column(field: Field) -> ColumnText:
    facts: dict[str, Any] = {"dtype": field.dtype, "shape": list(field.shape)}
    for name in ("num_classes", "vocabulary_size", "max_length"):
        if (number := getattr(field, name)) is not None:
            facts[name] = int(number)
    for name in ("classes", "words"):
        if (names := getattr(field, name)) is not None:
            facts[name] = list(names)
    return ColumnText.model_validate(facts)
