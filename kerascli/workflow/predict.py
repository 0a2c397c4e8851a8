"""Predict with the model of a trained run; predictions are columns of values, or class names and probabilities."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from kerascli.data.base import SPLITS
from kerascli.data.batches.rows import Arrays, Split
from kerascli.data.sources.wrapped import WrappedSource
from kerascli.data.storage.row_errors import BadRows
from kerascli.data.storage.table import Skipped
from kerascli.foundation.disk.files import read_bytes
from kerascli.foundation.errors import ConfigError, safe_text
from kerascli.interop.applications import CLASSES
from kerascli.report.predictions import Predictions
from kerascli.training.checks.label_range_checks import check_values
from kerascli.training.classes import ClassReading
from kerascli.training.evaluate import predict, predict_in_blocks
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.memory import memory_for_batches
from kerascli.workflow.rows.command_rows import kept_columns, rows_of
from kerascli.workflow.rows.keras_names import keras_output_names

_DECODED = 5
"""Number of classes that are shown of ImageNet's, as by Keras's `decode_predictions`."""


def _spread(arrays: Mapping[str, np.ndarray], skipped: Skipped, kind: type) -> dict[str, np.ndarray]:
    """Return arrays with empty rows in place of those that were skipped: nan, or None in arrays of `kind` object, which
    all but floats become."""
    gaps = np.setdiff1d(np.arange(skipped.of), skipped.kept)
    at = gaps - np.arange(len(gaps))
    typed = {name: each if each.dtype.kind == "f" else each.astype(kind) for name, each in arrays.items()}
    return {name: np.insert(each, at, np.array(None, each.dtype), axis=0) for name, each in typed.items()}


@dataclass(frozen=True, slots=True)
class Form:
    """Options for turning model outputs into predictions: output names and units."""

    keras_names: bool = False
    """True if predictions have the output names of the Keras file that the run was imported from."""
    decode: bool = False
    """True if an output of 1,000 units is read as the classes of ImageNet, of which the most probable are columns."""
    raw: bool = False
    """True if predicted numbers are the model's outputs, without inverting the preprocessing of targets."""


def predict_run(run: LoadedRun, what: str | Sequence[str], **options: Any) -> Predictions:
    """Return predictions of a run's model for `what`, as `predict_in_parts` does with the same options."""
    return Predictions.joined(predict_in_parts(run, what, **options))


def predict_in_parts(
    run: LoadedRun,
    what: str | Sequence[str],
    *,
    texts: Sequence[str] = (),
    keep: Sequence[str] = (),
    form: Form = Form(),  # frozen
    skip: bool = False,
) -> Iterator[Predictions]:
    """Yield predictions of a run's model for consecutive rows of `what`: a split, or files, folders and `-` (standard
    input).

    `texts` are further rows, of one text each. The raw columns in `keep` are included; `form` has the names and units
    of the predictions. With `skip`, bad rows of files are empty rows: nan, or None in columns of integers and text.
    Warnings are added to `run.warnings`: the number of bad rows, and each column with many out-of-vocabulary values.
    Raises KerasCliError.
    """
    selected = [what] if isinstance(what, str) else what
    data = run.row_data
    if skip and (data is None or isinstance(data.source, WrappedSource) or {*selected} & {*SPLITS}):
        raise ConfigError("--on-bad-rows skip: only rows of files are skipped, not those of splits, arrays or series")
    try:
        rows = rows_of(run, *selected, targets=False, texts=texts, keep=keep, skip=skip)
    except BadRows as bad:
        hint = "; ".join(filter(None, (bad.faults[0].hint, "--on-bad-rows skip goes on, with empty rows")))
        bad.faults = (replace(bad.faults[0], hint=hint), *bad.faults[1:])
        raise
    parts = _parts(run, rows, form, keep)
    if skip and rows.origin is not None and rows.origin.table.skipped is not None and run.strategy.leads:
        parts = [_with_gaps(Predictions.joined(parts), rows.origin.table.skipped)]
    yield from parts
    run.warnings += rows.oov.warnings()


def _with_gaps(predictions: Predictions, skipped: Skipped) -> Predictions:
    """Return predictions with empty rows in place of those that were skipped."""
    kept, columns = (_spread(each, skipped, object) for each in (predictions.kept, predictions.columns))
    outputs = _spread(predictions.outputs, skipped, np.float64)
    return Predictions(kept, columns, outputs, skipped.of, predictions.non_finite_rows)


def predict_rows(run: LoadedRun, rows: Split, form: Form = Form(), keep: Sequence[str] = ()) -> Predictions:
    """Return predictions of a run's model for rows that are already preprocessed. Raises KerasCliError.

    The raw columns in `keep` are included; `form` has the names and units of the predictions. Only the process that
    prints gets predictions; any other gets none.
    """
    return Predictions.joined(_parts(run, rows, form, keep))


def _parts(run: LoadedRun, rows: Split, form: Form, keep: Sequence[str]) -> Iterator[Predictions]:
    """Yield predictions for consecutive rows, as `predict_rows` returns them for all."""
    spec = run.experiment.spec
    if keep and not spec.model.inputs:
        raise ConfigError("--keep: the view is of weights alone, which belong to no row")
    kept = kept_columns(run, rows, keep)
    check_values(spec.graphs, spec.compared(), {"data": rows}, run.stages)
    first, total = 0, rows.rows if spec.model.inputs else None
    with memory_for_batches(), run.sharing(rows):
        batches = run.shared_batches(rows_in_order(run.experiment, rows, metrics=False))
        for outputs in predict_in_blocks(run.experiment.module, batches, seed=spec.seed):
            if run.strategy.leads:
                columns, arrays, readings = _columns(run, outputs, form)
                count = len(next(iter(arrays.values())))
                own = {name: values[first : first + count] for name, values in kept.items()}
                yield Predictions(own, columns, arrays, count, _non_finite_rows(arrays), readings, total)
                first += count


