"""Prepare the rows that a command's arguments select: a split of the run's data, files, standard input, or texts.

A split is loaded again, with a warning for each data file that has changed since training.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerascli.config.data import load_config_data
from kerascli.data.base import SPLITS, Field, Source
from kerascli.data.batches.rows import Arrays, Split
from kerascli.data.command_input import STDIN, CommandInput
from kerascli.data.pipeline.prepare import PreparedData, fitted_preparer
from kerascli.data.read import joined
from kerascli.data.sources.timeseries import Timeseries
from kerascli.data.storage.row_errors import skipping
from kerascli.data.storage.table import FILE, FILES, Table, missing
from kerascli.foundation.disk.files import missing_file
from kerascli.foundation.errors import ConfigError, DataError, DataMissing, Fault, safe_text, suggestion
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.rows.raw_arrays import raw_rows

_MOVED = (
    "a run's paths are relative to its folder; if its data has moved, evaluate, predict, why and train take "
    "--data PATH: the file, or the folder that holds the files"
)
_SHORT = 12
_HINT = "the results are for the data as it is now; restore the old file to compare with the recorded results"


def load_again(run: LoadedRun, keep: Collection[str] = ()) -> PreparedData:
    """Load and preprocess the data that a run was trained on, with its fitted transforms; return all splits.

    A warning is added to `run.warnings` for each file that has changed. Raw columns in `keep` are loaded in addition to
    those in use. Raises DataError, ConfigError, FileRefused.
    """
    with moved_hint():
        prepared = load_config_data(run.config, learned=run.learned, keep=keep)
    recorded: Mapping[str, str] = run.record.facts().get("data", {})
    phases = len(run.config.phases)
    warnings = [Fault(text, level="warning") for text in prepared.warnings]
    warnings += _changes(prepared.digests, recorded, phases)
    run.warnings += [fault for fault in warnings if fault not in run.warnings]
    return prepared


@contextmanager
def moved_hint() -> Iterator[None]:
    """Context manager that adds to a DataMissing error the hint to give the data's new place by `--data`."""
    try:
        yield
    except DataMissing as error:
        raise DataMissing(replace(fault, hint=_MOVED) for fault in error.faults) from None


def _changes(digests: Mapping[str, str], recorded: Mapping[str, str], phases: int) -> Iterator[Fault]:
    """Yield a warning for each data file whose digest differs from those recorded when the run was trained.

    A run without any recorded digests (an imported one) is not compared.
    """
    for name, digest in digests.items() if recorded else ():
        if digest in recorded.values():
            continue
        before = recorded.get(f"{name} of phase {phases}", recorded.get(name))
        then = "the run has no digest of it" if before is None else f"it was {_short(before)}"
        text = f"the data has changed since the run was trained: the SHA-256 of '{name}' is {_short(digest)}, {then}"
        yield Fault(text, level="warning", hint=_HINT)


def _short(digest: str) -> str:
    """Return the first digits of a data file's SHA-256, with its prefix (`sampled:`), if any, for messages."""
    kind, colon, value = digest.rpartition(":")
    return f"{kind}{colon}{value[:_SHORT]}"


def chosen_rows(
    run: LoadedRun, what: Sequence[str], *, targets: bool, texts: Sequence[str] = ()
) -> tuple[str, Split, Mapping[str, Split]]:
    """Return (name, rows, all splits) of the split that a command's arguments select, without arguments the first of
    test, validation and train; of files and texts there are no splits. Errors are those of `rows_of`."""
    if run.row_data is not None and not texts and (not what or (len(what) == 1 and what[0] in SPLITS)):
        splits = load_again(run).splits
        name = what[0] if what else next(name for name in reversed(SPLITS) if name in splits)
        return name, _split(splits, name), splits
    names = what or ([] if texts else ["test"])
    return ", ".join(names), rows_of(run, *names, targets=targets, texts=texts), {}


def _split(splits: Mapping[str, Split], name: str) -> Split:
    if name not in splits:
        raise DataError(f"the run's data has no '{name}' split", hint=f"it has {', '.join(splits)}")
    return splits[name]


def rows_of(
    run: LoadedRun, *what: str, targets: bool, texts: Sequence[str] = (), keep: Sequence[str] = (), skip: bool = False
) -> Split:
    """Return the preprocessed rows that a command's arguments select: a split, files, standard input, or texts.

    `what` is one split, or any number of files, folders, patterns and `-` (standard input); `./test` is a file or
    folder that has the name of a split. `texts` are further rows, of one text each. With `targets`, the rows have
    targets. Columns in `keep` are read, too. Bad rows of files (those that cannot be read or used) are left out, with a
    warning, if `skip` is True; with `targets`, also if the run's data source has the setting `on_bad_rows: skip`.
    Raises DataError, also for a bad row that is not left out, and ConfigError.
    """
    if run.takes_arrays or (not targets and run.has_own_inputs):
        return _arrays(run, what, texts, keep, targets=targets)
    assert run.data is not None
    if len(what) == 1 and what[0] in SPLITS and not texts:
        return _split(load_again(run, keep).splits, what[0])
    skip = skip or (targets and run.data.source.skips_bad_rows())
    return _of_files(run, what, texts, keep, targets=targets, skip=skip)


