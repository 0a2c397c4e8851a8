"""Tables: named columns (rows, *) in memory or on disk, and the line or position of each row in its file.

Text columns are object arrays of `str`: numpy's 'U' arrays take four bytes times the longest text for every row,
so one long review would cost gigabytes. Object arrays come from our own readers only, never from a file.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerascli.data.storage.column import Column, Texts
from kerascli.data.storage.mapped import keep_large_on_disk
from kerascli.data.storage.on_disk import Direct, OnDisk, Rows, Values, compose_rows, count, in_memory, joint_pieces
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.errors import DataError, Place, suggestion

if TYPE_CHECKING:
    from torch import Tensor

FILE, FILES = "file", "the files"
"""Names of the column of file names and of the table itself (in messages), for a table in which each row is a file."""


@dataclass(eq=False)
class BadRow(Exception):
    """Error about a value that a transform cannot process; `row` is the index of its row in the transform's input.

    `at` is (index of the value in the row, number of values in the row); if a row has as many values as the pipeline
    has columns, the index identifies the column.
    """

    row: int
    text: str
    _: KW_ONLY
    at: tuple[int, int] = (0, 0)
    hint: str | None = None
    rows: np.ndarray | None = None
    """Indices of all rows that are refused for the same reason; None: `row` alone."""

    def __str__(self) -> str:
        return self.text


class Refusal(NamedTuple):
    """Values of rows that are refused: a mask of them, and the message about one of them."""

    mask: "Tensor"
    """Boolean tensor (N, *), true where a value is refused."""
    text: Callable[[Any], str]
    """Function from a refused value to the error message, which does not name the row and column."""
    hint: Callable[[Any], str | None] = lambda value: None
    """Function from a refused value to a hint; None: there is none."""

    def about(self, value: Any, row: int, at: tuple[int, int], rows: np.ndarray) -> BadRow:
        """Return the error about a refused value at a position in a row; `rows` are all rows that have such values."""
        return BadRow(row, self.text(value), at=at, hint=self.hint(value), rows=rows)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Damaged files or bad rows that are left out: their number, that of all, and the first of them."""

    name: str
    """Name of the split's folder or file, as in messages."""
    count: int
    of: int
    kept: np.ndarray = field(compare=False)
    """Positions among all rows of those that are left."""
    first: tuple[tuple[int, str], ...]
    """Index and place of the first of the files; of rows, index and error of the first row with each fault."""
    noun: str = "images"

    def __str__(self) -> str:
        texts = [text for _, text in self.first]
        if self.noun == "rows":
            doubt = ", more than half: are the settings of the source right?" if 2 * self.count > self.of else ""
            return f"{self.name}: {self.count:,} of {self.of:,} rows skipped{doubt}; first: {texts[0]}"
        more = f" and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        number = f"{self.count:,} of {self.of:,} {self.noun} skipped (on_corrupt: skip)"
        return f"{self.name}: {number}: {', '.join(texts)}{more}"


def first_wrong(wrong: np.ndarray) -> tuple[int, tuple[int, int], np.ndarray]:
    """Return (row, position in the row, all wrong rows) of the first True in a mask of wrong values, which must have
    one.

    The position is as `BadRow.at`.
    """
    rows = wrong.reshape(len(wrong), -1)
    bad = np.flatnonzero(rows.any(axis=1))
    return int(bad[0]), (int(rows[bad[0]].argmax()), rows.shape[1]), bad


