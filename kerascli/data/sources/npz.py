"""Sources of arrays: `npz`, those of a file, and `python`, those that a user's function returns (trusted local code).

Suffixes of the names of arrays, which are Keras's, tell the splits: x_train, y_train, x_test, ...
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import AfterValidator

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.sources.file_source import FileSource
from kerascli.data.storage.array_files import array_headers, array_paths, read_arrays
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.disk.files import read_digested
from kerascli.foundation.errors import DataError, FileRefused, safe_text, show, suggestion
from kerascli.foundation.user_code import UserCode, exits_as_errors

V = TypeVar("V")

_SUFFIXES = {"_train": "train", "_val": "validation", "_validation": "validation", "_test": "test"}


@source()
class Npz(FileSource):
    """Arrays of an npz file, an npy file or a folder of npy files; axis 0 holds the rows, object arrays are refused.

    Each array is a column. The suffixes `_train`, `_val`, `_validation` and `_test` give its split; without any of
    them, all arrays belong to `train`.
    """

    def facts(self, context: Context) -> Mapping[str, Field] | None:
        headers = array_headers(self.local(context, self.path), self.path)
        columns = _by_split(headers, self.path).get("train", {})
        return {
            column: Field(header.shape[1:], "string" if header.dtype.kind in "US" else header.dtype.name)
            for column, header in columns.items()
        }

    def load(self, context: Context) -> Mapping[str, Table]:
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
        else:
            splits.setdefault(_SUFFIXES[suffix], {})[key.removesuffix(suffix)] = value
    if not splits:
        return {"train": arrays}
    if rest:
        text = f"'{safe_text(rest[0], 40)}' belongs to no split; the other arrays end in '_train', '_test', ..."
        raise DataError(text, place=name)
    return splits


def _check_form(value: str) -> str:
    path, colon, function = value.rpartition(":")
    if not colon or not path.endswith(".py") or not function.isidentifier():
        raise ValueError(f"expected 'file.py:function', got '{safe_text(value, 60)}'")
    return value


@source()
class Python(Source):
    """Columns returned by a Python function of the user.

    The function takes no argument, or one: the folder of its file as a Path. It returns a mapping from column names to
    arrays, or from split names to such mappings.
    """

    paths = ("function",)
    in_files = False

    function: Annotated[str, AfterValidator(_check_form)]
    """Function that returns the columns, written as path/to/file.py:function; the path is relative to the config."""

    def load(self, context: Context) -> Mapping[str, Table]:
        shown, _, name = self.function.rpartition(":")
        path = context.folder / shown
        code = UserCode(path, read_digested(path, shown))
        try:
            with exits_as_errors(), _neighbours(path):
                function = _find(code.module(), name, shown)
                # the file's folder, not the config's: the config saved with a run lies elsewhere, its data is the same
                result = function(path.parent) if inspect.signature(function).parameters else function()
        except (DataError, FileRefused):
            raise
        except Exception as error:
            text, place = code.message(error, shown)
            raise DataError(text, place=place) from error
        return _tables(result, self.function)

    def data_files(self, context: Context) -> list[Path]:
        return [context.folder / self.function.rpartition(":")[0]]


@contextmanager
def _neighbours(path: Path) -> Iterator[None]:
    """Context manager that puts the folder of the user's file on `sys.path`, for imports of modules in that folder."""
    sys.path.insert(0, str(path.parent))
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have changed sys.path
            sys.path.remove(str(path.parent))


def _find(module: ModuleType, name: str, shown: str) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise DataError(f"there is no function '{name}'{suggestion(name, functions)}", place=shown)
    return function


def _tables(result: Any, name: str) -> dict[str, Table]:
    if not isinstance(result, Mapping) or not result:
        raise DataError(f"expected columns by name, got {show(result)}", place=name)
    nested = [isinstance(value, Mapping) for value in result.values()]
    if any(nested) and not all(nested):
        raise DataError("got both columns and splits; expected one kind", place=name)
    splits: Mapping[Any, Any] = result if all(nested) else {"train": result}
    names = ("train", "validation", "test")
    for split in splits:
        if split not in names:
            raise DataError(f"there is no split {show(split)}; expected {', '.join(names)}", place=name)
    return {split: table_of(_arrays(columns, name), f"{name} {split}") for split, columns in splits.items()}


def _arrays(columns: Mapping[Any, Any], name: str) -> dict[str, np.ndarray]:
    arrays = {}
    for key, value in columns.items():
        try:
            arrays[str(key)] = np.asanyarray(value)
        except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors on a device
            text = f"'{safe_text(str(key), 40)}' cannot be converted to an array: {safe_text(str(error), 200)}"
            raise DataError(text, place=name) from None
    return arrays
