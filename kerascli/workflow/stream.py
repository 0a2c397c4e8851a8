"""Predict rows as they arrive on standard input (`predict --stream`), in batches of rows that arrived together."""

import csv
import io
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, BinaryIO, cast

import numpy as np

from kerascli.data.command_input import STDIN_NAME, CommandInput
from kerascli.data.pipeline.prepare import fitted_preparer
from kerascli.data.sources.file_source import Csv
from kerascli.data.sources.wrapped import WrappedSource
from kerascli.data.storage.delimited.csv_text import read_csv
from kerascli.data.storage.delimited.text_format import TextFormat
from kerascli.data.storage.json_lines import parse_line, read_json_lines
from kerascli.data.storage.table import Table, table_of
from kerascli.data.text.oov import OovCounts
from kerascli.foundation.errors import ConfigError, DataError, Place
from kerascli.report.predictions import Predictions
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.predict import Form, predict_rows

_BLOCK_BYTES = 2**16
_MOST_BYTES = 2**25
"""Maximum number of bytes of a line: while it is incomplete, it is copied with each block that arrives."""


Line = tuple[int, bytes]
"""Line of the stream: its number, counted from 1, and its bytes."""


def arriving_lines(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Yield lists of the complete lines of a binary stream as soon as they arrive, at least one line each.

    Raises DataError for a line that is too long.
    """
    reader, rest = cast(io.BufferedReader, stream), b""
    while block := reader.read1(_BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > _MOST_BYTES:
            raise DataError(f"a line of more than {_MOST_BYTES:,} bytes", place=Place(STDIN_NAME))
        if lines:
            yield [line + b"\n" for line in lines]
    if rest:
        yield [rest]


def predict_stream(
    run: LoadedRun, arrivals: Iterable[Sequence[bytes]], form: Form, keep: Sequence[str] = ()
) -> Iterator[Predictions | DataError]:
    """Yield the predictions for rows of a stream as soon as their lines have arrived; for a faulty row, its DataError.

    `arrivals` are lists of lines that arrived together, in a format that `predict` reads from standard input; their
    rows are predicted as one batch, unless one of them has an error. `form` has the names and units of the predictions;
    `keep` names the raw columns to copy into them. At the end a warning is added to `run.warnings` for each column with
    many out-of-vocabulary values.
    Raises DataError if no more rows can be read, and ConfigError if the model takes no rows from a stream or an option
    does not fit it.
    """
    if (data := run.row_data) is None:
        raise ConfigError("--stream: the model takes arrays of its own, not rows")
    if isinstance(data.source, WrappedSource):
        raise ConfigError(f"--stream: a row of {data.source.component_name} is made of several lines")
    folder = run.config.context.folder
    command_input = CommandInput(data, run.raw_fields, folder, targets=False, keep=frozenset(keep))
    preparer, oov = fitted_preparer(data, run.learned, targets=False), OovCounts()

    def predicted(reader: _Reader, lines: Sequence[Line]) -> Iterator[Predictions | DataError]:
        try:
            table = command_input.checked(reader.table(lines), skip=False)
            split = preparer.split(table)
            predictions = predict_rows(run, split, form, keep)
        except DataError as error:
            if len(lines) == 1:
                yield _at_line(lines[0][0], error)
            else:
                half = len(lines) // 2
                yield from (each for part in (lines[:half], lines[half:]) for each in predicted(reader, part))
            return
        oov.add(split.oov)
        kept = {name: np.array(reader.cells(lines, table, name), object) for name in predictions.kept}
        yield replace(predictions, kept=kept)

    reader = None
    for lines in _numbered(arrivals):
        reader = reader or _reader(command_input, lines[0][1])
        if rows := reader.rows(lines):
            yield from predicted(reader, rows)
    if reader is None:
        raise DataError("there are no rows", place=Place(STDIN_NAME))
    run.warnings += oov.warnings()


def _numbered(arrivals: Iterable[Sequence[bytes]]) -> Iterator[list[Line]]:
    """Yield lists of the lines that arrived together, without empty lines, at least one line each."""
    number = 0
    for lines in arrivals:
        if filled := [(at, line) for at, line in enumerate(lines, number + 1) if line.strip()]:
            yield filled
        number += len(lines)


def _at_line(number: int, error: DataError) -> DataError:
    """Return an error about a table of one row of the stream as an error about the row's line."""
    faults = [(fault, fault.place or Place(STDIN_NAME)) for fault in error.faults]
    return DataError(
        replace(fault, place=replace(place, line=number)) if place.file == STDIN_NAME else fault
        for fault, place in faults
    )


class _Reader(ABC):
    """Base class of readers of rows from the lines of a stream: each row is one line."""

    def rows(self, lines: Sequence[Line]) -> Sequence[Line]:
        """Return those of the next lines of the stream that are rows."""
        return lines

    @abstractmethod
    def table(self, lines: Sequence[Line]) -> Table:
        """Return the table of rows. Raises DataError, also if they cannot be in the same table."""

    @abstractmethod
    def cells(self, lines: Sequence[Line], table: Table, column: str) -> list[Any]:
        """Return a column of rows for output (texts, numbers, None), typed as if each row had arrived alone."""


def _reader(command_input: CommandInput, first: bytes) -> _Reader:
    """Return the reader for a stream, chosen by its first line: JSON Lines, lines of text, or delimited text."""
    if first.lstrip()[:1] == b"{":
        return _JsonLines()
    if (column := command_input.column_of_lines(first)) is not None:
        return _TextLines(column)
    source = command_input.spec.source
    return _Delimited((source if isinstance(source, Csv) else Csv(path=STDIN_NAME)).text_format())


class _JsonLines(_Reader):
    """Reader of JSON Lines; only rows with equal keys can be in the same table."""

    def table(self, lines: Sequence[Line]) -> Table:
        if len({frozenset(parse_line(line, STDIN_NAME, number)) for number, line in lines}) > 1:
            raise DataError("the rows have different keys")
        return read_json_lines(b"".join(line for _, line in lines), STDIN_NAME)

    def cells(self, lines: Sequence[Line], table: Table, column: str) -> list[Any]:
        values = (parse_line(line, STDIN_NAME, number).get(column) for number, line in lines)
        return [int(value) if isinstance(value, bool) else value for value in values]


class _TextLines(_Reader):
    """Reader of lines of text, the values of a column."""

    def __init__(self, column: str) -> None:
        self._column = column

    def table(self, lines: Sequence[Line]) -> Table:
        try:
            texts = [line.decode("utf-8-sig").rstrip("\r\n") for _, line in lines]
        except UnicodeDecodeError:
            raise DataError("not UTF-8", place=STDIN_NAME) from None
        return table_of({self._column: np.array(texts, object)}, STDIN_NAME)

    def cells(self, lines: Sequence[Line], table: Table, column: str) -> list[Any]:
        return table.text(column).tolist()


class _Delimited(_Reader):
    """Reader of delimited text, with the settings (separator ...) of the run's csv source, or csv's defaults."""

    _header, _is_open, _broken = b"", False, frozenset[int]()
    """Header line; True if a quoted field goes on after the last line; numbers of lines with a part of such a field."""

    def __init__(self, form: TextFormat) -> None:
        self._form = form

    def rows(self, lines: Sequence[Line]) -> Sequence[Line]:
        comment = None if self._form.comment is None else self._form.comment.encode(self._form.encoding)
        lines = [each for each in lines if each[0] > self._form.skip_rows]
        lines = [each for each in lines if comment is None or not each[1].startswith(comment)]
        if lines and not (self._form.names or self._header):
            (_, self._header), *lines = lines
        self._broken = frozenset([number for number, line in lines if self._breaks(line)])
        return lines

    def _breaks(self, line: bytes) -> bool:
        """Return True if a quoted field begins on the stream's next line and goes on after it, or began before it."""
        was_open, quote = self._is_open, b'"' if self._is_open else b""
        reader = self._form.reader(iter([(quote + line).decode(self._form.encoding, "replace"), ""]))
        with suppress(csv.Error):
            next(reader)
        self._is_open = reader.line_num > 1  # it asked for another line
        return was_open or self._is_open

    def table(self, lines: Sequence[Line]) -> Table:
        if not self._broken.isdisjoint(number for number, _ in lines):
            hint = "a row of a stream is one line; a file may have such rows"
            raise DataError("a line break within quotes", place=STDIN_NAME, hint=hint)
        text = b"".join([self._header, *(line for _, line in lines)])
        table = read_csv(text, STDIN_NAME, self._form.text_format(skip_rows=0, comment=None))
        if table.rows != len(lines):
            raise DataError("a line break (\\r) within a line", place=STDIN_NAME)
        return table

    def cells(self, lines: Sequence[Line], table: Table, column: str) -> list[Any]:
        texts = table.text(column).tolist()
        return texts if self._form.dtypes.get(column) == "text" else list(map(self._value, texts))

    def _value(self, field: str) -> str | float:
        """Return a field as a number if it is written as in JSON, else unchanged."""
        plain = self._form.plain(field) or ""
        try:
            value = json.loads(plain)
        except ValueError:  # text, `007`, or thousands of digits
            return field
        return value if math.isfinite(value) and plain == plain.strip() else field