def _of_files(
    run: LoadedRun, what: Sequence[str], texts: Sequence[str], keep: Sequence[str], *, targets: bool, skip: bool
) -> Split:
    """Return the preprocessed rows of files, folders, standard input and texts; with `skip`, without bad ones."""
    assert run.data is not None
    for each in what:
        if each in SPLITS:
            raise ConfigError(f"the split '{each}' goes alone", hint=f"for the file or folder of this name: ./{each}")
        if not Path(each).exists() and each != STDIN and not set("*?[/.") & set(each):
            text = f"there is no file and no split '{safe_text(each)}'{suggestion(each, SPLITS)}"
            raise ConfigError(text, hint=f"splits: {', '.join(SPLITS)}")
    command_input = CommandInput(run.data, run.raw_fields, run.config.context.folder, targets, frozenset(keep))
    preparer = fitted_preparer(run.data, run.learned, targets=targets)

    def prepare(tables: Sequence[Table]) -> Split:
        return preparer.split(joined([command_input.checked(table, skip=not skip) for table in tables]))

    tables = command_input.tables(what, texts, skip=skip)
    rows = skipping(tables, prepare, lambda table: prepare([table]), skip=skip)
    notes = () if rows.origin is None else (rows.origin.table.skipped, rows.origin.table.note)
    run.warnings += [Fault(str(each), level="warning") for each in notes if each]
    return rows


def _arrays(run: LoadedRun, what: Sequence[str], texts: Sequence[str], keep: Sequence[str], *, targets: bool) -> Split:
    """Return the rows of one file of arrays, for a model whose inputs the config's `data` section does not provide."""
    why = "run has no data section"
    if run.data is not None:
        why = f"{'view' if run.takes_arrays else 'model'} has inputs that the data does not provide"
    if texts or keep or len(what) != 1:
        option = "--text" if texts else "--keep" if keep else "several files"
        raise ConfigError(f"{option}: the {why}, and takes one file of arrays")
    path = Path(what[0])
    if not path.exists():
        if what[0] not in SPLITS:
            raise missing_file(path, what[0])
        hint = "give a .npz file with an array for each input (and for evaluate each output), under its name"
        raise ConfigError(f"the {why}, and so no split '{safe_text(what[0])}'", hint=hint)
    return raw_rows(run, path, targets=targets)


def kept_columns(run: LoadedRun, rows: Split, keep: Sequence[str]) -> Arrays:
    """Return the raw columns to show with predictions, by name: those in `keep`, and the one that identifies a series.

    The column that identifies a series is included if the run's data has several series. If each row is a file, the
    file names are included, unless there are other columns to show. For windows over a series, a column has the value
    in the last row of each window. Classes are shown by their names, integers with missing values as integers and None.
    Raises DataError.
    """
    if rows.origin is None:
        return {}
    source, table = run.data and run.data.source, rows.origin.table
    series = source and source.series_column()
    names_files = FILES in table.name.split(", ") or (source is not None and bool(source.suffixes))
    first = [series] if series is not None else [FILE] if names_files and FILE in table and not keep else []
    return {name: _shown(table, name, run.raw_fields.get(name), source) for name in dict.fromkeys([*first, *keep])}


def _shown(table: Table, name: str, field: Field | None, source: Source | None) -> np.ndarray:
    """Return a raw column of the table that `source` has read, as it is shown. Raises DataError."""
    if name in table.files:
        return table.text(name)
    values = table.column(name)
    if isinstance(source, Timeseries) and (ends := source.values_at(values)) is not None:
        return ends if ends.dtype.kind in "biuf" else ends.astype(str).astype(object)
    if len(values.shape) != 1 or not isinstance(values, np.ndarray):
        raise DataError(f"--keep {safe_text(name)}: expected numbers or words, got arrays of {values.shape[1:]}")
    if values.dtype.kind not in "biuf" or (field is not None and field.is_text and table.coded(name) is not None):
        return table.text(name)
    classes = named_classes(field, values)
    return whole_numbers(values) if classes is None else classes


def named_classes(field: Field | None, values: np.ndarray) -> np.ndarray | None:
    """Return a raw column of integer class labels as class names (such as those of subfolders); None for other columns.

    `field` describes the column, with its class names; None: the column is unknown.
    """
    classes = field.classes if field is not None else None
    if not classes or values.dtype.kind not in "iu" or ((values < 0) | (values >= len(classes))).any():
        return None
    return np.array(classes, object)[values]


def whole_numbers(values: np.ndarray) -> np.ndarray:
    """Return a column of integers that is stored as floats with NaN for missing values, as integers and None; any other
    column is unchanged."""
    gaps = missing(values)
    present = values[~gaps]
    if not gaps.any() or not len(present) or not (np.isfinite(present) & (present == np.floor(present))).all():
        return values
    return np.array([None if gap else int(value) for gap, value in zip(gaps, values, strict=True)], object)
