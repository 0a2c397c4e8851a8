"""Predictions of a model, and their files: CSV, JSON Lines, NumPy or Parquet."""

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy_format

from kerascli.foundation.disk import storage
from kerascli.foundation.disk.pieces import Pieces
from kerascli.foundation.errors import ConfigError, safe_text

if TYPE_CHECKING:
    from kerascli.training.classes import ClassReading

TABLES = (".csv", ".jsonl", ".parquet")
"""Suffixes of the file formats in which predictions are written as named columns."""
FORMATS = (*TABLES, ".npy", ".npz")
_BLOCK_ROWS = 2**14


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions of a model for rows: named columns to print or write, and arrays of the model's outputs."""

    kept: dict[str, np.ndarray]
    """Mapping from name to raw column, for the columns to write in addition to the predictions (option `--keep`)."""
    columns: dict[str, np.ndarray]
    """Mapping from name to column of predictions: values, or class names and probabilities."""
    outputs: dict[str, np.ndarray]
    """Mapping from model output to its values (rows, *), in the units of the target unless they are raw."""
    rows: int
    non_finite_rows: int
    """Number of rows in which a model output has a NaN or infinite value."""
    readings: "Mapping[str, ClassReading]" = field(default_factory=dict)
    """Mapping from the prefix of the columns of an output that predicts classes to how it is read."""
    total: int | None = None
    """Number of the rows of all parts, of which these predictions are one; None: they are all."""

    @property
    def class_columns(self) -> Sequence[str]:
        """Names of the columns of predictions that are class names, not numbers."""
        texts = {name: values for name, values in self.columns.items() if values.dtype == object}
        return [name for name, values in texts.items() if any(isinstance(each, str) for each in values)]

    def table(self, *, classes: bool = False) -> dict[str, np.ndarray]:
        """Return a mapping from name to column: raw columns that `--keep` copies to the output, and the predictions.

        A prediction with the name of a raw column is called `predicted_NAME`. With `classes`, only the predictions that
        are class names are included. Raises ConfigError if there are none, or if two columns have the same name.
        """
        names = self.class_columns if classes else list(self.columns)
        if classes and not names:
            raise ConfigError("--classes: this model predicts no classes")
        return self.kept | _renamed({name: self.columns[name] for name in names}, self.kept)

    @classmethod
    def joined(cls, parts: Iterable["Predictions"]) -> "Predictions":
        """Return predictions for consecutive rows as those for all of them."""
        each = [*parts] or [cls({}, {}, {}, 0, 0)]
        sections = zip(*((part.kept, part.columns, part.outputs) for part in each), strict=True)
        kept, columns, outputs = (
            {name: np.concatenate([part[name] for part in section]) for name in section[0]} for section in sections
        )
        count, bad = sum(part.rows for part in each), sum(part.non_finite_rows for part in each)
        return cls(kept, columns, outputs, count, bad, each[0].readings)


