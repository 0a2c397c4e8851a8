"""Tables of text; one that exceeds memory is parsed block by block, and frozen once as Parquet in the cache folder."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from kerascli.data.remote.frozen import freeze
from kerascli.data.storage.column import pa, text_array
from kerascli.data.storage.compressed import SUFFIXES, read_text_file, unpacked_blocks
from kerascli.data.storage.delimited.csv_text import read_csv
from kerascli.data.storage.delimited.text_format import TextFormat, typed
from kerascli.data.storage.json_lines import read_json_lines
from kerascli.data.storage.on_disk import is_large
from kerascli.data.storage.parquet_columns import ParquetColumns
from kerascli.data.storage.partitions import LINE, Part
from kerascli.data.storage.row_errors import BadRows
from kerascli.data.storage.table import Excerpt, Table
from kerascli.foundation.disk import locks, storage
from kerascli.foundation.errors import DataError, Fault, KerasCliError, Place, safe_text

BLOCK_BYTES = 32 * 2**20
"""Number of bytes of text that are parsed at once."""
_UNPACKED = 8
"""Assumed ratio of a compressed file's text to its size."""
_PATIENCE_SECONDS = 24 * 3600.0
"""Time to wait for another process that freezes the same file."""
_LINE_END = re.compile(r"\r\n|\n|(?<=\r)(?!\n)")
"""Pattern of the end of a line; a CR that no LF follows stays with its line."""
_LONE_CR = "a CR alone (\\r, as old Macs end lines) ends this line: remove it, for instance by tr -d '\\r'"
_ODD_QUOTES = "the line has an odd number of double quotes: one of them may be missing"


def read_text_table(path: Path, name: str, form: TextFormat | None, columns: frozenset[str] | None) -> Table:
    """Read a file of text, which may be compressed, as a table; errors show its lines.

    `form` is the format of delimited text (None: JSON Lines), `columns` are those in use (None: all). Raises DataError
    with the line, FileRefused, StorageError.
    """
    has_line_ends = form is None or "a\n".encode(form.encoding).endswith(b"a\n")
    ratio = _UNPACKED if path.suffix.lower() in SUFFIXES else 1
    if has_line_ends and path.is_file() and is_large(ratio * path.stat().st_size):
        return _frozen(path, name, form, columns)
    data, packed = read_text_file(path, name)
    return _shown(partial(_parsed, data, name, form, columns, packed), lambda: read_text_file(path, name)[0], form)


def _parsed(
    data: bytes, name: str, form: TextFormat | None, columns: frozenset[str] | None = None, packed: int | None = None
) -> Table:
    if form is None:
        return read_json_lines(data, name, packed=packed)
    return read_csv(data, name, form, columns, packed)


def _shown(parse: Callable[[], Table], text: Callable[[], bytes], form: TextFormat | None, added: int = 0) -> Table:
    """Return the table that `parse` returns; errors about it, its own and later ones, show the lines of `text`.

    Its own name the lines of a file, whose numbers are larger by `added` than in the text.
    """
    encoding, delimiter = ("utf-8", None) if form is None else (form.encoding, form.delimiter)
    lines = cache(lambda: _LINE_END.split(text().decode(encoding, "replace")))

    def shown(place: Place, columns: Sequence[str]) -> Place:
        with suppress(KerasCliError, IndexError):  # the file is gone
            source = lines()[(place.line or 0) - 1]
            found = re.match(_cell(place.name, columns, delimiter), source) if place.name in columns else None
            column, length = (None, 1) if found is None else (found.start(1) + 1, len(found[1]))
            return replace(place, source=source, column=column, length=length)
        return place

    try:
        table = parse()
    except DataError as error:
        table = error.table if isinstance(error, BadRows) else Table({}, 0)
        table.excerpt = shown
        error.faults = tuple(_explained(fault, shown, list(table), added) for fault in error.faults)
        raise
    table.excerpt = shown
    return table


def _explained(fault: Fault, shown: Excerpt, columns: Sequence[str], added: int) -> Fault:
    """Return an error with its line, if it has one, and a hint at what is usual to be wrong with a line."""
    if fault.place is None or fault.place.line is None:
        return fault
    place = shown(fault.place, columns)
    suspect = _LONE_CR if place.source.endswith("\r") else _ODD_QUOTES if place.source.count('"') % 2 else None
    return replace(fault, place=replace(place, line=fault.place.line + added), hint=fault.hint or suspect)


