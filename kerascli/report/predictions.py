"""Write a model's predictions to CSV, JSON Lines, NumPy or Parquet files."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from kerascli.foundation.disk import storage
from kerascli.foundation.errors import ConfigError, safe_text

TABLES = (".csv", ".jsonl", ".parquet")
"""Suffixes of the file formats in which predictions are written as named columns."""
FORMATS = (*TABLES, ".npy", ".npz")
_BLOCK_ROWS = 2**14


def csv_text(columns: Mapping[str, np.ndarray], *, header: bool = True) -> str:
    """Return columns of predictions as CSV text; numbers have all digits of their precision, missing ones are empty."""
    names = [",".join(map(_csv_word, columns)) if len(columns) > 1 else _csv_word(*columns) or '""'] if header else []
    alone = len(columns) == 1  # an empty line would be no row

    def cells(values: np.ndarray) -> list[str]:
        texts = _each_once(values, _csv_word) if values.dtype == object else _digits(values)
        return [cell or '""' for cell in texts] if alone else texts

    lines = chain(names, chain.from_iterable(map(",".join, rows) for rows in _rows(columns, cells)))
    return "".join(f"{line}\n" for line in lines)


def json_lines(columns: Mapping[str, np.ndarray]) -> str:
    """Return columns of predictions as JSON Lines in ASCII: an object for each row.

    null stands for nan, infinity and an empty text: a missing value, whatever the file that it is from.
    """
    names = [f"{json.dumps(name)}: " for name in columns]
    row = "{" + ", ".join(f"{name.replace('%', '%%')}%s" for name in names) + "}\n"
    return "".join(row % cells for rows in _rows(columns, _json_cells) for cells in rows)


def _rows(
    columns: Mapping[str, np.ndarray], cells: Callable[[np.ndarray], list[str]]
) -> Iterator[Iterator[tuple[str, ...]]]:
    """Yield the rows of a table as texts, in blocks small enough for the CPU's caches."""
    count = len(next(iter(columns.values())))
    for start in range(0, count, _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        yield zip(*(cells(values[part]) for values in columns.values()), strict=True)


def _json_cells(values: np.ndarray) -> list[str]:
    if values.dtype == object:
        return _each_once(values, lambda cell: "null" if cell == "" else json.dumps(cell))
    if values.dtype.kind != "f":
        return list(map(json.dumps, values.tolist()))
    return [repr(float(cell)) if cell else "null" for cell in _digits(values)]


def _each_once(values: np.ndarray, convert: Callable[[Any], str]) -> list[str]:
    """Return the cell (text) for each word (or number, or None) of a column; equal ones are converted only once."""
    words = [word if isinstance(word, str) else (type(word), word) for word in values.tolist()]  # 1.0 is not 1
    cells = {word: convert(word if isinstance(word, str) else word[1]) for word in dict.fromkeys(words)}
    return list(map(cells.__getitem__, words))


def _csv_word(word: str | float | None) -> str:
    """Return a word, or a number or None, as a cell of a CSV row with several cells, in quotes if necessary."""
    return storage.csv_text([(word, "")]).removesuffix(",\n")


def _digits(values: np.ndarray) -> list[str]:
    """Return a column of numbers as texts with all digits of their precision; nan and infinity become empty texts."""
    texts = values.astype(str).tolist()
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return texts
    return [text if ok else "" for text, ok in zip(texts, np.isfinite(values).tolist(), strict=True)]


def write_predictions(
    path: Path,
    columns: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    kept: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write predictions to a file by its suffix: columns to .csv, .jsonl and .parquet, outputs to .npy and .npz, there
    with the raw columns `kept`."""
    match path.suffix.lower():
        case ".csv":
            data = csv_text(columns).encode()
        case ".jsonl":
            data = json_lines(columns).encode()
        case ".npy":
            data = _npy(outputs)
        case ".npz":
            data = _npz(_named_arrays(outputs, kept or {}))
        case _:
            data = _parquet(columns)
    storage.write_bytes(storage.output_file(path), data)


def _named_arrays(outputs: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file: outputs (`predicted_NAME` if a raw column has the name), then raw columns as
    numbers or text.

    Raises ConfigError if two would have one name.
    """
    arrays = {f"predicted_{name}" if name in kept else name: values for name, values in outputs.items()}
    if len(arrays) < len(outputs) or arrays.keys() & kept.keys():
        names = ", ".join(safe_text(name, 40) for name in kept)
        raise ConfigError(f"a kept column ({names}) and an output would have one name", hint="leave out its --keep")
    return arrays | {name: _array_of(values) if values.dtype == object else values for name, values in kept.items()}


def _array_of(cells: np.ndarray) -> np.ndarray:
    """Return a column of words, or of integers and None, as an array of text, or of numbers with nan."""
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


def _npy(outputs: Mapping[str, np.ndarray]) -> bytes:
    if len(outputs) > 1:
        raise ConfigError(f"the model has {len(outputs)} outputs; a .npy file holds one", hint="write a .npz file")
    buffer = io.BytesIO()
    np.save(buffer, next(iter(outputs.values())), allow_pickle=False)
    return buffer.getvalue()


def _parquet(columns: Mapping[str, np.ndarray]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()}), buffer)
    return buffer.getvalue().to_pybytes()
