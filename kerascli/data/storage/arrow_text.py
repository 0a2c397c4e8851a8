"""Parse delimited text with pyarrow, to the same columns as the csv module: what may differ is left to that.

pyarrow reads numbers, dates and quotes more freely than the language. Its numbers are taken only where the fields can
be nothing else to us; other columns are read again as text, and typed as those of small files are.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from kerascli.data.storage.coded import Coded
from kerascli.data.storage.csv_scan import Layout, positions
from kerascli.data.storage.table import Table
from kerascli.data.storage.text_columns import FALSE, TRUE, TextColumns, typed
from kerascli.data.storage.text_format import MAX_FIELD, TextFormat

_BLOCK = 4 * MAX_FIELD
_SAMPLED_ROWS = 200
_EXACT = 2**53
_PLUS, _MINUS, _ZERO = b"+-0"


def arrow() -> ModuleType | None:
    """Return the module pyarrow.csv, or None if pyarrow is not installed."""
    try:
        import pyarrow
        from pyarrow import csv as arrow_csv
    except ImportError:
        return None
    pyarrow.enable_signal_handlers(False)  # signals are ours, also while it reads
    return arrow_csv


def read_with_arrow(data: bytes, name: str, form: TextFormat, columns: frozenset[str] | None) -> Table | None:
    """Parse delimited text to a table; None if pyarrow is missing, or refuses or might misread the text."""
    if not form.delimiter.isascii() or form.delimiter in '\r\n"' or arrow() is None:
        return None
    text = _as_utf8(data, form)
    skipped = None if text is None else _skipped(text, form.skip_rows)
    if text is None or skipped is None:
        return None
    text = text[skipped:] if skipped else text
    layout = Layout.of(text, form)
    if layout is None or len(layout.starts) < 2:
        return None
    first = 0 if form.names else 1
    names = form.names or _fields(layout, range(1), form)[0]
    if len(set(names)) < len(names) or (len(names) == 1 and set(";\t|,") & set(names[0])):
        return None
    sample = _fields(layout, range(first, min(len(layout.starts), first + _SAMPLED_ROWS)), form)
    if any(len(row) != len(names) for row in sample):
        return None
    is_text = {
        column: form.dtypes.get(column) == "text" or typed(form.present(fields), form) is None
        for column, fields in zip(names, zip(*sample, strict=True), strict=True)
    }
    commented = bool(form.comment) and form.comment.encode() in text
    body = layout.rows_from(first) if commented else memoryview(text)[int(layout.starts[first]) :]
    found = ArrowColumns(body, names, form, is_text, _Marks(layout))
    rows = found.load([each for each in names if columns is None or each in columns] or names[:1])
    if rows is None or rows != len(layout.starts) - first:
        return None
    return Table(found, rows, name=name, numbers=layout.lines[first:] + form.skip_rows)


def _as_utf8(data: bytes, form: TextFormat) -> bytes | None:
    """Return a text in UTF-8 without its byte order mark; None if it is not in its encoding, or has zero bytes."""
    try:
        if form.encoding.lower().replace("_", "-") not in {"utf-8", "utf8", "utf-8-sig"}:
            data = data.decode(form.encoding).encode()
        elif not data.isascii():
            data.decode()
    except UnicodeError:
        return None
    return None if b"\0" in data else data.removeprefix(b"\xef\xbb\xbf")


def _skipped(text: bytes, rows: int) -> int | None:
    """Return the offset behind the first lines of a text; None if there are no more."""
    at = 0
    for _ in range(rows):
        at = text.find(b"\n", at) + 1
        if not at:
            return None
    return at


def _fields(layout: Layout, rows: Iterable[int], form: TextFormat) -> list[tuple[str, ...]]:
    """Return the fields of some rows, as the csv module reads them."""
    parts = [layout.data[layout.starts[row] : layout.ends[row]].tobytes().decode() for row in rows]
    with suppress(csv.Error):
        return [tuple(row) for row in form.reader(io.StringIO("\n".join(parts), newline=""))]
    return [()]


class _Marks:
    """Characters of a text with which pyarrow and Python may read a number differently."""

    def __init__(self, layout: Layout) -> None:
        self._data = layout.data
        self.quoted_ends = layout.quoted_ends

    @cached_property
    def plus(self) -> bool:
        return len(positions(self._data, _PLUS)) > 0

    @cached_property
    def hexadecimal(self) -> bool:
        """True if the text has `0x`."""
        places = np.concatenate([positions(self._data, byte) for byte in b"xX"])
        return bool((self._data[places - 1] == _ZERO).any())

    @cached_property
    def negative_zero(self) -> bool:
        """True if the text has `-0`."""
        return bool((self._data[positions(self._data, _ZERO) - 1] == _MINUS).any())


class ArrowColumns(TextColumns):
    """Columns of delimited text that pyarrow parses: those in use at once, others on access."""

    def __init__(
        self,
        text: bytes | memoryview,
        names: Iterable[str],
        form: TextFormat,
        is_text: Mapping[str, bool],
        marks: _Marks,
    ) -> None:
        super().__init__(dict.fromkeys(names, ()), form)
        self._text = text
        self._is_text = is_text
        self._marks = marks
        self._parsed: dict[str, Any] = {}

    def load(self, names: Iterable[str]) -> int | None:
        """Parse columns, and return the number of rows; None if pyarrow refuses the text."""
        import pyarrow

        try:
            table = self._read(names, {name: pyarrow.string() for name in names if self._is_text[name]})
        except pyarrow.ArrowException:
            return None
        self._parsed |= {name: table[name] for name in names}
        return table.num_rows

    def _read(self, names: Iterable[str], types: Mapping[str, Any]) -> Any:
        arrow_csv = arrow()
        assert arrow_csv is not None
        import pyarrow

        form = self._form
        read = arrow_csv.ReadOptions(column_names=list(self._names), block_size=_BLOCK)
        parse = arrow_csv.ParseOptions(
            delimiter=form.delimiter,
            quote_char='"' if form.quotes else False,
            newlines_in_values=self._marks.quoted_ends,
        )
        convert = arrow_csv.ConvertOptions(
            check_utf8=False, column_types=types, include_columns=list(names), null_values=["", *form.na_values],
            strings_can_be_null=True, true_values=sorted(TRUE), false_values=sorted(FALSE),
            decimal_point=form.decimal,
        )  # fmt: skip
        return arrow_csv.read_csv(
            pyarrow.py_buffer(self._text), read_options=read, parse_options=parse, convert_options=convert
        )

    def _verbatim(self, name: str) -> Coded:
        import pyarrow

        column = self._parsed.get(name)
        if column is None or not pyarrow.types.is_string(column.type):
            column = self._read([name], {name: pyarrow.string()})[name]
        else:
            del self._parsed[name]
        if column.num_chunks == 0:
            return Coded.of([])
        found = column.fill_null("").dictionary_encode().unify_dictionaries()
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in found.chunks])
        return Coded(found.chunk(0).dictionary.to_numpy(zero_copy_only=False), codes)

    def _converted(self, name: str) -> np.ndarray | None:
        if self._is_text[name]:
            return None
        if name not in self._parsed:
            self.load([name])
        found = self._numbers(self._parsed.pop(name))
        if found is not None and not (found.dtype == bool and self._form.dtypes.get(name) == "number"):
            return found
        coded = self._verbatim(name)
        values = typed(coded.words.tolist(), self._form, only_numbers=self._form.dtypes.get(name) == "number")
        if values is None:
            self._coded[name] = coded
        return None if values is None else values[coded.codes]

    def _numbers(self, column: Any) -> np.ndarray | None:
        """Return a parsed column as numbers or booleans; None if its fields may be read in another way."""
        from pyarrow import float64, types, uint8

        kind, missing = column.type, column.null_count
        if types.is_null(kind):
            return np.full(len(column), np.nan)
        if types.is_boolean(kind):
            return column.cast(uint8()).cast(float64()).to_numpy() if missing else column.to_numpy()
        if types.is_integer(kind) and not self._marks.hexadecimal:
            if not missing:
                return column.to_numpy()
            values = column.cast(float64(), safe=False).to_numpy()
            changed = bool(self._marks.negative_zero and (values == 0).any())  # the zero of floats has a sign
        elif types.is_floating(kind):
            values = column.to_numpy()
            integers = (
                self._marks.plus and not missing and bool((values == np.trunc(values)).all())
            )  # '+5' is an integer
            changed = integers or int(np.isfinite(values).sum()) != len(values) - missing
        else:
            return None
        with np.errstate(invalid="ignore"):
            return None if changed or (np.abs(values) >= _EXACT).any() else values
