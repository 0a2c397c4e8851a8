"""Generate random rows of raw data, to compare an exported ONNX file with kerascli's own predictions."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from kerascli.data.base import NO_STATE, Field, States
from kerascli.data.batches.rows import Split
from kerascli.data.pipeline.learned_state import known_columns
from kerascli.data.pipeline.prepare import named_pipelines_of, prepare_rows
from kerascli.data.section import DataSpec
from kerascli.data.storage.table import table_of
from kerascli.data.transforms.feature_space import FeatureSpace
from kerascli.data.transforms.lookup import Lookup
from kerascli.foundation.errors import DataError
from kerascli.interop import torch_files
from kerascli.training.checks.label_range_checks import check_values
from kerascli.training.predict import predict
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.interchange.exporting_onnx import OnnxOfRows
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.units import inverse_of

_ROWS = 6


def compared_outputs(run: LoadedRun, file: OnnxOfRows) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
    """Return outputs for random raw rows as two lists of arrays: from the run's model, and from ONNX Runtime.

    None if `predict` refuses the rows, such as numbers where a column holds dates.
    """
    assert run.data is not None
    known, words = known_columns(run.learned), dict(_vocabularies(run.data, run.learned))
    random = np.random.default_rng(0)
    rows = {each.column: _values(known[each.column], words.get(each.column), random) for each in file.raw}
    try:
        split = prepare_rows(run.data, run.learned, table_of(rows, "example rows"), targets=False)
        wanted = _outputs(run, split)
    except DataError:
        return None
    given = {
        each.column: rows[each.column] if each.dtype == "string" else rows[each.column].astype(each.dtype)
        for each in file.raw
    }
    found = torch_files.run_onnx(file.data, given)
    return list(wanted.values()), [found[file.outputs[name]] for name in wanted]


def _outputs(run: LoadedRun, rows: Split) -> dict[str, np.ndarray]:
    """Return the model's outputs for preprocessed rows by name, in the units of targets, as `predict` shows them."""
    experiment, spec = run.experiment, run.experiment.spec
    check_values(spec.graphs, spec.compared(), {"data": rows}, run.stages)
    outputs = predict(experiment.module, rows_in_order(experiment, rows, metrics=False).epoch(0), seed=spec.seed)
    pairs = {pair.output: pair for pair in spec.pairs}
    found: dict[str, np.ndarray] = {}
    for name, output in outputs.items():
        undo = inverse_of(run, pairs[name]) if name in pairs else None
        found[name] = output.numpy() if undo is None else undo(output.numpy())
    return found


def _values(field: Field, words: list[Any] | None, random: np.random.Generator) -> np.ndarray:
    """Return random values for a raw column: words of its vocabulary `words`, small integers, or positive numbers."""
    shape = (_ROWS, *(size or 1 for size in field.shape))
    if words or field.is_text:
        pool = np.array(words or ["a"], object)
        found = pool[random.integers(0, len(pool), shape)]
        return found if field.is_text else found.astype(field.dtype)
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
