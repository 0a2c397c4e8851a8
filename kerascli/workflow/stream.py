"""Predict rows as they arrive on standard input (`predict --stream`), in batches of rows that arrived together."""

import csv
import io
import json
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, cast

import numpy as np

from kerascli.data.command_input import STDIN_NAME, CommandInput
from kerascli.data.pipeline.prepare import fitted_preparer
from kerascli.data.sources.file_source import Csv
from kerascli.data.sources.wrapped import WrappedSource
from kerascli.data.storage.delimited.csv_text import text_columns
from kerascli.data.storage.delimited.text_format import TextFormat
from kerascli.data.storage.json_lines import parse_line, read_json_lines
from kerascli.data.storage.table import Table
from kerascli.data.text.oov import OovCounts
from kerascli.foundation.errors import ConfigError, DataError, Place, counted
from kerascli.report.predictions import Predictions
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.predict import Form, predict_rows

_MOST_ROWS = 1024
_BLOCK_BYTES = 2**16
_MOST_BYTES = 2**25
"""Maximum number of bytes of a line: while it is incomplete, it is copied with each block that arrives."""


Line = tuple[int, bytes]
"""Line of the stream: its number, counted from 1, and its bytes."""
Row = tuple[int, Any]
"""Row of the stream: the number of its line, and its contents."""


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
    preparer = fitted_preparer(data, run.learned, targets=False)

    lines, oov = _Arrivals(arrivals), OovCounts()
    reader = _reader(command_input, lines)

    def predicted(rows: Sequence[Row]) -> Iterator[Predictions | DataError]:
        try:
            split = preparer.split(_checked(command_input, reader.table(rows)))
            predictions = predict_rows(run, split, form, keep)
        except DataError as error:
            yield from [error] if len(rows) == 1 else (each for row in rows for each in predicted([row]))
            return
        oov.add(split.oov)
        kept = {name: np.array(reader.cells(rows, name), object) for name in predictions.kept}
        yield replace(predictions, kept=kept)

    for rows in reader.batches():
        yield from [rows] if isinstance(rows, DataError) else predicted(rows)
    run.warnings += oov.warnings()


def _checked(command_input: CommandInput, table: Table) -> Table:
    """Return `table` if it has all columns that the pipelines read. Raises DataError with the line of its first row."""
    try:
        return command_input.checked(table, skip=False)
    except DataError as error:
        place = Place(STDIN_NAME, int(table.numbers()[0]))
        faults = (fault if str(fault.place) != STDIN_NAME else replace(fault, place=place) for fault in error.faults)
        raise DataError(list(faults)) from None


class _Arrivals(Iterator[Line]):
    """Iterator over the numbered lines of a stream; `waiting` has those that have arrived."""

    def __init__(self, arrivals: Iterable[Sequence[bytes]]) -> None:
        self._arrivals = iter(arrivals)
        self._number = 0
        self.waiting: deque[Line] = deque()
        """Lines that have arrived and were not read yet."""

    def __next__(self) -> Line:
        while not self.waiting:
            numbered = list(enumerate(next(self._arrivals), self._number + 1))
            self._number += len(numbered)
            self.waiting += numbered
        return self.waiting.popleft()

    def filled(self) -> Iterator[Line]:
        """Yield the lines that are not empty."""
        return (each for each in self if each[1].strip())

    def first(self) -> bytes:
        """Return the first line that is not empty, without removing any. Raises DataError if there is none."""
        lines: list[Line] = []
        for line in self:
            lines.append(line)
            if line[1].strip():
                self.waiting.extendleft(reversed(lines))
                return line[1]
        raise DataError("there are no rows", place=Place(STDIN_NAME))


class _Rows(ABC):
    """Base class of readers that convert the lines of a stream to rows, and several rows to a table."""

    def __init__(self, lines: _Arrivals) -> None:
        self.lines = lines

    @abstractmethod
    def rows(self) -> Iterator[Row | DataError]:
        """Yield each row of the stream; for a faulty row, its DataError. Raises DataError if no more can be read."""

    @abstractmethod
    def table(self, rows: Sequence[Row]) -> Table:
        """Return a table of rows. Raises DataError."""

    @abstractmethod
    def cells(self, rows: Sequence[Row], column: str) -> list[Any]:
        """Return a column of rows for output (texts, numbers, None), typed as if each row had arrived alone."""

    def fits(self, row: Row, batch: Sequence[Row]) -> bool:
        """Return True if a row can be in the same table as the rows of `batch`."""
        return True

    def has_next(self) -> bool:
        """Return True if the next row can be read without waiting for lines that have not arrived."""
        return any(line.strip() for _, line in self.lines.waiting)

    def batches(self) -> Iterator[list[Row] | DataError]:
        """Yield lists of rows that arrived together; the DataError of a faulty row alone, after the rows before it."""
        batch: list[Row] = []
        try:
            for row in self.rows():
                if batch and (isinstance(row, DataError) or not self.fits(row, batch)):
                    yield batch
                    batch = []
                if isinstance(row, DataError):
                    yield row
                    continue
                batch.append(row)
                if len(batch) == _MOST_ROWS or not self.has_next():
                    yield batch
                    batch = []
        except DataError:  # no more rows can be read
            if batch:
                yield batch
            raise


