"""Row filter `data.where`: keep the rows of every split whose columns have one of the allowed values."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, Field

from kerascli.data.base import Field as Column
from kerascli.data.base import Tables
from kerascli.data.storage.on_disk import Values, blocks
from kerascli.data.storage.table import Table, gaps_in_integers
from kerascli.foundation.errors import DataError, Fault, show, suggestion
from kerascli.foundation.shapes import listed

Allowed = tuple[int | str, ...]
_LISTED = BeforeValidator(listed, json_schema_input_type=int | str | list[int | str])
Where = dict[str, Annotated[Allowed, Field(min_length=1), _LISTED]]
"""Type of `data.where`: a mapping from column to the values that kept rows may have."""


def rows_where(tables: Tables, where: Where) -> dict[str, Table]:
    """Return a mapping from split to table with the rows that the filter keeps. Raises DataError if none is left."""
    chosen = dict(tables)
    for split, table in tables.items() if where else ():
        values = {name: _values(table, name, allowed) for name, allowed in where.items() if name in table}
        unknown = dict.fromkeys(table, Column((), "unknown"))
        check_where(where, unknown | {name: _field(column) for name, column in values.items()})
        stays = np.logical_and.reduce([_has(values[name], allowed) for name, allowed in where.items()])
        if not stays.any():
            words = ", ".join(f"{name} {show(list(allowed))}" for name, allowed in where.items())
            raise DataError(Fault(f"where: no row of '{split}' has {words}", ("data", "where"), "key"))
        chosen[split] = table.take(np.flatnonzero(stays))
    return chosen


def check_where(where: Where, fields: Mapping[str, Column]) -> None:
    """Raise DataError if the row filter does not fit the names and dtypes of the columns, as far as they are known."""
    for name, allowed in where.items():
        path = ("data", "where", name)
        if name not in fields:
            raise DataError(Fault(f"where: there is no column '{name}'{suggestion(name, fields)}", path, "key"))
        field = fields[name]
        if field.shape or not (field.is_text or field.is_integer):
            text = f"where: column '{name}' does not have one string or integer per row"
            raise DataError(Fault(text, path, "key"))
        for index, other in enumerate(allowed if field.dtype != "unknown" else ()):
            if isinstance(other, str) != field.is_text:
                kind = "text" if field.is_text else "integers"
                raise DataError(f"where: column '{name}' has {kind}, got {show(other)}", path=(*path, index))


def _field(values: Values) -> Column:
    """Return the field of a column; integers beside gaps, which are floats, are integers, too."""
    return replace(Column.of(values), dtype="int64") if len(gaps_in_integers(values)) else Column.of(values)


def _values(table: Table, name: str, allowed: Allowed) -> Values:
    values = table[name]
    are_words = values.dtype == bool and any(isinstance(each, str) for each in allowed)  # those of a text file
    return table.text(name) if are_words else values


def _has(values: Values, allowed: Allowed) -> np.ndarray:
    wanted = np.array(allowed, object) if values.dtype == object else np.array(allowed)
    if values.dtype.kind in "iu":  # numpy compares 64-bit integers with and without a sign as floats
        limits = np.iinfo(values.dtype)
        wanted = np.array([each for each in allowed if limits.min <= int(each) <= limits.max], values.dtype)
    return np.concatenate([np.zeros(0, bool), *(np.isin(block, wanted) for block in blocks(values))])
