"""Read rows for a run without a `data` section from arrays that are named like the model's inputs and outputs.

The arrays are not preprocessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerascli.data.batches.rows import Arrays, MemorySplit, Origin
from kerascli.data.storage.array_files import read_arrays
from kerascli.data.storage.convert import converted
from kerascli.data.storage.table import BadRow, Table, first_wrong
from kerascli.foundation.errors import DataError, FileRefused, safe_text, suggestion
from kerascli.foundation.shapes import TensorSpec, is_compatible
from kerascli.metrics.comparisons import OutputTarget
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.rows.keras_names import names_in_keras, recorded_names


def raw_rows(run: LoadedRun, path: Path, *, targets: bool) -> MemorySplit:
    """Return the rows of a file of arrays (npz or npy), named like the model's inputs, without preprocessing.

    With `targets`, the arrays of the targets are read, too. An npz file has an array for each name; an npy file is
    one array. If the model was imported from a Keras file, the names of its inputs and outputs in Keras are accepted,
    too, if all arrays have them. Raises DataError, FileRefused.
    """
    experiment = run.experiment
    model, compiled = experiment.spec.model, experiment.spec.compile
    inputs = {each.name: each.spec for each in model.inputs}
    arrays, table = _read(path), Table({}, 0, name=str(path))
    if len(arrays) == 1 and len(inputs) == 1 and path.suffix == ".npy" and not targets:
        arrays = dict(zip(inputs, arrays.values(), strict=True))
    all_targets = {pair.target: pair.output for pair in compiled.pairs} if compiled else {n: n for n in model.outputs}
    output_of = all_targets if compiled is not None and targets else {}
    theirs = names_in_keras(recorded_names(run.record), inputs, all_targets)
    names = _names([*inputs, *output_of], theirs, arrays, table.name)
    values = {key: _array(arrays, name, table.name) for key, name in names.items()}
    rows = _row_count(values, names, table.name)
    for pair in experiment.spec.pairs if targets else ():
        _check_target(pair, values[pair.target], experiment.graph.specs[pair.output], names[pair.target], table.name)
    converted_inputs = {key: _as_input(values[key], spec, names[key], table) for key, spec in inputs.items()}
    return MemorySplit(converted_inputs, {target: values[target] for target in output_of}, {}, rows, Origin(table, {}))


def _read(path: Path) -> Arrays:
    """Return the arrays of a file by name."""
    try:
        return dict(read_arrays(path, str(path)))
    except FileRefused as error:
        if path.suffix.lower() in {".npz", ".npy"}:
            raise
        hint = "the model takes arrays of its own: .npz and .npy files"
        raise FileRefused(replace(fault, hint=hint) for fault in error.faults) from None


def _row_count(arrays: Arrays, names: Mapping[str, str], file: str) -> int:
    """Return the number of rows of all arrays. Raises DataError if they differ, or if there are none."""
    first, rows = next((key, len(values)) for key, values in arrays.items())
    for key, values in arrays.items():
        if len(values) != rows or not rows:
            text = f"'{safe_text(names[key])}' has {len(values)} rows, '{safe_text(names[first])}' has {rows}"
            raise DataError(text, place=file)
    return rows


def _names(needed: Sequence[str], theirs: dict[str, str], arrays: Arrays, file: str) -> dict[str, str]:
    """Return the name of the array in a file for each input and target in `needed`: all kerascli's, or all Keras's.

    `theirs` maps the names of the whole model to Keras's: where the names of both kinds are there, the file is of the
    kind that all its names are of. Raises DataError if the arrays of neither are there, or the kind is unclear.
    """
    kinds = [{name: name for name in theirs}, theirs]
    complete = [kind for kind in kinds if all(kind[name] in arrays for name in needed)]
    if len(complete) == 2 and any(name != theirs[name] for name in needed):
        complete = [kind for kind in complete if arrays.keys() <= {*kind.values()}]
        if len(complete) != 1:
            text = "the arrays of the model are there under kerascli's names and under Keras's"
            raise DataError(text, place=file, hint="leave out those of one kind")
    if complete:
        return {name: complete[0][name] for name in needed}
    raise _lacking(needed, theirs, arrays, file)


def _lacking(needed: Sequence[str], theirs: Mapping[str, str], arrays: Arrays, file: str) -> DataError:
    """Return the error about a file that lacks arrays, whether of kerascli's names or of Keras's."""
    hint = f"it has {', '.join(map(safe_text, list(arrays)[:10]))}"
    name = min((name for name in needed if name not in arrays), key=lambda name: theirs[name] in arrays)
    if theirs[name] in arrays and len(arrays.keys() & {*needed, *map(theirs.get, needed)}) >= len(needed):
        text = "some arrays are there under kerascli's names, others under Keras's: name all in one way"
        return DataError(text, place=file, hint=hint)
    other_name = f" (Keras's name: '{safe_text(theirs[name])}')" if theirs[name] != name else ""
    text = f"there is no array '{safe_text(name)}'{other_name}{suggestion(name, arrays)}"
    return DataError(text, place=file, hint=hint)


def _array(arrays: Arrays, key: str, file: str) -> np.ndarray:
    values = np.asarray(arrays[key])
    if not values.ndim or values.dtype.kind not in "biuf":
        text = f"'{safe_text(key)}': expected numbers with an axis of rows, got {values.dtype} of shape {values.shape}"
        raise DataError(text, place=file)
    return values


def _check_target(pair: OutputTarget, values: np.ndarray, output: TensorSpec, key: str, file: str) -> None:
    """Raise DataError if a target's array does not fit the loss or metrics that compare it with an output."""
    target = TensorSpec(values.shape[1:])
    for component in (pair.loss, *(use.metric for use in pair.metrics)):
        problem = component.check(target, output) if component is not None else None
        if problem:
            raise DataError(f"'{safe_text(key)}': {problem}", place=file)


def _as_input(values: np.ndarray, spec: TensorSpec, key: str, table: Table) -> np.ndarray:
    if not is_compatible(values.shape[1:], spec.shape):
        shown = f"{values.dtype} of shape {values.shape}"
        raise DataError(f"'{safe_text(key)}': expected numbers of shape {spec}, got {shown}", place=table.name)
    if spec.is_integer and values.dtype.kind == "f" and (wrong := values != np.floor(values)).any():
        row, (index, _), _ = first_wrong(wrong)
        text = f"'{safe_text(key)}': expected integers, got {values[row].flat[index]:g}"
        raise DataError(text, place=table.place(row, key))
    if spec.is_integer or values.dtype.kind != "f":
        return values
    try:
        return converted(values, np.dtype(np.float32))
    except BadRow as bad:
        raise DataError(f"'{safe_text(key)}': {bad.text}", place=table.place(bad.row, key)) from None
