"""Row filter `data.where`: keep the rows of every split whose columns have one of the allowed values."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from kerascli.data.base import Field as Column
from kerascli.data.base import Tables
from kerascli.data.storage.on_disk import blocks
from kerascli.data.storage.table import Table
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.errors import DataError, Fault, show, suggestion

Values = tuple[int | str, ...]


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, int | str) else value


Where = dict[str, Annotated[Values, BeforeValidator(_listed), Field(min_length=1)]]
"""Type of `data.where`: a mapping from column to the values that kept rows may have."""


def rows_where(tables: Tables, where: Where) -> dict[str, Table]:
    """Return a mapping from split to table with the rows that the filter keeps. Raises DataError if none is left."""
    chosen = dict(tables)
    for split, table in tables.items() if where else ():
        stays = np.logical_and.reduce([_has(table, name, allowed) for name, allowed in where.items()])
        if not stays.any():
            words = ", ".join(f"{name} {show(list(allowed))}" for name, allowed in where.items())
            raise DataError(Fault(f"where: no row of '{split}' has {words}", ("data", "where"), "key"))
        chosen[split] = table.take(np.flatnonzero(stays))
    return chosen


def check_where(where: Where, fields: Mapping[str, Column]) -> None:
    """Raise DataError if the row filter does not fit the names and dtypes of the columns, as far as they are known."""
    for name, allowed in where.items():
        if name in fields and fields[name].dtype == "unknown":
            continue
        scalar = name not in fields or not fields[name].shape
        _check(name, allowed, fields, fields[name].is_text if name in fields else False, fits=scalar)


def _check(name: str, allowed: Values, columns: Collection[str], text: bool, *, fits: bool) -> None:
    path = ("data", "where", name)
    if name not in columns:
        raise DataError(Fault(f"where: there is no column '{name}'{suggestion(name, columns)}", path, "key"))
    if not fits:
        raise DataError(Fault(f"where: column '{name}' does not have one string or integer per row", path, "key"))
    for index, other in enumerate(allowed):
        if isinstance(other, str) != text:
            kind = "text" if text else "integers"
            raise DataError(f"where: column '{name}' has {kind}, got {show(other)}", path=(*path, index))


def _has(table: Table, name: str, allowed: Values) -> np.ndarray:
    values = table[name] if name in table else np.empty(0, int)
    if values.dtype == bool and any(isinstance(each, str) for each in allowed):  # the words of a text file
        values = table.text(name)
    text = values.dtype == object and not is_ragged(values)
    _check(name, allowed, table, text, fits=values.ndim == 1 and (text or values.dtype.kind in "iub"))
    masks = [np.isin(block, np.array(allowed, object) if text else allowed) for block in blocks(values)]
    return np.concatenate(masks) if masks else np.zeros(0, bool)
