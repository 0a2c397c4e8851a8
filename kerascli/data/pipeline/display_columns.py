"""Columns displayed next to model outputs (in pictures, for example) without being model inputs."""

from collections.abc import Mapping, Sequence

import numpy as np

from kerascli.data.base import Field, Fields, Tables
from kerascli.data.storage.on_disk import Values, in_memory
from kerascli.foundation.errors import DataError, Path, suggestion

DisplayPaths = Mapping[str, Path]
"""Mapping from the name of each column to display to the config path (keys, indices) that names it."""


def class_labels(values: Values, names: Sequence[str]) -> tuple[np.ndarray, Sequence[str]]:
    """Return the class labels (int64) of a column of one string or integer per row, and the class names: of strings
    themselves, of integers `names`."""
    labels = in_memory(values)
    if labels.dtype != object:
        return labels.reshape(-1).astype(np.int64), names
    own, numbers = np.unique(labels.astype(str), return_inverse=True)
    return numbers.reshape(-1), own.tolist()


def check_display_columns(paths: DisplayPaths, columns: Fields | None, targets: Fields) -> None:
    """Check that the columns to display exist and hold strings or integers.
    Of a target and a column with the same name, the target is checked.

    Raises DataError.
    """
    if columns is None:
        return
    for name, path in paths.items():
        fields = {**columns, **targets}
        if name not in fields:
            text = f"there is no column or target '{name}'{suggestion(name, fields)}"
            raise DataError(text, path=path, hint=f"available: {', '.join(list(fields)[:20])}")
        field = fields[name]
        if field.dtype != "unknown" and not (field.shape in ((), (1,)) and (field.is_text or field.is_integer)):
            what = "target" if name in targets else "column"
            raise DataError(f"{what} '{name}' does not have one string or integer per row", path=path)


def display_columns(paths: DisplayPaths, tables: Tables, facts: Fields, targets: Fields) -> dict[str, Sequence[str]]:
    """Return a mapping from each column to display, but targets, to its class names (empty if none).

    `tables` hold the columns of each split, `facts` are the source's fields. Raises DataError.
    """
    for table in tables.values() if paths else ():
        own = {name: Field.of(table[name]) for name in table.keys() & paths}
        check_display_columns(paths, dict.fromkeys(table, Field((), "unknown")) | own, targets)
    classes = {name: field.classes for name, field in facts.items()}
    return {name: classes.get(name) or () for name in paths if name not in targets}
