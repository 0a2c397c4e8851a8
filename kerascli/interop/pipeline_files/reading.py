"""Read a pipeline file (preprocessing as JSON) from a stranger: its size, fields, transforms and arrays are checked."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from kerascli.data.base import FittedState, States
from kerascli.data.pipeline.learned_state import COLUMNS, known_columns
from kerascli.data.pipeline.pipeline import finished
from kerascli.data.pipeline.prepare import Stages, check_learned, infer_all, named_pipelines_of, stages
from kerascli.data.section import DataSpec, parse_data
from kerascli.data.storage.convert import BEYOND_FLOATS
from kerascli.foundation.disk.files import MAX_JSON_BYTES, load_json, read_bytes
from kerascli.foundation.errors import ConfigError, DataError, Fault, FileRefused, safe_text
from kerascli.foundation.errors import Path as FaultPath
from kerascli.interop.pipeline_files.document import (
    FORMAT,
    VERSION,
    ColumnText,
    LearnedState,
    OutputText,
    PipelineFile,
    PipelineText,
    array_of,
    foreign_part,
    leads_elsewhere,
)
from kerascli.language.component import Component, Invalid
from kerascli.language.wording import fault_list

_NO_SOURCE = {"npz": {"path": "rows.npz"}}
"""Data source for a pipeline file that states none: its settings are the defaults, and it reads a file according to its
suffix."""
_DTYPES = {"string", "sequence", "unknown"}


@dataclass(frozen=True, slots=True)
class Pipelines:
    """Contents of a pipeline file: a `data` section, what its transforms learned, and how to read the outputs."""

    name: str
    """Path of the pipeline file, for messages."""
    spec: DataSpec
    learned: dict[str, FittedState]
    outputs: Mapping[str, OutputText]
    stages: Stages
    digest: str
    """SHA-256 of the pipeline file, in hexadecimal."""

    def renamed(self, inputs: Mapping[str, str], targets: Mapping[str, str]) -> "Pipelines":
        """Return a copy of the contents with other names of inputs and targets; both arguments map the pipeline file's
        names to new ones."""
        names = {"inputs": inputs, "targets": targets, "sample_weight": targets}
        changed = {
            section: {new.get(name, name): pipeline for name, pipeline in getattr(self.spec, section).items()}
            for section, new in names.items()
        }
        learned: dict[str, FittedState] = {}
        for key, state in self.learned.items():
            section, _, place = key.partition(".")
            name, _, index = place.rpartition(".")
            learned[f"{section}.{names[section].get(name, name)}.{index}" if section in names else key] = state
        spec = self.spec.model_copy(update=changed)
        return replace(self, spec=spec, learned=learned, stages=stages(spec, learned))


def read_pipelines(path: Path) -> Pipelines:
    """Read a pipeline file (a model's preprocessing as JSON) and return its contents. Raises DataError, FileRefused."""
    return parse_pipelines(read_bytes(path, MAX_JSON_BYTES), str(path))


def parse_pipelines(data: bytes, name: str) -> Pipelines:
    """Parse the bytes of a pipeline file and return its contents; `name` is for messages. Raises FileRefused."""
    document = _document(data, name)
    try:
        spec = _spec(document)
        learned = _learned(document)
        check_learned(spec, learned)
        fitted = stages(spec, learned)
        _check_tensors(document, spec, learned)
    except (Invalid, ConfigError, DataError, FileRefused) as error:
        raise refused(name, list(error.faults)) from None
    except ValueError as error:
        raise refused(name, [Fault(str(error))]) from None
    return Pipelines(name, spec, learned, document.outputs, fitted, hashlib.sha256(data).hexdigest())


def refused(name: str, faults: list[Fault]) -> FileRefused:
    """Return the exception for a pipeline file that cannot be used; `faults` are its errors."""
    shown = f"the pipeline file '{safe_text(name)}'"
    return FileRefused(
        Fault(f"{shown} cannot be used: {_place(fault.path)}{fault.text}", hint=fault.hint) for fault in faults[:10]
    )


def _place(path: FaultPath) -> str:
    keys = [f"[{key}]" if isinstance(key, int) else f".{safe_text(str(key), 40)}" for key in path]
    return f"{''.join(keys).removeprefix('.')}: " if keys else ""


def _document(data: bytes, name: str) -> PipelineFile:
    try:
        document = load_json(data, safe_text(name))
    except FileRefused as error:
        raise FileRefused(f"{error.faults[0].text}; expected a pipeline file") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        hint = "kerascli export RUN --pipeline FILE writes one"
        raise FileRefused(f"'{safe_text(name)}' is not a pipeline file: it has no format: {FORMAT}", hint=hint)
    if document.get("version") != VERSION:
        text = f"'{safe_text(name)}' has version {safe_text(str(document.get('version')), 40)} of the format"
        raise FileRefused(f"{text}; this kerascli reads version {VERSION}")
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise FileRefused(f"'{safe_text(name)}' has half a character in a text") from None
    try:
        return PipelineFile.model_validate(document)
    except ValidationError as error:
        faults = [Fault(fault.text, hint=fault.hint) for fault in fault_list(error, PipelineFile)]
        raise refused(name, faults) from None


def _spec(document: PipelineFile) -> DataSpec:
    """Return the `data` config section that a pipeline file describes. Raises Invalid, ValueError."""
    section: dict[str, Any] = {"source": _NO_SOURCE if document.source is None else document.source}
    if document.shared:
        section["shared"] = {name: fitted.transform for name, fitted in document.shared.items()}
    for key in ("inputs", "targets", "sample_weight"):
        pipelines: Mapping[str, PipelineText] = getattr(document, key)
        section[key] = {name: _steps(pipeline) for name, pipeline in pipelines.items()}
    spec = parse_data(section)
    components: list[Component] = [spec.source, *spec.shared.values()]
    components += [step.transform for pipeline in spec.all_pipelines().values() for step in pipeline.steps]
    for component in components:
        if code := foreign_part(component):
            raise ValueError(f"'{code}' is Python code, which a pipeline file cannot bring")
        if leads_elsewhere(component):
            raise ValueError(f"{component.component_name}: a file's name must have no folders")
    return spec


def _steps(pipeline: PipelineText) -> list[Any]:
    columns: Any = pipeline.columns
    if not pipeline.stacked:
        if len(columns) != 1:
            raise ValueError(f"expected one column without stacked, got {len(columns)}")
        columns = columns[0]
    return [{"columns": columns}, *(step.shared or step.transform for step in pipeline.steps)]


def _learned(document: PipelineFile) -> dict[str, FittedState]:
    """Return what a pipeline file's transforms learned (vocabularies ...), in the form in which a run saves it. Raises
    ValueError."""
    columns = {name: _column(name, column) for name, column in document.columns.items()}
    states = {COLUMNS: FittedState(columns, {})}
    for name, fitted in document.shared.items():
        states[f"shared.{name}"] = _state(fitted.learned, f"shared.{name}")
    for section in ("inputs", "targets", "sample_weight"):
        for name, pipeline in getattr(document, section).items():
            for index, step in enumerate(pipeline.steps):
                if step.shared is None:
                    states[f"{section}.{name}.{index}"] = _state(step.learned, f"{section}.{name}.steps[{index}]")
    return states


def _state(learned: LearnedState, where: str) -> FittedState:
    arrays: dict[str, np.ndarray] = {}
    for name, array in learned.arrays.items():
        try:
            arrays[name] = array_of(array)
        except ValueError as error:
            raise ValueError(f"{safe_text(where, 80)}: {safe_text(name, 40)}: {error}") from None
    return FittedState(learned.facts, arrays)


def _column(name: str, column: ColumnText) -> dict[str, Any]:
    """Return the facts (dtype, shape ...) about a column of a pipeline file, in the form in which a run saves them.
    Raises ValueError."""
    shown = f"columns.{safe_text(name, 40)}"
    try:
        fits = column.dtype in _DTYPES or np.dtype(column.dtype).kind in "biuf"
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"{shown}: there is no dtype '{safe_text(column.dtype, 40)}'")
    for key in ("num_classes", "vocabulary_size", "max_length"):
        number = getattr(column, key)
        if number is not None and not 0 <= number <= BEYOND_FLOATS:
            raise ValueError(f"{shown}: {key}: expected an integer from 0 on")
    if column.dtype == "sequence" and column.shape != [None]:
        raise ValueError(f"{shown}: sequences have the shape [null]")
    return {**column.model_dump(), "columns": ()}


def _check_tensors(document: PipelineFile, spec: DataSpec, learned: States) -> None:
    """Raise ValueError if the steps in a pipeline file yield another dtype or shape than the file states for them."""
    named_pipelines = named_pipelines_of(spec)
    fields = infer_all(named_pipelines, known_columns(learned), learned)
    for named in named_pipelines:
        stated, last = getattr(document, named.section)[named.name].tensor, finished(fields[named.id])
        if (stated.dtype, stated.shape) != (last.dtype, list(last.shape)):
            text = (
                f"the steps make {last.dtype} of shape {list(last.shape)}, tensor says {stated.dtype} of {stated.shape}"
            )
            raise ValueError(f"{named.section}.{named.name}: {text}")
