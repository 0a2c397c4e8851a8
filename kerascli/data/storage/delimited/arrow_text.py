"""Parse delimited text with pyarrow, to the same columns as Python's csv module would give.

pyarrow reads numbers, dates and quotes more freely than the language. Its numbers are taken only where the fields can
be nothing else to us; other columns are read again as text, and typed as those of small files are.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any, Self

import numpy as np

from kerascli.data.storage.delimited.csv_scan import BYTE_ORDER_MARK, Layout, positions
from kerascli.data.storage.text_columns import FALSE, MAX_FIELD, TRUE, SampledColumns, TextFormat
from kerascli.data.storage.tokens import Coded

_BLOCK = 4 * MAX_FIELD
_EXACT = 2**53
_PLUS, _MINUS, _ZERO = b"+", b"-", b"0"


def arrow() -> ModuleType | None:
    """Return the module pyarrow.csv, or None if pyarrow is not installed."""
    try:
        import pyarrow
        from pyarrow import csv as arrow_csv
    except ImportError:
        return None
    pyarrow.enable_signal_handlers(False)  # signals are ours, also while it reads
    return arrow_csv


class ArrowColumns(SampledColumns):
    """Columns of delimited text that pyarrow parses: the used ones when they are created, others on access."""

    def __init__(self, layout: Layout, are_text: Mapping[str, bool], form: TextFormat) -> None:
        super().__init__(are_text, form)
        self._layout = layout
        self._text = layout.text()
        self._parsed: dict[str, Any] = {}

    @classmethod
    def of(cls, layout: Layout, are_text: Mapping[str, bool], form: TextFormat, used: Sequence[str]) -> Self | None:
        """Return the columns of a delimited text, of which the used ones are parsed at once; None if pyarrow refuses
        the text."""
        import pyarrow

        columns = cls(layout, are_text, form)
        if bytes(columns._text[:3]) == BYTE_ORDER_MARK:  # pyarrow skips it, also where it is the first field's
            return None
        try:
            table = columns._read(used)
        except pyarrow.ArrowException:
            return None
        columns._parsed |= {name: table[name] for name in used}
        return columns if table.num_rows == len(layout.starts) else None

    @cached_property
    def _has_plus(self) -> bool:
        return self._layout.holds(_PLUS)

    @cached_property
    def _has_hexadecimal(self) -> bool:
        """True if the text contains `0x`, as hexadecimal numbers do, which pyarrow reads and Python does not."""
        return self._holds(_ZERO, b"xX")

    @cached_property
    def _has_negative_zero(self) -> bool:
        """True if the text contains `-0`, as negative zeros do."""
        return self._holds(_MINUS, _ZERO)

    def _holds(self, before: bytes, after: bytes) -> bool:
        """Return True if the text contains the byte `before` followed by one of the bytes `after`."""
        data = self._layout.data
        places = [positions(data, byte) for byte in after if self._layout.holds(bytes([byte]))]
        return any(bool((data[each - 1] == before[0]).any()) for each in places)

    def _read(self, names: Sequence[str], *, as_text: bool = False) -> Any:
        """Parse columns to a pyarrow table: columns of text as text, others in the type that pyarrow detects."""
        arrow_csv = arrow()
        assert arrow_csv is not None
        import pyarrow

        form = self._form
        read = arrow_csv.ReadOptions(column_names=list(self._names), block_size=_BLOCK)
        parse = arrow_csv.ParseOptions(
            delimiter=form.delimiter,
            quote_char='"' if form.quotes else False,
            newlines_in_values=self._layout.quoted_ends,
        )
        convert = arrow_csv.ConvertOptions(
            check_utf8=False, include_columns=names, null_values=["", *form.na_values], strings_can_be_null=True,
            column_types={name: pyarrow.string() for name in names if as_text or self._are_text[name]},
            true_values=sorted(TRUE), false_values=sorted(FALSE), decimal_point=form.decimal,
        )  # fmt: skip
        return arrow_csv.read_csv(
            pyarrow.py_buffer(self._text), read_options=read, parse_options=parse, convert_options=convert
        )

    def _verbatim(self, name: str) -> Coded:
        import pyarrow

        column = self._parsed.get(name)
        if column is None or not pyarrow.types.is_string(column.type):
            column = self._read([name], as_text=True)[name]
        else:
            del self._parsed[name]
        if column.num_chunks == 0:
            return Coded.of([])
        encoded = column.fill_null("").dictionary_encode().unify_dictionaries()
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
        return Coded(encoded.chunk(0).dictionary.to_numpy(zero_copy_only=False), codes)

    def _numbers(self, name: str) -> np.ndarray | None:
        column = self._parsed.pop(name, None)
        values = self._taken(self._read([name])[name] if column is None else column)
        return None if values is not None and values.dtype == bool and self._only_numbers(name) else values

    def _taken(self, column: Any) -> np.ndarray | None:
        """Return a pyarrow column as an array of numbers or booleans; None if Python may read its fields otherwise."""
        from pyarrow import float64, types, uint8

        kind, missing = column.type, column.null_count
        if types.is_null(kind):
            return np.full(len(column), np.nan)
        if types.is_boolean(kind):
            return column.cast(uint8()).cast(float64()).to_numpy() if missing else column.to_numpy()
        if types.is_integer(kind) and not self._has_hexadecimal:
            if not missing:
                return column.to_numpy()
            values = column.cast(float64(), safe=False).to_numpy()
            changed = bool(self._has_negative_zero and (values == 0).any())  # the zero of floats has a sign
        elif types.is_floating(kind):
            values = column.to_numpy()
            # '+5' is an integer
            integers = self._has_plus and not missing and bool((values == np.trunc(values)).all())
            changed = integers or np.count_nonzero(np.isfinite(values)) != len(values) - missing
        else:
            return None
        with np.errstate(invalid="ignore"):
            most, least = np.fmax.reduce(values, initial=-np.inf), np.fmin.reduce(values, initial=np.inf)
            return None if changed or most >= _EXACT or least <= -_EXACT else values
