"""Read the columns of a pipeline as one array with the dtype and shape of the training rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from kerascli.data.base import Field
from kerascli.data.pipeline.named_pipeline import NamedPipeline, data_error_at
from kerascli.data.storage.column import Coded, first_rows
from kerascli.data.storage.convert import as_records, converted, first_rounded
from kerascli.data.storage.delimited.text_format import INEXACT, first_inexact
from kerascli.data.storage.table import BadRow, Table
from kerascli.data.storage.tokens import Tokens, column_dtype, is_ragged
from kerascli.foundation.errors import DataError, in_yaml, safe_text
from kerascli.foundation.shapes import is_compatible

IMPUTE = "[{impute: median}, ...] fills it from the training rows"
"""Hint of an error about a missing value in a numeric column."""
_MISSING_WORDS = {"na", "n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "missing", "unknown", "#n/a"}


def column_field(named: NamedPipeline, facts: Mapping[str, Field]) -> Field:
    """Return the field (shape, dtype) of a pipeline's columns read as one array. Raises DataError."""
    pipeline = named.pipeline
    fields = [facts[column] for column in pipeline.columns]
    for field in fields:
        if 0 in field.shape:
            raise named.fault(f"the rows are empty (shape {field.shape})")
        if field.is_ragged and (pipeline.takes_columns or pipeline.stacked):
            text = "sequences of different lengths cannot be combined with other columns"
            raise named.fault(text, hint="define an input for each column")
    if not pipeline.takes_columns:
        return _stacked_field(named, fields) if pipeline.stacked else fields[0]
    if len(set(pipeline.columns)) < len(fields):
        raise named.fault("a column is listed twice")
    return Field((), "record", columns=tuple(zip(pipeline.columns, fields, strict=True)))


def _stacked_field(named: NamedPipeline, fields: list[Field]) -> Field:
    """Return the field of columns that are concatenated along the last axis. Raises DataError."""
    if len({field.is_text for field in fields if field.dtype != "unknown"}) > 1:
        first = {field.is_text: name for name, field in zip(named.pipeline.columns[::-1], fields[::-1], strict=True)}
        example = f"{{columns: {in_yaml(first[True])}}}, string_lookup"
        hint = f"define an input for each column; one of text is [{example}]"
        raise named.fault(f"column '{first[True]}' holds text, column '{first[False]}' holds numbers", hint=hint)
    shapes = [field.shape or (1,) for field in fields]
    widths = [shape[-1] for shape in shapes if shape[-1] is not None]
    if len({shape[:-1] for shape in shapes}) > 1 or len(widths) < len(shapes):
        raise named.fault(f"columns of shapes {', '.join(str(f.shape) for f in fields)} cannot be concatenated")
    return Field((*shapes[0][:-1], sum(widths)), _common_dtype({field.dtype for field in fields}))


def _common_dtype(dtypes: set[str]) -> str:
    if len(dtypes) == 1:
        return dtypes.pop()
    return "unknown" if "unknown" in dtypes else np.result_type(*dtypes).name


def read_columns(named: NamedPipeline, table: Table, field: Field) -> np.ndarray:
    """Read a pipeline's columns, which are in memory, as one array with the training rows' shape and dtype (`field`).

    Raises DataError.
    """
    if field.columns:
        return _records(named, table, field)
    if field.is_ragged:
        return _sequences(named, table)
    parts = [_column(table, name, field) for name in named.pipeline.columns]
    values = _side_by_side(named, table, parts) if named.pipeline.stacked else parts[0]
    if not is_compatible(values.shape[1:], field.shape):
        raise named.fault(f"rows have shape {values.shape[1:]}, the training rows have {field.shape}")
    return values if field.is_text else _as_in_training(named, table, values, np.dtype(field.dtype))


def _side_by_side(named: NamedPipeline, table: Table, parts: list[np.ndarray]) -> np.ndarray:
    """Concatenate columns along the last axis in a common dtype. Raises DataError for integers it cannot represent."""
    dtype = np.result_type(*parts)
    for name, part in zip(named.pipeline.columns, parts, strict=True):
        if dtype.kind == "f" and part.dtype.kind in "iu" and (rounded := first_rounded(part)) is not None:
            row, at, value = rounded
            text = f"{value} would be rounded next to columns of {dtype}: floats are exact for integers up to 2**53"
            raise DataError(text, place=table.place(row, name, at), hint="define an input for each column")
    return np.concatenate([part[:, None] if part.ndim == 1 else part for part in parts], axis=-1)


