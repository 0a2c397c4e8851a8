"""One file of Parquet: opened for each pass over it, and refused if it is damaged or has changed meanwhile."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kerascli.data.storage.column import arrow
from kerascli.foundation.disk.files import open_regular
from kerascli.foundation.errors import DataError, FileRefused, first_line, safe_text

_BUFFER_BYTES = 2**20


class ParquetFile:
    """File of Parquet with its metadata and schema; its columns are read on request."""

    def __init__(self, path: Path, name: str) -> None:
        """Open a file and read its metadata; `name` is its name in messages. Raises DataError, FileRefused."""
        self._path = path
        self.name = name
        self._state: tuple[int, int] | None = None
        self.size = 0
        with self.opened() as file:
            self._metadata = file.metadata
            self.schema = file.schema_arrow
        names = self.schema.names
        twice = next((column for column in names if names.count(column) > 1), None)
        if twice is not None:
            raise DataError(f"column '{safe_text(twice, 40)}' appears twice", place=name)
        if not names:
            raise DataError("there are no columns", place=name)

    @property
    def rows(self) -> int:
        return self._metadata.num_rows

    def read(self, column: str) -> Any:
        """Return a whole column as a pyarrow array."""
        with self.opened() as file:
            values = file.read(columns=[column])[column]
        self._refuse_other_count(len(values))
        return values

    def stream(self, column: str, rows: int) -> Iterator[Any]:
        """Iterate over a column as pyarrow arrays of at most `rows` rows, row group by row group."""
        pa, done = arrow(), 0
        with self.opened() as file:
            for batch in file.iter_batches(batch_size=rows, columns=[column]):
                done += len(batch)
                yield pa.chunked_array([batch[column]])
        self._refuse_other_count(done)

    def unpacked_bytes(self, column: str) -> int:
        """Return the uncompressed size of a column in the file."""
        return sum(chunk.total_uncompressed_size for chunk in self._chunks(column))

    def has_missing(self, column: str) -> bool:
        """Return True if a column has missing values, from the file's statistics or else by reading the column."""
        all_statistics = [chunk.statistics for chunk in self._chunks(column)]
        if all(statistics is not None and statistics.has_null_count for statistics in all_statistics):
            return any(statistics.null_count for statistics in all_statistics)
        return any(part.null_count for part in self.stream(column, 2**16))

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Context manager that opens the Parquet file. Raises DataError (also if the file has changed), FileRefused."""
        from pyarrow import parquet

        with open_regular(self._path, self.name) as file:
            status = os.fstat(file.fileno())
            state = (status.st_size, status.st_mtime_ns)
            if state != (self._state or state):
                raise DataError("the file was changed while it was in use", place=self.name)
            self._state = state
            self.size = status.st_size
            try:
                yield parquet.ParquetFile(file, page_checksum_verification=True, buffer_size=_BUFFER_BYTES)
            except (arrow().ArrowException, OSError) as error:
                raise FileRefused(f"'{self.name}' is damaged: {safe_text(first_line(error), 120)}") from None

    def _chunks(self, column: str) -> Iterator[Any]:
        """Iterate over the Parquet metadata of a column's chunks, one for each row group."""
        for number in range(self._metadata.num_row_groups):
            group = self._metadata.row_group(number)
            chunks = (group.column(index) for index in range(group.num_columns))
            yield from (chunk for chunk in chunks if chunk.path_in_schema == column)

    def _refuse_other_count(self, rows: int) -> None:
        if rows != self.rows:
            raise FileRefused(f"'{self.name}' is damaged: it says {self.rows:,} rows and has {rows:,}")
