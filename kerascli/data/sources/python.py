"""Python: columns from a function of the user's own, `file.py:function`; trusted local code."""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn, Self

import numpy as np
from pydantic import AfterValidator

from kerascli.data.base import Context, Source, source
from kerascli.data.sources.file_source import rebase
from kerascli.data.table import Table, table_of
from kerascli.errors import DataError, Fault, Place, safe_text, show, suggestion
from kerascli.files import open_regular


def _check_form(value: str) -> str:
    path, colon, function = value.rpartition(":")
    if not colon or not path.endswith(".py") or not function.isidentifier():
        raise ValueError(f"expected 'file.py:function', got '{safe_text(value, 60)}'")
    return value


@source()
class Python(Source):
    """The function takes nothing, or the config's folder, and returns columns, or columns by split."""

    function: Annotated[str, AfterValidator(_check_form)]

    def load(self, context: Context) -> Mapping[str, Table]:
        path, _, name = self.function.rpartition(":")
        function = _find(context.folder / path, path, name)
        try:
            result = function(context.folder) if inspect.signature(function).parameters else function()
        except Exception as error:
            _refuse(error, context.folder / path, path)
        return _tables(result, self.function)

    def files(self, context: Context) -> list[Path]:
        return [context.folder / self.function.rpartition(":")[0]]

    def rebased(self, old: Path, new: Path) -> Self:
        path, _, name = self.function.rpartition(":")
        return self.model_copy(update={"function": f"{rebase(path, old, new)}:{name}"})


def _find(path: Path, shown: str, name: str) -> Callable[..., Any]:
    open_regular(path, shown).close()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # as for a script: its neighbours can be imported
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        _refuse(error, path, shown)
    finally:
        sys.path.remove(str(path.parent))
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise DataError(Fault(f"there is no function '{name}'{suggestion(name, known)}", place=Place(shown)))
    return function


def _refuse(error: Exception, path: Path, shown: str) -> NoReturn:
    """An error in the user's code, at the user's line."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    text = f"{type(error).__name__}: {safe_text(str(error), 300)}"
    raise DataError(Fault(text, place=Place(shown, line))) from error


def _tables(result: Any, name: str) -> dict[str, Table]:
    if not isinstance(result, Mapping) or not result:
        raise DataError(Fault(f"expected columns by name, got {show(result)}", place=Place(name)))
    nested = [isinstance(value, Mapping) for value in result.values()]
    if any(nested) and not all(nested):
        raise DataError(Fault("columns and splits stand side by side; expected one of them", place=Place(name)))
    splits: Mapping[Any, Any] = result if all(nested) else {"train": result}
    known = ("train", "validation", "test")
    for split in splits:
        if split not in known:
            raise DataError(Fault(f"there is no split {show(split)}; expected {', '.join(known)}", place=Place(name)))
    return {split: table_of(_arrays(columns), f"{name} {split}") for split, columns in splits.items()}


def _arrays(columns: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    return {str(key): np.asanyarray(value) for key, value in columns.items()}