def outputs_of(run: LoadedRun, rows: Split) -> dict[str, torch.Tensor]:
    """Return the outputs of a run's model for all rows that are already preprocessed, by name."""
    batches = run.shared_batches(rows_in_order(run.experiment, rows, metrics=False))
    return predict(run.experiment.module, batches, seed=run.experiment.spec.seed)


def predict_mean(parts: Iterable[Iterable[Predictions]]) -> Predictions:
    """Return the mean of what several runs predict for the same rows: of values, or of probabilities of classes.

    The classes are those of the mean probabilities. Raises ConfigError if the classes or columns differ, or for columns
    that are neither numbers nor classes.
    """
    each = [*map(Predictions.joined, parts)]
    first, classes = each[0], {f"{prefix}class" for prefix in each[0].readings}
    if any(other.columns.keys() != first.columns.keys() for other in each):
        raise ConfigError("there is no mean of these models: they predict different columns or classes")
    columns = dict(first.columns)
    for name, values in ((name, values) for name, values in columns.items() if name not in classes):
        if values.dtype.kind not in "biuf":
            raise ConfigError(f"there is no mean of what these models predict: '{safe_text(name, 40)}' has no numbers")
        mean = np.stack([other.columns[name] for other in each]).mean(axis=0, dtype=np.float64)
        columns[name] = mean.astype(np.float32) if values.dtype == np.float32 else significant(mean)
    for prefix, reading in first.readings.items():
        probabilities = np.stack([columns[f"{prefix}p({name})"] for name in reading.names], axis=1)
        columns |= _class_columns(prefix, reading, torch.from_numpy(probabilities))
    return replace(first, columns=columns, outputs={}, non_finite_rows=max(other.non_finite_rows for other in each))


def _columns(
    run: LoadedRun, outputs: Mapping[str, torch.Tensor], form: Form
) -> tuple[Arrays, Arrays, dict[str, ClassReading]]:
    """Return (predictions as columns by name, values of the model's outputs by name, readings by prefix of columns).

    Raises KerasCliError.
    """
    spec = run.experiment.spec
    renamed = keras_output_names(run.record, spec.model.outputs) if form.keras_names else {}
    pairs = {pair.output: pair for pair in spec.pairs}
    columns: Arrays = {}
    arrays: Arrays = {}
    readings: dict[str, ClassReading] = {}
    for name, output in outputs.items():
        called, pair = renamed.get(name, name), pairs.get(name)
        prefix = f"{called}." if len(outputs) > 1 else ""
        inverse = None if pair is None or form.raw else run.inverse(pair)
        values = arrays[called] = output.numpy() if inverse is None else inverse(output.numpy())
        if form.decode:
            columns |= _decoded(prefix, output)
        elif pair is not None and (reading := run.reading(pair, output)) is not None:
            readings[prefix] = reading
            columns |= _class_columns(prefix, reading, reading.probabilities(output))
        else:
            columns |= _plain_columns(called if pair is None or prefix or renamed else pair.target, values)
    return columns, arrays, readings


def _non_finite_rows(arrays: Arrays) -> int:
    """Return the number of rows with a value that is nan or infinite."""
    finite = np.stack([np.isfinite(each).reshape(len(each), -1).all(1) for each in arrays.values()]).all(0)
    return int((~finite).sum())


def _class_columns(prefix: str, reading: ClassReading, probabilities: torch.Tensor) -> Arrays:
    """Return a mapping from name to column for a classifier's predictions: class name, and probability of each
    class."""
    names = np.array(reading.names, dtype=object)
    columns = {f"{prefix}p({name})": probabilities[:, i].numpy() for i, name in enumerate(reading.names)}
    return {f"{prefix}class": names[reading.labels(probabilities).numpy()], **columns}


def _decoded(prefix: str, output: torch.Tensor) -> Arrays:
    """Return the five most probable classes of ImageNet in each row, and their values, as columns by name.

    Raises ConfigError if the output has not the 1,000 classes of ImageNet.
    """
    names = read_bytes(CLASSES, 2**20).decode().splitlines()
    if output.shape[1:] != (len(names),):
        shape = tuple(output.shape[1:])
        raise ConfigError(f"--decode imagenet: expected an output of {len(names):,} units, got one of shape {shape}")
    values, indices = output.topk(_DECODED, dim=-1)
    classes = np.array(names, object)[indices.numpy()]
    named = {"class": classes, "p": values.numpy()}
    return {f"{prefix}{name}_{i + 1}": each[:, i] for i in range(_DECODED) for name, each in named.items()}


def significant(values: np.ndarray) -> np.ndarray:
    """Return values rounded to nine significant digits, the precision of the float32 numbers that they come from."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        digits = 8 - np.floor(np.log10(np.abs(values)))
        factor = 10.0 ** np.abs(np.clip(digits, -300, 300))
        rounded = np.where(digits > 0, np.round(values * factor) / factor, np.round(values / factor) * factor)
    return np.where(np.isfinite(rounded), rounded, values)


def _plain_columns(name: str, output: np.ndarray) -> Arrays:
    """Return a mapping from name to column for an output of numbers: `name`, or `name[i]`, `name[i,j]` for several per
    row."""
    values = output.reshape(len(output), -1)
    values = significant(values) if values.dtype == np.float64 else values
    if values.shape[1] == 1:
        return {name: values[:, 0]}
    index = np.ndindex(*output.shape[1:])
    return {f"{name}[{','.join(map(str, place))}]": values[:, i] for i, place in enumerate(index)}