def _reader(command_input: CommandInput, lines: _Arrivals) -> _Rows:
    """Return the reader for a stream, chosen by its first line: JSON Lines, lines of text, or delimited text."""
    first = lines.first()
    if first.lstrip()[:1] == b"{":
        return _JsonRows(lines)
    column = command_input.column_of_lines(first)
    if column is not None:
        return _TextRows(TextFormat(names=(column,), dtypes={column: "text"}), lines)
    source = command_input.spec.source
    return _Delimited((source if isinstance(source, Csv) else Csv(path=STDIN_NAME)).text_format(), lines)


class _JsonRows(_Rows):
    """Reader of JSON Lines: a row is the line and its JSON object; only rows with equal keys share a table."""

    def rows(self) -> Iterator[Row | DataError]:
        for number, line in self.lines.filled():
            try:
                yield number, (line, parse_line(line, STDIN_NAME, number))
            except DataError as error:
                yield error

    def fits(self, row: Row, batch: Sequence[Row]) -> bool:
        return row[1][1].keys() == batch[0][1][1].keys()

    def table(self, rows: Sequence[Row]) -> Table:
        return read_json_lines(b"".join(line for _, (line, _) in rows), STDIN_NAME, first=rows[0][0])

    def cells(self, rows: Sequence[Row], column: str) -> list[Any]:
        values = (row.get(column) for _, (_, row) in rows)
        return [int(value) if isinstance(value, bool) else value for value in values]


class _TextRows(_Rows):
    """Reader of rows of text fields in the columns of a format; here, each line is a row of one column."""

    def __init__(self, form: TextFormat, lines: _Arrivals) -> None:
        super().__init__(lines)
        self._form = form
        self._names = form.names

    def rows(self) -> Iterator[Row | DataError]:
        for number, fields in self.records():
            wrong = None
            if any("\udc80" <= character <= "\udcff" for character in "".join(fields)):
                wrong = f"not {self._form.encoding.upper()}"
            elif len(fields) != len(self._names):
                wrong = f"{counted(len(fields), 'field')}, the header has {len(self._names)}"
            yield (number, fields) if wrong is None else DataError(wrong, place=Place(STDIN_NAME, number))

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the fields of each row, with the number of its line."""
        for number, line in self.lines.filled():
            yield number, [line.decode(errors="surrogateescape").rstrip("\r\n")]

    def table(self, rows: Sequence[Row]) -> Table:
        columns = text_columns(self._names, [row for _, row in rows], self._form)
        return Table(columns, len(rows), name=STDIN_NAME, lines=np.array([number for number, _ in rows]))

    def cells(self, rows: Sequence[Row], column: str) -> list[Any]:
        index = self._names.index(column)
        fields = self._form.present([row[index] for _, row in rows])
        return list(fields) if self._form.dtypes.get(column) == "text" else list(map(self._value, fields))

    def _value(self, field: str) -> str | float | None:
        """Return a field as a number if it is written as in JSON, as None if it is empty, else unchanged."""
        plain = self._form.plain(field) or ""
        try:
            value = json.loads(plain)
        except ValueError:  # text, `007`, or thousands of digits
            return field or None
        return value if math.isfinite(value) and plain == plain.strip() else field


class _Delimited(_TextRows):
    """Reader of delimited text, with the settings (separator ...) of the run's csv source, or csv's defaults."""

    _number, _begins = 0, True
    """Number of the line read last, and whether a row begins after it: then empty lines and comments are left out."""

    def has_next(self) -> bool:
        """Return True if a whole row has arrived: its first line has no open quote, in which it would continue."""
        following = next((line for _, line in self.lines.waiting if not self._is_left_out(line)), None)
        return following is not None and following.count(b'"') % 2 == 0

    def records(self) -> Iterator[tuple[int, list[str]]]:
        for _ in range(self._form.skip_rows):
            next(self.lines, None)
        reader = self._form.reader(self._texts())
        try:
            self._names = self._names or tuple(next(reader, ()))
            self._begins = True
            for row in reader:
                self._begins = True
                yield self._number, row
        except csv.Error as error:
            raise DataError(str(error), place=Place(STDIN_NAME, self._number)) from None

    def _texts(self) -> Iterator[str]:
        """Yield the text of each line that is part of a row."""
        for number, line in self.lines:
            if not (self._begins and self._is_left_out(line)):
                self._number, self._begins = number, False
                yield line.decode(self._form.encoding, errors="surrogateescape").lstrip("\ufeff")

    def _is_left_out(self, line: bytes) -> bool:
        comment = (self._form.comment or "").encode(self._form.encoding)
        return not line.strip() or bool(comment and line.startswith(comment))