def _renamed(predicted: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return predictions by name, which is `predicted_NAME` beside a raw column of the same name.

    Raises ConfigError if two would have one name.
    """
    renamed = {f"predicted_{name}" if name in kept else name: values for name, values in predicted.items()}
    if len(renamed) < len(predicted) or renamed.keys() & kept.keys():
        names = ", ".join(safe_text(name, 40) for name in kept)
        raise ConfigError(f"a kept column ({names}) and a prediction would have one name", hint="leave out its --keep")
    return renamed


def csv_text(columns: Mapping[str, np.ndarray], *, header: bool = True) -> str:
    """Return columns of predictions as CSV text; numbers have all digits of their precision, missing ones are empty."""
    rows = _rows(columns, lambda values: values.tolist() if values.dtype == object else _digits(values))
    return "".join(map(storage.csv_text, chain([[columns]] if header else [], rows)))


def json_lines(columns: Mapping[str, np.ndarray]) -> str:
    """Return columns of predictions as JSON Lines in ASCII: an object for each row.

    null stands for nan, infinity and an empty text: a missing value, whatever the file that it is from.
    """
    names = [f"{json.dumps(name)}: " for name in columns]
    row = "{" + ", ".join(f"{name.replace('%', '%%')}%s" for name in names) + "}\n"
    return "".join(row % cells for rows in _rows(columns, _json_cells) for cells in rows)


def _rows(
    columns: Mapping[str, np.ndarray], cells: Callable[[np.ndarray], list[Any]]
) -> Iterator[Iterator[tuple[Any, ...]]]:
    """Yield the rows of a table as cells, in blocks small enough for the CPU's caches."""
    for start in range(0, len(next(iter(columns.values()))), _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        yield zip(*(cells(values[part]) for values in columns.values()), strict=True)


def _json_cells(values: np.ndarray) -> list[str]:
    if values.dtype == object:
        words = [(type(word), word) for word in values.tolist()]  # 1.0 is not 1
        cells = {each: "null" if each[1] == "" else json.dumps(each[1]) for each in dict.fromkeys(words)}
        return list(map(cells.__getitem__, words))
    if values.dtype.kind != "f":
        return list(map(json.dumps, values.tolist()))
    return [repr(float(cell)) if cell else "null" for cell in _digits(values)]


def _digits(values: np.ndarray) -> list[str]:
    """Return a column of numbers as texts with all digits of their precision; nan and infinity become empty texts."""
    texts = values.astype(str).tolist()
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return texts
    return [text if ok else "" for text, ok in zip(texts, np.isfinite(values).tolist(), strict=True)]


def write_predictions(
    path: Path, parts: Iterable[Predictions], keep: Sequence[str] = (), *, classes: bool = False
) -> None:
    """Write predictions for consecutive rows to a file by its suffix, part by part: their tables to .csv, .jsonl and
    .parquet, outputs to .npy and, all at once, to .npz, there with the raw columns `keep`."""
    tables = (part.table(classes=classes) for part in parts)
    match path.suffix.lower():
        case ".csv":
            data = (csv_text(table, header=not number).encode() for number, table in enumerate(tables))
        case ".jsonl":
            data = (json_lines(table).encode() for table in tables)
        case ".npy":
            data = _npy(parts)
        case ".npz":
            whole = Predictions.joined(parts)
            kept = {name: whole.kept[name] for name in keep}
            data = [_npz(_renamed(whole.outputs, kept) | {name: _array_of(values) for name, values in kept.items()})]
        case _:
            data = _parquet(tables)
    storage.write_bytes(storage.output_file(path), Pieces(0, lambda: data))


def _array_of(cells: np.ndarray) -> np.ndarray:
    """Return a column as an array of numbers, with nan in place of None, or of text."""
    if cells.dtype != object:
        return cells
    if any(isinstance(cell, str) for cell in cells.tolist()):
        return cells.astype(str)
    return np.array([np.nan if cell is None else cell for cell in cells.tolist()], np.float64)


def _npz(outputs: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of an .npz file; unlike numpy.savez, this accepts arrays named `file` and `allow_pickle`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in outputs.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy_format.write_array(member, values, allow_pickle=False)
    return buffer.getvalue()


def _npy(parts: Iterable[Predictions]) -> Iterator[bytes]:
    for number, part in enumerate(parts):
        if len(part.outputs) > 1:
            text = f"the model has {len(part.outputs)} outputs; a .npy file holds one"
            raise ConfigError(text, hint="write a .npz file")
        (values,) = part.outputs.values()
        if not number:
            header, shape = io.BytesIO(), (part.total or part.rows, *values.shape[1:])
            descr = npy_format.dtype_to_descr(values.dtype)
            npy_format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
            yield header.getvalue()
        yield values.tobytes()


def _parquet(tables: Iterable[Mapping[str, np.ndarray]]) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = (pa.table({name: pa.array(values, from_pandas=True) for name, values in table.items()}) for table in tables)
    first = next(made)
    if pa.null() in first.schema.types:  # the type of a column is that of its first values
        first = pa.concat_tables([first, *made], promote_options="permissive")
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, first.schema) as writer:
        for table in chain([first], made):
            writer.write_table(table.cast(first.schema))  # a column may be empty in a later part
            yield sink.getvalue()
            sink.truncate(sink.seek(0))
    yield sink.getvalue()
