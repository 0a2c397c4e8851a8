"""Read the columns of a pipeline as one array with the dtype and shape of the training rows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kerascli.data.base import Field, Fields
from kerascli.data.pipeline.named_pipeline import NamedPipeline, data_error_at
from kerascli.data.pipeline.steps import Records, Values
from kerascli.data.storage.column import Texts, is_number
from kerascli.data.storage.convert import converted, first_rounded
from kerascli.data.storage.delimited.text_format import BOOLEANS, INEXACT, first_inexact
from kerascli.data.storage.row_errors import BadRows
from kerascli.data.storage.table import BadRow, Table, first_wrong, gaps_in_integers
from kerascli.data.storage.tokens import Tokens, column_dtype, is_ragged
from kerascli.foundation.errors import DataError, Fault, counted, in_yaml, safe_text
from kerascli.foundation.shapes import is_compatible

IMPUTE = "[{impute: median}, ...] fills it from the training rows"
"""Hint of an error about a missing value in a numeric column."""
_MISSING_WORDS = {"na", "n/a", "nan", "null", "none", "nil", "-", "--", "?", ".", "missing", "unknown", "#n/a"}


def column_field(named: NamedPipeline, facts: Fields) -> Field:
    """Return the field (shape, dtype) of a pipeline's columns read as one array. Raises DataError."""
    fields = [facts[column] for column in named.columns]
    for field in fields:
        if 0 in field.shape:
            raise named.fault(f"the rows are empty (shape {field.shape})")
        if field.is_ragged and (named.takes_columns or named.stacked):
            text = "sequences of different lengths cannot be combined with other columns"
            raise named.fault(text, hint="define an input for each column")
    if not named.takes_columns:
        return _stacked_field(named, fields) if named.stacked else fields[0]
    if len(set(named.columns)) < len(fields):
        raise named.fault("a column is listed twice")
    return Field((), "record", columns=tuple(zip(named.columns, fields, strict=True)))


def _stacked_field(named: NamedPipeline, fields: list[Field]) -> Field:
    """Return the field of columns that are concatenated along the last axis. Raises DataError."""
    if len({field.is_text for field in fields if field.dtype != "unknown"}) > 1:
        first = {field.is_text: name for name, field in zip(named.columns[::-1], fields[::-1], strict=True)}
        example = f"{{columns: {in_yaml(first[True])}}}, string_lookup"
        hint = f"define an input for each column; one of text is [{example}]"
        raise named.fault(f"column '{first[True]}' holds text, column '{first[False]}' holds numbers", hint=hint)
    shapes = [field.shape or (1,) for field in fields]
    widths = [shape[-1] for shape in shapes if shape[-1] is not None]
    if len({shape[:-1] for shape in shapes}) > 1 or len(widths) < len(shapes):
        raise named.fault(f"columns of shapes {', '.join(str(f.shape) for f in fields)} cannot be concatenated")
    return Field((*shapes[0][:-1], sum(widths)), _common_dtype({field.dtype for field in fields}))


def _common_dtype(dtypes: set[str]) -> str:
    first, *others = dtypes
    return "unknown" if "unknown" in dtypes else np.result_type(first, *others).name if others else first


def read_columns(named: NamedPipeline, table: Table, field: Field) -> Values:
    """Read a pipeline's columns, which are in memory, as one array with the training rows' shape and dtype (`field`).

    Raises DataError.
    """
    if field.columns:
        return Records({name: _alike(named, table, (name,), column) for name, column in field.columns})
    if field.is_ragged:  # each row of an integer matrix counts as a sequence, too
        values = table.array(named.columns[0])
        if not is_ragged(values) and (values.ndim != 2 or values.dtype.kind not in "iu"):
            raise named.fault(f"expected sequences of integers, got {values.dtype} of shape {values.shape[1:]}")
        return Tokens.of(values)
    return _alike(named, table, named.columns, field)


