"""Source `python`: columns returned by a user's function, `file.py:function`; trusted local code."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator

from kerascli.data.base import SPLITS, Context, Source, Tables, source
from kerascli.data.storage.table import Table, table_of
from kerascli.foundation.disk.files import read_digested
from kerascli.foundation.errors import DataError, FileRefused, safe_text, show, suggestion
from kerascli.foundation.user_code import UserCode, exits_as_errors


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

    def load(self, context: Context) -> Tables:
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
    for split in splits:
        if split not in SPLITS:
            raise DataError(f"there is no split {show(split)}; expected {', '.join(SPLITS)}", place=name)
    return {split: table_of(_arrays(columns, name), f"{name} {split}") for split, columns in splits.items()}


def _arrays(columns: Mapping[Any, Any], name: str) -> dict[str, np.ndarray]:
    arrays = {}
    for key, value in columns.items():
        try:
            array = np.asanyarray(value)
            if np.ma.is_masked(array):
                array = array.astype(np.promote_types(array.dtype, np.float32)).filled(np.nan)
            arrays[str(key)] = array
        except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors on a device
            text = f"'{safe_text(str(key), 40)}' cannot be converted to an array: {safe_text(str(error), 200)}"
            raise DataError(text, place=name) from None
    return arrays
