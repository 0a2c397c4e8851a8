"""Write predictions as CSV, NumPy or Parquet files."""

import csv
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from kerascli.disk import storage
from kerascli.errors import ConfigError

TABLES = (".csv", ".jsonl", ".parquet")
"""Suffixes of files of predictions that have named columns."""
FORMATS = (*TABLES, ".npy", ".npz")


def csv_text(columns: Mapping[str, np.ndarray], *, header: bool = True) -> str:
    """Return columns as CSV text; numbers have the digits of their precision, missing ones are empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows(zip(*(_cells(values) for values in columns.values()), strict=True))
    return buffer.getvalue()


def json_lines(columns: Mapping[str, np.ndarray]) -> str:
    """Return JSON Lines in ASCII, an object for each row; a number that is nan or infinite is null."""
    lists = [_values(values) for values in columns.values()]
    rows = zip(*lists, strict=True)
    return "".join(f"{json.dumps(dict(zip(columns, row, strict=True)))}\n" for row in rows)


def _values(values: np.ndarray) -> list[Any]:
    if values.dtype.kind != "f":
        return values.tolist()
    texts = values.astype(str).tolist()  # as many digits as the precision needs
    return [float(text) if ok else None for text, ok in zip(texts, np.isfinite(values).tolist(), strict=True)]


def _cells(values: np.ndarray) -> list[str]:
    if values.dtype == object:
        return values.tolist()
    texts = values.astype(str)
    if values.dtype.kind == "f":
        texts = np.where(np.isfinite(values), texts, "")
    return texts.tolist()


def write_predictions(path: Path, columns: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
    """Write predictions by suffix: columns to .csv, .jsonl, .parquet, raw outputs to .npy (one output) and .npz."""
    match path.suffix.lower():
        case ".csv":
            data = csv_text(columns).encode()
        case ".jsonl":
            data = json_lines(columns).encode()
        case ".npy":
            data = _npy(outputs)
        case ".npz":
            data = _npz(outputs)
        case _:
            data = _parquet(columns)
    storage.write_bytes(storage.output_file(path), data)


def _npz(outputs: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes that numpy.savez writes, which accepts no arrays named `file` or `allow_pickle`."""
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
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        hint = 'pip install "kerascli[parquet]"'
        raise ConfigError("writing .parquet needs the package 'pyarrow', which is not installed", hint=hint) from None
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), buffer)
    return buffer.getvalue().to_pybytes()