def _cell(name: str, columns: Sequence[str], delimiter: str | None) -> str:
    """Return the pattern of a line, in which group 1 is the value of a column."""
    if delimiter is None:
        return rf'.*?{re.escape(json.dumps(name, ensure_ascii=False))}\s*:\s*("(?:[^"\\]|\\.)*"|[^,}}]*)'
    field = rf'(?:"(?:[^"]|"")*"|[^{re.escape(delimiter)}]*)'
    return rf"(?:{field}{re.escape(delimiter)}){{{columns.index(name)}}}({field})"


def _frozen(path: Path, name: str, form: TextFormat | None, columns: frozenset[str] | None) -> Table:
    """Return the table in a text file from its frozen form, which is written first if the file or the format is new."""
    status = path.stat()
    state = f"{form!r}\0{status.st_size}\0{status.st_mtime_ns}"
    key = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32]
    folder = storage.cache_folder() / "frozen" / key
    frozen = folder / f"{hashlib.sha256(state.encode()).hexdigest()}.parquet"
    storage.make_folder(folder)
    with locks.lock(folder, patience_seconds=_PATIENCE_SECONDS):
        if not frozen.exists():
            for old in folder.glob("*.parquet"):
                storage.remove_file(old)
            freeze(folder, lambda text: _tables(path, name, text, form), frozen.name)
    found = ParquetColumns([Part(frozen, name)], columns)
    return Table(found, found.rows, name=name, lines=lambda: np.concatenate(list(found.stream(LINE, 2**20))))


def _tables(path: Path, name: str, text: frozenset[str], form: TextFormat | None) -> Iterator[dict[str, "pa.Array"]]:
    """Yield the columns of the blocks of a text file, and the line of each row; those in `text` verbatim."""
    before = 0
    for block in _blocks(path, name, quotes=form is not None and form.quotes):
        if block.strip():
            table = _table(block, name, before, form)
            yield {LINE: pa.array(table.numbers() + before), **{key: _array(table, key, text) for key in table}}
            form = form and form.text_format(names=tuple(table), skip_rows=0)  # the first block has the header
        before += block.count(b"\n")


def _blocks(path: Path, name: str, *, quotes: bool) -> Iterator[bytes]:
    """Yield the text of a file in blocks of about `BLOCK_BYTES` that end at the end of a row."""
    rest = b""
    for part in unpacked_blocks(path, name, BLOCK_BYTES):
        rest += part
        # the parser says what is wrong with a row without an end
        if end := _last_row(rest, quotes=quotes) or (len(rest) if len(rest) > 8 * BLOCK_BYTES else 0):
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def _last_row(text: bytes, *, quotes: bool) -> int:
    """Return the offset at which the last whole row of a text ends; 0 if there is none."""
    end, odd = len(text), text.count(b'"') % 2 if quotes else 0
    while (at := text.rfind(b"\n", 0, end)) >= 0:
        odd ^= text.count(b'"', at, end) % 2 if quotes else 0
        if not odd:
            return at + 1
        end = at
    return 0


def _table(block: bytes, name: str, added: int, form: TextFormat | None) -> Table:
    """Parse a block of a file; errors name the file's lines, whose numbers are larger by `added` than in the block."""
    try:
        return _shown(partial(_parsed, block, name, form), lambda: block, form, added)
    except DataError as error:  # BadRows, which could be skipped, are those of the block alone
        raise DataError(error.faults) from None


def _array(table: Table, name: str, text: frozenset[str]) -> "pa.Array":
    """Return a column of a block as an Arrow array: numbers, booleans, or texts; missing values are null."""
    values = table.array(name)
    if values.ndim > 1:
        lists = f"'{safe_text(name, 40)}' holds lists of numbers, in a file larger than memory"
        raise DataError(lists, place=table.name)
    if name in text or values.dtype == object:
        texts = table.text(name)
        return pa.array(texts, pa.string(), mask=texts == "")
    array = pa.array(values, from_pandas=True)
    if 0 < array.null_count < len(array):
        first = typed(text_array([table.text(name)[~np.isnan(values)][0]]))
        return array if first is None or first.dtype != bool else array.cast(pa.bool_())
    return array