def _alike(named: NamedPipeline, table: Table, columns: Sequence[str], field: Field) -> np.ndarray | Texts:
    """Read columns, concatenated if there are several, with the training rows' shape and dtype. Raises DataError."""
    stacked = named.stacked and not named.takes_columns
    coded = table.coded(columns[0]) if field.is_text and not stacked else None
    values = _read(table, columns, field, stacked=stacked) if coded is None else coded.codes
    if not is_compatible(values.shape[1:], field.shape):
        of = f" of '{columns[0]}'" if named.takes_columns else ""
        raise named.fault(f"rows{of} have shape {values.shape[1:]}, the training rows have {field.shape}")
    if field.is_text:
        texts = Texts.of_values(values) if coded is None else coded
        return texts if field.words is None else _spelled(texts, field.words)
    return _as_in_training(named, table, values, np.dtype(field.dtype))


def _read(table: Table, columns: Sequence[str], field: Field, *, stacked: bool) -> np.ndarray:
    """Read columns as text or as numbers, concatenated along the last axis if `stacked`. Raises DataError."""
    parts: list[np.ndarray] = []
    for name in columns:
        values = table.text(name) if field.is_text else table.array(name)
        if is_ragged(values):
            expected = "text" if field.is_text else "numbers"
            raise table.fault(f"column '{name}' holds sequences; the training rows hold {expected}")
        if not field.is_text and values.dtype == object:
            raise not_numbers(table, name, values, f"the training rows hold numbers in '{safe_text(name, 40)}'")
        parts.append(values)
    if not stacked:
        return parts[0]
    _refuse_rounded(table, columns, parts)
    return np.concatenate([part[:, None] if part.ndim == 1 else part for part in parts], axis=-1)


def _spelled(texts: Texts, words: tuple[str, ...]) -> Texts:
    """Return texts with booleans, in any form, as the training rows have false and true; `nan` is a missing one."""
    forms = {form[at]: words[at] for form in (*BOOLEANS, ("0.0", "1.0")) for at in (0, 1)} | {"nan": ""}
    return Texts.of([forms.get(word, word) for word in texts.word_list()], texts.codes)


def _refuse_rounded(table: Table, columns: Sequence[str], parts: list[np.ndarray]) -> None:
    """Raise DataError for an integer that the common dtype of columns cannot represent."""
    dtype = np.result_type(*parts)
    for name, part in zip(columns, parts, strict=True):
        if dtype.kind == "f" and part.dtype.kind in "iu" and (rounded := first_rounded(part)) is not None:
            row, at, value = rounded
            text = f"{value} would be rounded next to columns of {dtype}: floats are exact for integers up to 2**53"
            fault = Fault(text, place=table.place(row, name, at), hint="define an input for each column")
            raise BadRows(fault, table, [row])