@dataclass(eq=False, repr=False)
class Table(Mapping[str, Values]):
    """Table of rows from one file or data source: columns that are read on access, and rows' positions for messages."""

    columns: Mapping[str, Values | Column]
    rows: int
    _: KW_ONLY
    name: str = ""
    """Name of the table's file or source in messages."""
    lines: "np.ndarray | Callable[[], np.ndarray] | None" = None
    """Lines of the rows (None: 1, 2, ...), or a function that finds them when they are asked for."""
    taken: tuple["Table", Rows] | None = None
    """Table of the whole file, with the selection of its rows that are this table's."""
    made_of: "MadeOf | None" = None
    """Function that returns the place of a value in the table that the rows were derived from."""
    skipped: Skipped | None = None
    """Files that a source left out."""
    selected: Rows | None = None
    """Rows of the table among those of `columns` (None: all), which are gathered on access."""
    files: frozenset[str] = frozenset()
    """Names of columns of decoded files, in place of those of their names."""
    note: str = ""
    """Message about how the rows were made."""
    excerpt: "Excerpt | None" = None

    def __getitem__(self, column: str) -> Values:
        values = self._chosen(column)
        return values.array() if isinstance(values, Column) else values

    def _chosen(self, column: str) -> Values | Column:
        """Return the table's rows of a column."""
        values = self.columns[column]
        if self.selected is None:
            return values
        return values[self.selected] if isinstance(values, np.ndarray) else values.take(self.selected)

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def column(self, name: str) -> Values:
        """Return a column by name. Raises DataError with the file and the most similar column name."""
        self._check(name)
        return self[name]

    def _check(self, name: str) -> None:
        if name not in self.columns:
            listed = ", ".join(self.columns) if len(self.columns) <= 20 else f"{len(self.columns)} of them"
            text = f"there is no column '{name}'{suggestion(name, self.columns)}"
            raise self.fault(text, f"the columns are: {listed}")

    def fault(self, text: str, hint: str | None = None) -> DataError:
        """Return an error about the table as a whole."""
        return DataError(text, place=self.name or "data", hint=hint)

    def array(self, name: str) -> np.ndarray:
        """Return a column by name as an array; it must be in memory. Raises DataError if the table has no such
        column."""
        values = self.column(name)
        assert isinstance(values, np.ndarray)
        return values

    def text(self, name: str) -> np.ndarray:
        """Return a column as text, verbatim from the file even if it consists of numbers; of files, their names."""
        if name in self.files and self.taken is not None:
            return self.taken[0].text(name)[self.taken[1]]
        coded = self.coded(name)
        return as_text(in_memory(self.column(name))) if coded is None else coded.rows()

    def coded(self, name: str) -> Texts | None:
        """Return a column as `text` does, as distinct texts and codes; None if it is not from a text file."""
        self._check(name)
        column = self._chosen(name) if isinstance(self.columns[name], Column) else None
        return column.texts if isinstance(column, Column) else None

    def like(self, name: str) -> Values:
        """Return values with the dtype and row shape of a column; which rows they are is not defined."""
        self._check(name)
        values = self.columns[name]
        return values.take(slice(0, 0)).array() if isinstance(values, Column) else values

    def on_disk(self, columns: Iterable[str], kind: type[OnDisk] = OnDisk) -> bool:
        """Return True if any of the given columns is on disk; of a `kind`, such as `Stream`, which is read in order."""
        return any(isinstance(self.columns.get(name), kind) for name in columns)

    def take(self, rows: Rows, skipped: Skipped | None = None) -> "Table":
        """Return a table of the selected rows, in the selection's order; columns on disk stay on disk."""
        rows = compose_rows(slice(0, self.rows), rows)
        selected = rows if self.selected is None else compose_rows(self.selected, rows)
        return replace(self, rows=count(rows), taken=self.whole(rows), skipped=skipped, selected=selected)

    def replaced(self, columns: Collection[str], rows: np.ndarray) -> "Table":
        """Return the table with the values of some columns taken from other of its rows, by their positions."""
        other = self.take(rows)
        values = {name: (other if name in columns else self)._chosen(name) for name in self.columns}
        return Table(values, self.rows, name=self.name, files=self.files)

    def with_files(self, files: Mapping[str, Values]) -> "Table":
        """Return the table with columns of decoded files in place of the columns that name them."""
        columns = {name: files[name] if name in files else self._chosen(name) for name in self.columns}
        return replace(self, columns=columns, taken=self.whole(), selected=None, files=frozenset(files))

    def load(self, rows: Rows, columns: Iterable[str]) -> "Table":
        """Return a table in memory of the selected rows, with those of the given columns that allow random access."""
        rows = compose_rows(slice(0, self.rows), rows)
        read = {name: values[rows] for name in columns if isinstance(values := self.column(name), np.ndarray | Direct)}
        return Table(read, count(rows), name=self.name, taken=self.whole(rows))

    def parts(self, columns: Iterable[str], rows: int | None = None) -> Iterator["Table"]:
        """Iterate over the table's rows as tables in memory: at most `rows` at a time, or all if already in memory."""
        columns = list(columns)
        if not self.on_disk(columns):
            yield self
            return
        first = 0
        for values in joint_pieces({name: self.column(name) for name in columns}, rows):
            part = slice(first, first + len(next(iter(values.values()))))
            yield Table(values, count(part), name=self.name, taken=self.whole(part))
            first = part.stop

    def slices(self, rows: int) -> Iterator["Table"]:
        """Iterate over the table's rows as tables of at most `rows` rows, whose columns are gathered on access."""
        return (self.take(slice(start, start + rows)) for start in range(0, self.rows, rows))

    def whole(self, rows: Rows = slice(None)) -> tuple["Table", Rows]:
        """Return the table of the whole file, and the selection of its rows that are the selected rows of this one."""
        whole, there = self.taken or (self, slice(0, self.rows))
        return whole, compose_rows(there, rows)

    def numbers(self) -> np.ndarray:
        """Return each row's position in the file: the line of a text file, else the row's number, counted from 1."""
        if self.taken is not None:
            return self.taken[0].numbers()[self.taken[1]]
        if callable(self.lines):
            self.lines = self.lines()
        return np.arange(1, self.rows + 1) if self.lines is None else self.lines

    def place(self, row: int, column: str, at: tuple[int, int] = (0, 0)) -> Place:
        """Return the place of a value in its file (`train.csv:17:age`); `at` is (index in the row, values per row)."""
        if self.taken is not None:
            table, rows = self.taken
            return table.place(rows.start + row if isinstance(rows, slice) else int(rows[row]), column, at)
        if self.made_of is not None:
            return self.made_of(row, column, at)
        place = Place(self.name or "data", row + 1 if self.lines is None else int(self.numbers()[row]), name=column)
        return place if self.excerpt is None else self.excerpt(place, list(self))


