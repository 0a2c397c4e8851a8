"""Parse large delimited text by columns, with pyarrow where it is installed, to the same table as Python's csv module.

Text that is not plainly well-formed is left to the csv module, which reads it or finds its error.
"""

import csv
import io
from collections.abc import Iterable
from contextlib import suppress

import numpy as np

from kerascli.data.storage.delimited.arrow_text import ArrowColumns, arrow
from kerascli.data.storage.delimited.csv_scan import BYTE_ORDER_MARK, Layout
from kerascli.data.storage.delimited.scanned_text import ScannedColumns
from kerascli.data.storage.table import Table
from kerascli.data.storage.text_columns import TextFormat, typed
from kerascli.foundation.disk.files import refuse_text

_SAMPLED_ROWS = 200
_SAMPLED_BYTES = 2**20
_LINE_BYTES = 72
"""Memory of a row's offsets and line number while they are computed, and of its last field, in bytes."""


def read_large(data: bytes, name: str, form: TextFormat, columns: frozenset[str] | None, packed: int) -> Table | None:
    """Parse large delimited text to a table; None if Python's csv module has to read it.

    `columns` are those in use (None: all), `packed` is the size of the file. Raises FileRefused.
    """
    if not form.delimiter.isascii() or form.delimiter in '\r\n"':
        return None
    text = _as_utf8(data, form)
    skipped = None if text is None else _skipped(text, form.skip_rows)
    if text is None or skipped is None:
        return None
    text = text[skipped:] if skipped else text
    field_bytes = 8 + text.find(b"\n") // 2**13  # as a number; and pyarrow takes 512 bytes a column per 4 MiB of text
    refuse_text(text, {"\n": _LINE_BYTES, form.delimiter: field_bytes}, packed, name)
    layout = Layout.of(text, form)
    if layout is None or len(layout.starts) < 2:
        return None
    first = 0 if form.names else 1
    names = form.names or _fields(layout, range(1), form)[0]
    if len(set(names)) < len(names) or (len(names) == 1 and set(";\t|,") & set(names[0])):
        return None
    end = int(np.searchsorted(layout.starts, layout.starts[first] + _SAMPLED_BYTES))
    sample = _fields(layout, range(first, min(end, first + _SAMPLED_ROWS)), form)
    if any(len(row) != len(names) for row in sample):
        return None
    are_text = {
        column: form.dtypes.get(column) == "text" or typed(form.present(fields), form) is None
        for column, fields in zip(names, zip(*sample, strict=True), strict=True)
    }
    used = [each for each in names if columns is None or each in columns] or names[:1]
    reader = ScannedColumns if arrow() is None else ArrowColumns
    layout = layout.behind(first)
    found = reader.of(layout, are_text, form, used)
    return None if found is None else Table(found, len(layout.lines), name=name, numbers=layout.lines + form.skip_rows)


def _as_utf8(data: bytes, form: TextFormat) -> bytes | None:
    """Return a text, without byte order mark, in UTF-8; None if it is not valid in its encoding, or has zero bytes."""
    try:
        if form.encoding.lower().replace("_", "-") not in {"utf-8", "utf8", "utf-8-sig"}:
            data = data.decode(form.encoding).encode()
        elif not data.isascii():
            data.decode()
    except UnicodeError:
        return None
    return None if b"\0" in data else data.removeprefix(BYTE_ORDER_MARK)


def _skipped(text: bytes, rows: int) -> int | None:
    """Return the offset at which the line after the first `rows` lines begins; None if there are fewer lines."""
    at = 0
    for _ in range(rows):
        at = text.find(b"\n", at) + 1
        if not at:
            return None
    return at


def _fields(layout: Layout, rows: Iterable[int], form: TextFormat) -> list[tuple[str, ...]]:
    """Return the fields of the rows with the given indices, as Python's csv module reads them."""
    parts = [layout.data[layout.starts[row] : layout.ends[row]].tobytes().decode() for row in rows]
    with suppress(csv.Error):
        return [tuple(row) for row in form.reader(io.StringIO("\n".join(parts), newline=""))]
    return [()]