def _as_in_training(named: NamedPipeline, table: Table, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert a pipeline's numbers to the training rows' dtype, but keep missing values that its first step fills.

    Raises DataError.
    """
    missing = np.zeros((), bool)
    if dtype.kind != "f" and values.dtype.kind == "f":
        if named.steps and named.steps[0].transform.fills_missing:
            missing = np.isnan(values)
        else:
            check_finite(named, values, table)
    try:
        alike = converted(np.where(missing, 0, values) if missing.any() else values, dtype)
    except BadRow as bad:
        text = f"{bad.text}; the training rows hold {dtype}"
        raise data_error_at(replace(bad, text=text, hint=None), named, table) from None
    return values if missing.any() else alike


def not_numbers(table: Table, name: str, values: np.ndarray, why: str | None = None) -> DataError:
    """Return the DataError for a text column where numbers are expected; it names the first value that is not a number.

    It also says how many there are. `why` is the hint that numbers are expected; None: string_lookup may be meant.
    """
    words = values.tolist() if values.ndim == 1 else []
    test = getattr(table.columns.get(name), "is_number", is_number)
    bad = [row for row, value in enumerate(words) if value != "" and not test(value)]
    if not bad and (row := too_long(words)) is not None:
        fault = f"{safe_text(words[row], 40)} {INEXACT}"
        return BadRows.of(table, [row], name, fault, "string_lookup accepts ids as strings")
    if not bad:
        return table.fault(f"column '{name}' holds text; expected numbers", why)
    count = f" ({len(bad)} of {len(values)} rows)" if len(values) > 1 else ""
    text = f"'{safe_text(values[bad[0]], 40)}' is not a number{count}"
    lookup = "string_lookup maps strings to integers" if len(bad) > len(values) // 2 else None
    hint = _hint_of_format(words[bad[0]]) or why or lookup
    return BadRows.of(table, bad, name, text, hint)


def _hint_of_format(word: str) -> str | None:
    """Return a hint that names the source's setting (`na_values`, `decimal`) that makes `word` readable, or None."""
    word = word.strip()
    if word.lower() in _MISSING_WORDS:
        return f"if this is a missing value: 'na_values: [\"{word}\"]' of the source, and impute ({IMPUTE})"
    if "," in word and is_number(word.replace(",", ".")):
        return "if this is a decimal comma: 'decimal: \",\"' of the source"
    return None


def too_long(words: Sequence[str]) -> int | None:
    """Return the row of the first integer that no number type can hold, so that its column is text; None if none."""
    return first_inexact(words, np.array([float(word) if is_number(word) else 0.0 for word in words]))


def stray_value_error(named: NamedPipeline, table: Table) -> DataError | None:
    """Return the error that names the first non-number of a text column that consists mostly of numbers, else None.

    Of a table on disk only the first rows are examined.
    """
    table = next(table.parts(named.columns))
    for name in named.columns:
        values = table.array(name)
        words = values.tolist() if column_dtype(values) == "string" and values.ndim == 1 else []
        present = [word for word in words if word != ""]
        numbers = sum(map(getattr(table.columns.get(name), "is_number", is_number), present))
        commas = sum(is_number(word.replace(",", ".")) for word in present)  # decimal commas, beside integers
        most_are = len(present) / 2 < numbers < len(present) or len(present) / 2 < commas > numbers
        if most_are or (numbers and numbers == len(present) and too_long(words) is not None):
            return not_numbers(table, name, values)
    return None


def gap_error(named: NamedPipeline, table: Table) -> DataError | None:
    """Return the error that names the missing values of a column of integers, which are floats therefore; None if there
    are none, or the first step fills them.

    Of a table on disk only the first rows are examined.
    """
    table = next(table.parts(named.columns))
    for name in () if named.steps and named.steps[0].transform.fills_missing else named.columns:
        if len(gaps := gaps_in_integers(table.array(name))):
            what, hint = _missing(named)
            return BadRows.of(table, gaps, name, f"{what} ({counted(len(gaps), 'row')})", hint)
    return None


def _missing(named: NamedPipeline) -> tuple[str, str | None]:
    """Return the message about a missing value of a pipeline, and a hint."""
    if named.section == "targets":
        return "missing label", None
    return "missing value", f"add impute to the pipeline: {IMPUTE}"


def checked(named: NamedPipeline, values: Values, table: Table) -> np.ndarray:
    """Return the result of a pipeline. Raises DataError for text, and for missing or infinite values."""
    if isinstance(values, Texts):
        if stray := stray_value_error(named, table):
            raise stray
        text = f"the output is text ('{safe_text(values.text(0), 40)}'); a model needs numbers"
        raise named.fault(text, hint="add string_lookup (for strings) or cast (for numbers in text)")
    assert isinstance(values, np.ndarray)
    check_finite(named, values, table)
    return values


def check_finite(named: NamedPipeline, values: np.ndarray, table: Table) -> None:
    """Raise DataError, naming the first row, if numbers have missing or infinite values."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    row, at, bad = first_wrong(~np.isfinite(values))
    what, hint = _missing(named) if np.isnan(values[row]).any() else ("infinite value", None)
    text = f"{what} ({counted(len(bad), 'row')})"
    raise data_error_at(BadRow(row, text, at=at, hint=hint, rows=bad), named, table)
