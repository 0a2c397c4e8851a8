"""Source `npz`: named arrays, with Keras's suffixes for splits (x_train, y_train, x_test, ...) or without."""

from pathlib import Path
from typing import TypeVar

from kerascli.data.base import Context, Field, Fields, Tables, source
from kerascli.data.sources.file_source import FileSource
from kerascli.data.storage.array_files import array_headers, array_paths, read_arrays
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.errors import DataError, safe_text

V = TypeVar("V")

_SUFFIXES = {"_train": "train", "_val": "validation", "_validation": "validation", "_test": "test"}


@source()
class Npz(FileSource):
    """Arrays of an npz file, an npy file or a folder of npy files; axis 0 holds the rows, object arrays are refused.

    Each array is a column. The suffixes `_train`, `_val`, `_validation` and `_test` give its split; without any of
    them, all arrays belong to `train`.
    """

    def facts(self, context: Context) -> Fields | None:
        columns = _by_split(array_headers(self.local(context, self.path), self.path), self.path).get("train", {})
        dtypes = {name: "string" if each.dtype.kind in "US" else each.dtype.name for name, each in columns.items()}
        return {name: Field(each.shape[1:], dtypes[name]) for name, each in columns.items()}

    def load(self, context: Context) -> Tables:
        arrays = _by_split(read_arrays(self.local(context, self.path), self.path), self.path)
        tables = {split: table_of(columns, self.path) for split, columns in arrays.items()}
        for split, path in self._paths().items():
            if split == "train":
                continue
            if split in tables:
                text = f"'{self.path}' has arrays of the '{split}' split, and '{split}' names a file"
                raise DataError(text, path=("data", "source"))
            tables[split] = read_npz(self.local(context, path), path)
        return tables

    def data_files(self, context: Context) -> list[Path]:
        return [file for path in super().data_files(context) for file in array_paths(path)]


def read_npz(path: Path, name: str) -> Table:
    """Return the arrays of an npz file, npy file or folder as columns of one table. Raises DataError, FileRefused.

    `x_test` is the column `x`.
    """
    splits = _by_split(read_arrays(path, name), name)
    if len(splits) > 1:
        raise DataError(f"there are arrays of {len(splits)} splits ({', '.join(splits)}); expected one", place=name)
    return table_of(next(iter(splits.values())), name)


def _by_split(arrays: dict[str, V], name: str) -> dict[str, dict[str, V]]:
    """Group arrays by split: `x_train` is the column `x` of `train`; if no name has a suffix, all belong to `train`."""
    if not arrays:
        raise DataError("there are no arrays", place=name)
    splits: dict[str, dict[str, V]] = {}
    rest: list[str] = []
    for key, value in arrays.items():
        suffix = next((suffix for suffix in _SUFFIXES if key.endswith(suffix) and key != suffix), None)
        if suffix is None:
            rest.append(key)
        elif (column := key.removesuffix(suffix)) in (split := splits.setdefault(_SUFFIXES[suffix], {})):
            text = (
                f"two arrays are the column '{safe_text(column, 40)}' of {_SUFFIXES[suffix]}: one is '{safe_text(key)}'"
            )
            raise DataError(text, place=name)
        else:
            split[column] = value
    if not splits:
        return {"train": arrays}
    if rest:
        text = f"'{safe_text(rest[0], 40)}' belongs to no split; the other arrays end in '_train', '_test', ..."
        raise DataError(text, place=name)
    return splits