def _sequences(named: NamedPipeline, table: Table) -> np.ndarray:
    """Read a pipeline's column of sequences; each row of an integer matrix counts as a sequence. Raises DataError."""
    values = table.array(named.pipeline.columns[0])
    if is_ragged(values):
        return values
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise named.fault(f"expected sequences of integers, got {values.dtype} of shape {values.shape[1:]}")
    return Tokens.of(values).sequences()


def _records(named: NamedPipeline, table: Table, field: Field) -> np.ndarray:
    """Read columns as a record array: one field per column, with the column's dtype in training. Raises DataError."""
    arrays: dict[str, np.ndarray] = {}
    for name, column in field.columns:
        values = _column(table, name, column)
        if not is_compatible(values.shape[1:], column.shape):
            raise named.fault(f"rows of '{name}' have shape {values.shape[1:]}, the training rows have {column.shape}")
        arrays[name] = values if column.is_text else _as_in_training(named, table, values, np.dtype(column.dtype))
    return as_records(arrays)


def _as_in_training(named: NamedPipeline, table: Table, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert a pipeline's numbers to the training rows' dtype, but keep missing values that its first step fills.

    Raises DataError.
    """
    missing = np.zeros((), bool)
    if dtype.kind != "f" and values.dtype.kind == "f":
        if named.pipeline.steps and named.pipeline.steps[0].transform.fills_missing:
            missing = np.isnan(values)
        else:
            check_finite(named, values, table)
    try:
        alike = converted(np.where(missing, 0, values) if missing.any() else values, dtype)
    except BadRow as bad:
        text = f"{bad.text}; the training rows hold {dtype}"
        raise data_error_at(BadRow(bad.row, text, at=bad.at), named, table) from None
    return values if missing.any() else alike


def _column(table: Table, name: str, field: Field) -> np.ndarray:
    values = table.text(name) if field.is_text else table.array(name)
    if is_ragged(values):
        text = f"column '{name}' holds sequences; the training rows hold {'text' if field.is_text else 'numbers'}"
        raise DataError(text, place=table.name or "data")
    if values.dtype == object and not field.is_text:
        raise not_numbers(table, name, values, f"the training rows hold numbers in '{safe_text(name, 40)}'")
    return values


def not_numbers(table: Table, name: str, values: np.ndarray, why: str | None = None) -> DataError:
    """Return the DataError for a text column where numbers are expected; it names the first value that is not a number.

    It also says how many there are. `why` is the hint that numbers are expected; None: string_lookup may be meant.
    """
    words = values.tolist() if values.ndim == 1 else []
    bad = [row for row, value in enumerate(words) if value != "" and not is_number(value)]
    if not bad and (row := _too_long(words)) is not None:
        fault = f"{safe_text(words[row], 40)} {INEXACT}"
        return DataError(fault, place=table.place(row, name), hint="string_lookup accepts ids as strings")
    if not bad:
        return DataError(f"column '{name}' holds text; expected numbers", place=table.name or "data", hint=why)
    count = f" ({len(bad)} of {len(values)} rows)" if len(values) > 1 else ""
    text = f"'{safe_text(values[bad[0]], 40)}' is not a number{count}"
    lookup = "string_lookup maps strings to integers" if len(bad) > len(values) // 2 else None
    return DataError(text, place=table.place(bad[0], name), hint=_hint_of_format(words[bad[0]]) or why or lookup)


def _hint_of_format(word: str) -> str | None:
    """Return a hint that names the source's setting (`na_values`, `decimal`) that makes `word` readable, or None."""
    word = word.strip()
    if word.lower() in _MISSING_WORDS:
        return f"if this is a missing value: 'na_values: [\"{word}\"]' of the source, and impute ({IMPUTE})"
    if "," in word and is_number(word.replace(",", ".")):
        return "if this is a decimal comma: 'decimal: \",\"' of the source"
    return None


def _too_long(words: Sequence[str]) -> int | None:
    """Return the row of the first integer that no number type can hold, so that its column is text; None if none."""
    return first_inexact(words, np.array([float(word or 0) for word in words]))


def stray_value_error(named: NamedPipeline, table: Table) -> DataError | None:
    """Return the error that names the first non-number of a text column that consists mostly of numbers, else None.

    Of a table on disk only the first rows are examined.
    """
    table = next(table.parts(named.pipeline.columns))
    for name in named.pipeline.columns:
        values = table.array(name)
        words = values.tolist() if column_dtype(values) == "string" and values.ndim == 1 else []
        present = [word for word in words if word != ""]
        numbers = sum(map(is_number, present))
        commas = sum(is_number(word.replace(",", ".")) for word in present)  # decimal commas, beside integers
        most_are = len(present) / 2 < numbers < len(present) or len(present) / 2 < commas > numbers
        if most_are or (numbers and numbers == len(present) and _too_long(words) is not None):
            return not_numbers(table, name, values)
    return None


def is_number(text: str) -> bool:
    """Return True for a finite number as written in data files: not 'nan', 'inf' or '1_000'."""
    try:
        return bool(np.isfinite(float(text))) and "_" not in text
    except ValueError:
        return False


def check_finite(named: NamedPipeline, values: np.ndarray, table: Table) -> None:
    """Raise DataError, naming the first row, if the result of a pipeline has missing or infinite values or is text."""
    if values.dtype == object:
        if stray := stray_value_error(named, table):
            raise stray
        text = f"the output is text ('{safe_text(str(values.flat[0]), 40)}'); a model needs numbers"
        raise named.fault(text, hint="add string_lookup (for strings) or cast (for numbers in text)")
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
    row = int(bad[0])
    wrong = ~np.isfinite(np.atleast_1d(values[row]).ravel())
    count = f"{len(bad)} row" + ("s" if len(bad) > 1 else "")
    missing = bool(np.isnan(values[row]).any())
    what = ("missing label" if named.section == "targets" else "missing value") if missing else "infinite value"
    hint = f"add impute to the pipeline: {IMPUTE}" if missing and named.section != "targets" else None
    bad_row = BadRow(row, f"{what} ({count})", at=(int(wrong.argmax()), len(wrong)), hint=hint)
    raise data_error_at(bad_row, named, table)


@dataclass(frozen=True, slots=True)
class DistinctRows:
    """Rows of a pipeline's columns, before or after some steps; of a text column, each distinct text only once."""

    values: np.ndarray
    whole: Table
    coded: Coded | None = None
    """Distinct texts of the column, and each table row's index among them; None if `values` has all rows."""

    @property
    def table(self) -> Table:
        """Table with a row for each row of a pipeline's input (for a distinct text, its first row), to name lines in
        error messages."""
        return self.whole if self.coded is None else self.whole.take(first_rows(self.coded))

    @classmethod
    def read(cls, named: NamedPipeline, table: Table, field: Field) -> Self:
        """Read a pipeline's columns, which are in memory, with the shape and dtype of `field`. Raises DataError."""
        if field.is_text and not field.shape and not field.columns and not named.pipeline.stacked:
            coded = table.coded(named.pipeline.columns[0])
            if coded is not None and 2 * len(coded[0]) <= len(coded[1]):
                return cls(coded[0].to_numpy(zero_copy_only=False), table, coded)
        return cls(read_columns(named, table, field), table)

    def having(self, values: np.ndarray) -> "DistinctRows":
        """Return a copy of the rows with other `values`: the output of a pipeline step for the same rows."""
        return replace(self, values=values)

    def all(self) -> np.ndarray:
        """Return the values of all rows of the original table: a distinct text is repeated for each row that has it."""
        return self.values if self.coded is None else self.values[self.coded[1]]

    def counts(self) -> np.ndarray | None:
        """Return how many rows of the original table each row of `values` stands for; None if each stands for one."""
        return None if self.coded is None else np.bincount(self.coded[1], minlength=len(self.coded[0]))
