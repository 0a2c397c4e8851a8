"""Parse JSON Lines to typed columns: each line is an object, whose keys are the columns."""

import json
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

import numpy as np

from kerascli.data.storage.column import Column, Texts, text_array
from kerascli.data.storage.delimited.text_format import numbers_of
from kerascli.data.storage.row_errors import BadRows
from kerascli.data.storage.table import Table
from kerascli.foundation.disk.files import JSON_MARKS, refuse_table, refuse_text, unique_keys
from kerascli.foundation.errors import DataError, Fault, Place, safe_text

Faults = dict[int, Fault]
"""Mapping from a row's index to its error."""


def read_json_lines(data: bytes, name: str, *, packed: int | None = None) -> Table:
    """Parse objects of numbers, texts and lists of numbers to a table; null and absent keys are missing values.

    A column with a text in any line is text, each number in it as it is written. `packed` is the size of the file if it
    is compressed. Raises DataError with the line that is invalid, FileRefused.
    """
    packed = len(data) if packed is None else packed
    refuse_text(data, JSON_MARKS, packed, name)
    texts = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    lines = np.array([number for number, _ in texts])
    faults: Faults = {}
    rows: list[dict[str, Any]] = []
    for index, (number, line) in enumerate(texts):
        try:
            rows.append(parse_line(line, name, number))
        except DataError as error:
            faults[index] = error.faults[0]
            rows.append({})
    if not rows:
        raise DataError("the file is empty", place=Place(name, 1))
    keys = dict.fromkeys(key for row in rows for key in row)
    if not keys:
        raise DataError(faults.get(0) or Fault("there are no columns", place=Place(name, int(lines[0]))))
    refuse_table(8 * len(keys) * len(rows), packed, name)
    columns = {key: _column([row.get(key) for row in rows], key, name, lines, faults) for key in keys}
    table = Table(columns, len(rows), name=name, lines=lines)
    if faults:
        raise BadRows(next(iter(faults.values())), table, list(faults))
    return table


def _column(cells: list[Any], key: str, name: str, lines: np.ndarray, faults: Faults) -> Column:
    """Return the values of a key as a column: numbers or lists of them, else text; errors of values are added to
    `faults` by row. Raises DataError."""
    kinds = set(map(type, cells))
    alike = kinds in ({int}, {float}) or list in kinds
    values = _arrays(cells, key, name, lines, faults) if list in kinds else _numbers(cells, kinds)
    if values is not None:
        kept = values if alike else cells  # an array takes less memory
        column = Column(partial(_coded, kept, key, name), lambda: values)
    else:
        texts = list(map(_text, cells))
        try:
            column = Column.of(text_array(texts))
        except UnicodeEncodeError as error:
            place = Place(name, int(lines[texts.index(error.object)]), name=key)
            raise DataError("not UTF-8 (half a character)", place=place) from None
    if not alike and not kinds <= {str, type(None)}:
        column.reread = lambda _, rows: _column([cells[row] for row in rows.tolist()], key, name, lines[rows], {})
    return column


def _numbers(cells: list[Any], kinds: set[type]) -> np.ndarray | None:
    """Return values, of types `kinds`, as numbers; None if one is a text, or an integer that no type of them holds."""
    if kinds == {int} or kinds <= {float, type(None)}:
        with suppress(OverflowError):  # beyond 64 bits
            values = np.array(cells, np.int64 if kinds == {int} else np.float64)
            if not np.isinf(values).any():
                return values
    texts = None if str in kinds else [_text(int(each) if isinstance(each, bool) else each) for each in cells]
    return None if texts is None else numbers_of(texts)


def _coded(values: list[Any] | np.ndarray, key: str, name: str) -> Texts:
    """Return values as text; the text of a value does not depend on others. Raises DataError for lists."""
    if isinstance(values, np.ndarray) and values.ndim > 1:
        raise DataError(f"'{safe_text(key, 40)}' holds lists of numbers, text is expected", place=name)
    texts = list(map(_text, values.tolist() if isinstance(values, np.ndarray) else values))
    return Texts.of_column(text_array(texts))


def parse_line(line: bytes, name: str, number: int) -> dict[str, Any]:
    """Parse one line of a JSON Lines file to the object in it. Raises DataError."""
    try:
        row = json.loads(line, object_pairs_hook=unique_keys, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 (byte {line[error.start]:#04x})", place=Place(name, number)) from None
    except (ValueError, RecursionError) as error:
        what = f"{error.msg} (column {error.colno})" if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(f"not valid JSON: {safe_text(what, 120)}", place=Place(name, number)) from None
    if not isinstance(row, dict):
        raise DataError(f"expected an object {{...}}, got {_kind(row)}", place=Place(name, number))
    for key, value in row.items() if b"[" in line or line.count(b"{") > 1 else ():
        if isinstance(value, dict) or (isinstance(value, list) and not _is_numbers(value)):
            text = f"expected a number, a text or a list of numbers, got {_kind(value)}"
            raise DataError(text, place=Place(name, number, name=key))
    return row


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON; null is a missing value")


def _is_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_numbers, value))
    return isinstance(value, int | float)


def _text(value: str | float | bool | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value) if isinstance(value, bool) else repr(value)


def _arrays(values: list[Any], key: str, name: str, lines: np.ndarray, faults: Faults) -> np.ndarray:
    shapes = list(map(_shape, values))
    shape, like = next(((each, value) for each, value in zip(shapes, values, strict=True) if each), ((), 0))
    for row, each in enumerate(shapes):
        if each != shape:
            text = f"expected a list of numbers of shape {shape}, as in the first line, got {_kind(values[row])}"
            text = text if each is None else f"{text} of shape {each}"
            faults.setdefault(row, Fault(text, place=Place(name, int(lines[row]), name=key)))
    array = np.array([value if each == shape else like for each, value in zip(shapes, values, strict=True)])
    if array.dtype == object:
        raise DataError(f"'{safe_text(key)}' holds integers beyond 64 bits", place=name)
    return array


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of a list of numbers; None for another value, or for lists of different lengths in it."""
    with suppress(ValueError):
        return np.shape(value) if isinstance(value, list) else None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")
