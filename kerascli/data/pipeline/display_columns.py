"""Columns displayed next to model outputs (in pictures, for example) without being model inputs."""

from collections.abc import Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np

from kerascli.data.base import Field, Fields, Tables
from kerascli.data.storage.on_disk import Values, pieces
from kerascli.foundation.errors import DataError, Path, suggestion

DisplayPaths = Mapping[str, Path]
"""Mapping from the name of each column to display to the config path (keys, indices) that names it."""


class DisplayColumn(NamedTuple):
    """Column of a split to display: one string or integer per row."""

    values: Values
    field: Field | None
    """Facts about the column (shape, dtype, classes ...) from its data source; None if the source has none."""

    def first(self, rows: int) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the class labels (int64) of the column's first `rows` rows, and the class names (empty if none)."""
        labels = np.concatenate(list(islice(pieces(self.values, rows), 1)))
        if labels.dtype != object:
            return labels.reshape(-1).astype(np.int64), (self.field and self.field.classes) or ()
        names, numbers = np.unique(labels.astype(str), return_inverse=True)
        return numbers.reshape(-1), tuple(names.tolist())


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


def display_columns(
    paths: DisplayPaths, tables: Tables, facts: Fields, targets: Fields
) -> dict[str, dict[str, DisplayColumn]]:
    """Return a mapping from split to the columns to display; `facts` are the source's fields. Raises DataError.

    Targets among them are left out.
    """
    shown: dict[str, dict[str, DisplayColumn]] = {}
    for split, table in tables.items() if paths else ():
        own = {name: Field.of(table[name]) for name in table.keys() & paths}
        check_display_columns(paths, dict.fromkeys(table, Field((), "unknown")) | own, targets)
        shown[split] = {name: DisplayColumn(table[name], facts.get(name)) for name in paths if name not in targets}
    return shown
