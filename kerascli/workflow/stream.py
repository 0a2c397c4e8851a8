"""Predict rows that arrive one by one on standard input (`predict --stream`)."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

import numpy as np

from kerascli.data.base import Source
from kerascli.data.given import STDIN_NAME, Given
from kerascli.data.pipeline.learned_state import known_columns
from kerascli.data.pipeline.prepare import prepare_rows
from kerascli.data.sources.csv import Csv
from kerascli.data.sources.wrapped import WrappedSource
from kerascli.data.storage.json_lines import read_json_lines
from kerascli.data.storage.table import Table
from kerascli.data.storage.text_columns import TextColumns
from kerascli.errors import ConfigError, DataError, Fault, Place
from kerascli.workflow.opened import OpenedRun
from kerascli.workflow.predict import Form, Predictions, predict_rows


def predict_stream(
    run: OpenedRun, lines: Iterable[bytes], form: Form, keep: Sequence[str] = ()
) -> Iterator[Predictions | DataError]:
    """Yield the prediction, or the error, for each row of a stream; its formats are the ones that `predict` reads from
    standard input.

    Raises DataError where no further row can be read, ConfigError.
    """
    if run.data is None or run.takes_arrays or run.has_own_inputs:
        raise ConfigError("--stream: the model takes arrays of its own, not rows")
    if isinstance(run.data.source, WrappedSource):
        raise ConfigError(f"--stream: a row of {run.data.source.component_name} is made of several lines")
    given = Given(run.data, known_columns(run.learned), targets=False, keep=frozenset(keep))
    for table in _tables(given, iter(lines)):
        if isinstance(table, DataError):
            yield table
            continue
        try:
            rows = prepare_rows(run.data, run.learned, given.checked(table), targets=False)
            yield predict_rows(run, rows, form, keep)
        except DataError as error:
            yield error


def _tables(given: Given, lines: Iterator[bytes]) -> Iterator[Table | DataError]:
    """Yield a table for each row of a stream: a row is one line, or several if quoted csv fields contain line
    breaks."""
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    first = next(numbered, None)
    if first is None:
        raise DataError(Fault("there are no rows", place=Place(STDIN_NAME)))
    numbered = chain([first], numbered)
    if first[1].lstrip()[:1] == b"{":
        for number, line in numbered:
            try:
                yield read_json_lines(line, STDIN_NAME, first=number)
            except DataError as error:
                yield error
    elif (column := given.column_of_lines(first[1])) is not None:
        for number, line in numbered:
            text = line.decode("utf-8", errors="surrogateescape").rstrip("\r\n")
            if not _is_decoded(text):
                yield DataError(Fault("not UTF-8", place=Place(STDIN_NAME, number)))
                continue
            yield Table({column: np.array([text], object)}, 1, name=STDIN_NAME, numbers=np.array([number]))
    else:
        yield from _delimited(_settings(given.spec.source), numbered)


def _settings(source: Source) -> Csv:
    """Return the csv settings (separator ...) for reading a stream: the settings of the run's csv source, else the
    defaults."""
    return source if isinstance(source, Csv) else Csv(path=STDIN_NAME)


def _delimited(settings: Csv, numbered: Iterator[tuple[int, bytes]]) -> Iterator[Table | DataError]:
    form = settings.text_format()
    comment = form.comment.encode(form.encoding)
    read = (each for each in islice(numbered, form.skip_rows, None) if not comment or not each[1].startswith(comment))
    lines = _Lines(read, form.encoding)
    reader = form.reader(lines)
    try:
        names = form.names or tuple(next(reader, ()))
        for row in reader:
            if not _is_decoded("".join(row)):
                yield DataError(Fault(f"not {form.encoding.upper()}", place=Place(STDIN_NAME, lines.number)))
            elif len(row) == len(names):
                columns = TextColumns(
                    {name: form.present([field]) for name, field in zip(names, row, strict=True)}, form
                )
                yield Table(columns, 1, name=STDIN_NAME, numbers=np.array([lines.number]))
            else:
                text = f"{len(row)} {'field' if len(row) == 1 else 'fields'}, the header has {len(names)}"
                yield DataError(Fault(text, place=Place(STDIN_NAME, lines.number)))
    except csv.Error as error:
        raise DataError(Fault(str(error), place=Place(STDIN_NAME, lines.number))) from None


def _is_decoded(text: str) -> bool:
    """Return False if a decoded text has characters that stand for bytes its encoding could not decode."""
    return not any("\udc80" <= character <= "\udcff" for character in text)


class _Lines:
    """Iterator that decodes numbered lines of bytes to text; `number` is that of the last line read."""

    def __init__(self, numbered: Iterator[tuple[int, bytes]], encoding: str) -> None:
        self._numbered = numbered
        self._encoding = encoding
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._numbered)
        return line.decode(self._encoding, errors="surrogateescape").lstrip("\ufeff")
