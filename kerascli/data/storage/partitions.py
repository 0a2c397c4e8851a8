"""Parts of a table: the files of Parquet below a folder or an address, and the values that the folders give them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np

from kerascli.data.storage.column import text_array
from kerascli.data.storage.delimited.text_format import typed
from kerascli.foundation.errors import DataError, DataMissing, safe_text, suggestion

PARQUET = (".parquet", ".pq")
_MISSING = "__HIVE_DEFAULT_PARTITION__"
"""Value with which Hive, Spark and pyarrow mark a missing value in the name of a folder."""

LINE = "\0line"
"""Name of the column with the lines of a text file on which the rows begin; no text has it as a name."""


class Part(NamedTuple):
    """One file of a table, with the texts of its partition columns (`year=2024`); '' is a missing value."""

    path: Path
    name: str
    """Name of the file in messages."""
    values: Mapping[str, str] = {}


def parts_below(folder: Path, name: str) -> list[Part]:
    """Return the Parquet files below a folder, as `parquet_parts`; links to folders are not followed."""
    keys = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return parquet_parts(keys, name, lambda key, _: folder / key)


def parquet_parts(keys: Iterable[str], name: str, local: Callable[[str, str], Path]) -> list[Part]:
    """Return the Parquet files of a table, of those with the `keys` (paths with '/') below a folder called `name`.

    They are sorted; `local` returns the file of a key, and of its name in messages. Files and folders whose names begin
    with '_' or '.' are left out, as by Spark and pyarrow. Raises DataError for files of other kinds, if there are no
    files, or if they do not have the same partition columns.
    """
    data = sorted(key for key in keys if not any(part.startswith(("_", ".")) for part in key.split("/")))
    other = next((key for key in data if not key.lower().endswith(PARQUET)), None)
    if other is not None:
        raise DataError("expected files of Parquet alone (.parquet) below the folder", place=f"{name}/{other}")
    if not data:
        raise DataMissing(f"there are no files of Parquet (.parquet) below '{safe_text(name)}'")
    named = [(key, f"{name.rstrip('/')}/{key}") for key in data]
    rows = [_values(*each) for each in named]
    for (_, place), values in zip(named, rows, strict=True):
        if list(values) != list(rows[0]):
            text = f"{_columns(values)}; '{safe_text(data[0])}' has {_columns(rows[0])}"
            raise DataError(text, place=place, hint="all files of a table have the same partition columns")
    return [Part(local(*each), each[1], values) for each, values in zip(named, rows, strict=True)]


def _values(key: str, place: str) -> dict[str, str]:
    """Return the text of each partition column for a key: {year: 2024, month: 01} of `year=2024/month=01/a.parquet`."""
    values: dict[str, str] = {}
    for folder in key.split("/")[:-1]:
        column, equals, value = folder.partition("=")
        if not equals:
            continue
        try:
            column, value = unquote(column, errors="strict"), unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise DataError(f"the folder '{safe_text(folder)}' is not UTF-8", place=place) from None
        if not column or column in values:
            text = f"the folder '{safe_text(folder)}' names {'a column twice' if column else 'no column'}"
            raise DataError(text, place=place, hint="a partition is a folder called column=value")
        values[column] = "" if value == _MISSING else value
    return values


def _columns(values: Mapping[str, str]) -> str:
    return f"the partition columns {', '.join(map(safe_text, values))}" if values else "no partition columns"


def partition_columns(parts: Sequence[Part], names: Sequence[str], dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return the value of each partition column in each file: numbers if all are, else text. Raises DataError."""
    columns: dict[str, np.ndarray] = {}
    for column in parts[0].values:
        if column in names:
            text = f"column '{safe_text(column, 40)}' is in the file, and in the name of its folder"
            raise DataError(text, place=parts[0].name)
        texts = [part.values[column] for part in parts]
        dtype = dtypes.get(column)
        numbers = None if dtype == "text" else typed(text_array(texts), dtype=dtype)
        if dtype == "number" and numbers is None:
            wrong = next((i for i, text in enumerate(texts) if typed(text_array([text]), dtype=dtype) is None), 0)
            text = f"'{safe_text(texts[wrong], 40)}' is not a number, as dtypes says of '{safe_text(column, 40)}'"
            raise DataError(text, place=parts[wrong].name)
        columns[column] = np.array(texts, object) if numbers is None else numbers
    for column in dtypes:
        if column not in columns:
            text = f"dtypes: there is no partition column '{safe_text(column, 40)}'{suggestion(column, columns)}"
            raise DataError(text, place=parts[0].name, hint="the files themselves say the types of their columns")
    return columns