MadeOf = Callable[[int, str, tuple[int, int]], Place]
"""Function that returns the place of a value in its file, by its row, column and position in the row (`BadRow.at`)."""


Excerpt = Callable[[Place, Sequence[str]], Place]
"""Function that adds the line of a text file, with the columns of its table, to the place of a value."""


def table_of(columns: Mapping[str, np.ndarray], name: str) -> Table:
    """Create a table from arrays by column name. Raises DataError if lengths differ or a dtype is not supported."""
    if not columns:
        raise DataError("there are no columns", place=name)
    arrays = {key: as_column(np.asanyarray(values), key, name) for key, values in columns.items()}
    clean = keep_large_on_disk(arrays, name)
    first, *others = clean
    for other in others:
        if len(clean[other]) != len(clean[first]):
            raise DataError(f"'{first}' has {len(clean[first])} rows, '{other}' has {len(clean[other])}", place=name)
    return Table(clean, len(clean[first]), name=name)


def as_column(values: np.ndarray, column: str, name: str) -> np.ndarray:
    """Convert an array to a column's dtype: numbers unchanged, text and sequences as objects. Raises DataError."""
    if values.ndim == 0:
        raise DataError(f"'{column}' is a single value, not rows", place=name)
    if values.dtype.kind in "biuf" and values.dtype.itemsize <= 8:
        return values
    if values.dtype.kind in "US" or (values.dtype == object and all(isinstance(v, str) for v in values.flat)):
        try:
            texts = as_text(values)
            "".join(texts.flat).encode()
        except UnicodeDecodeError as error:
            raise DataError(f"'{column}' is not UTF-8 (byte {error.object[error.start]:#04x})", place=name) from None
        except UnicodeEncodeError:
            raise DataError(f"'{column}' is not UTF-8 (half a character)", place=name) from None
        return texts
    if is_ragged(values) and all(map(_is_sequence, values)):
        return values
    what = "Python objects" if values.dtype == object else values.dtype.name
    hint = "pickled arrays are never loaded" if values.dtype == object else None
    raise DataError(f"'{column}' holds {what}; expected numbers or text", place=name, hint=hint)


def _is_sequence(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu"


def missing(values: np.ndarray) -> np.ndarray:
    """Return a boolean mask of the values (rows, *) of a column that are missing: NaN, or an empty text."""
    return np.asarray(values == "", bool) if values.dtype == object else np.isnan(values)


def gaps_in_integers(values: Values) -> np.ndarray:
    """Return the rows of a column (rows,) of integers that are missing, so that it holds floats; else no rows."""
    if values.dtype.kind != "f" or len(values.shape) > 1:
        return np.empty(0, np.int64)
    numbers = in_memory(values)
    gaps = missing(numbers)
    return np.flatnonzero(gaps & bool((numbers[~gaps] % 1 == 0).all()))


def as_text(values: np.ndarray) -> np.ndarray:
    """Convert a column to an object array of `str`."""
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype == bool:
        return np.where(values, "true", "false").astype(object)  # as text files have it
    return values.astype(str).astype(object) if values.dtype != object else values
