"""Rows of a query of a database, in blocks of Arrow arrays: SQLite by the standard library, PostgreSQL by ADBC."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kerascli.data.remote.addresses import scheme_of
from kerascli.data.remote.frozen import FROZEN_ROWS
from kerascli.foundation.disk.files import in_home, open_regular
from kerascli.foundation.errors import DataError, safe_text

if TYPE_CHECKING:
    import pyarrow as pa

SQL_SCHEMES = ("sqlite", "postgresql")
SQLITE = "sqlite:///"
"""Beginning of the address of a file of SQLite; a path follows."""
_CONNECT_SECONDS = 10
_MAY = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
"""Actions that SQLite's authorizer allows a query: those that read tables; all others are denied."""

Block = Mapping[str, "pa.Array"]


def query_blocks(url: str, folder: Path, query: str, shown: str, text: frozenset[str]) -> Iterator[Block]:
    """Yield the rows of a query in blocks; those of SQLite have numbers of the columns `text` as text.

    A path in `url` is relative to `folder`; `shown` names the database in messages. Raises DataError.
    """
    blocks = _sqlite(url, folder, query, shown, text) if scheme_of(url) == "sqlite" else _postgresql(url, query, shown)
    rows = 0
    for block in blocks:
        rows += len(next(iter(block.values())))
        yield block
    if not rows:
        raise DataError("the query returns no rows", place=shown)


def _sqlite(url: str, folder: Path, query: str, shown: str, text: frozenset[str]) -> Iterator[Block]:
    path = folder / in_home(url.removeprefix(SQLITE))
    open_regular(path, shown).close()
    with _database_errors(shown, sqlite3.Error), closing(
        sqlite3.connect(f"file:{quote(os.fspath(path.absolute()))}?mode=ro", uri=True, timeout=_CONNECT_SECONDS)
    ) as connection:  # fmt: skip
        connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _MAY else sqlite3.SQLITE_DENY)
        connection.set_progress_handler(lambda: 0, 10**6)  # Python gets to see an interrupt while a query sorts
        cursor = connection.execute(query)
        names = [column for column, *_ in cursor.description or ()]
        _check_names(names, shown)
        first = 1
        while rows := cursor.fetchmany(FROZEN_ROWS):
            columns = zip(names, zip(*rows, strict=True), strict=True)
            yield {
                name: _array(values, f"{shown}:{{}}:{name}", first, as_text=name in text) for name, values in columns
            }
            first += len(rows)


def _array(values: tuple[Any, ...], place: str, first: int, *, as_text: bool) -> "pa.Array":
    """Return values of SQLite as an array; numbers beside texts, and integers that floats do not hold, are text."""
    import pyarrow as pa

    kinds = set(map(type, values)) - {type(None)}
    if bytes in kinds:
        row = next(row for row, value in enumerate(values, first) if isinstance(value, bytes))
        raise DataError("holds bytes (BLOB); expected numbers or text", place=place.format(row))
    is_inexact = kinds == {int, float} and any(abs(value) > 2**53 for value in values if isinstance(value, int))
    if as_text or is_inexact or str in kinds:
        return pa.array([value if isinstance(value, str | None) else repr(value) for value in values], pa.string())
    return pa.array(values, pa.int64() if kinds == {int} else pa.float64())


def _postgresql(url: str, query: str, shown: str) -> Iterator[Block]:
    try:
        import adbc_driver_postgresql.dbapi as driver  # pyright: ignore[reportMissingImports]
    except ImportError:
        text, hint = "postgresql:// needs adbc-driver-postgresql", 'pip install "kerascli[sql]"'
        raise DataError(text, place=shown, hint=hint) from None
    if "connect_timeout=" not in url and "PGCONNECT_TIMEOUT" not in os.environ:
        url += f"{'&' if '?' in url else '?'}connect_timeout={_CONNECT_SECONDS}"
    with _database_errors(shown, driver.Error), driver.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("set transaction read only")
        cursor.execute(query)
        reader = cursor.fetch_record_batch()
        _check_names(reader.schema.names, shown)
        for batch in reader:
            columns = zip(reader.schema.names, batch.columns, strict=True)
            yield {name: _supported(column, name, shown) for name, column in columns}


def _supported(values: "pa.Array", name: str, shown: str) -> "pa.Array":
    """Return an array of numbers, booleans, texts or times. Raises DataError for others."""
    import pyarrow as pa

    types, kind = pa.types, values.type
    if isinstance(values, pa.ExtensionArray) and getattr(kind, "type_name", "") == "numeric":
        return values.storage.cast(pa.float64())
    fitting = (
        types.is_integer,
        types.is_floating,
        types.is_boolean,
        types.is_string,
        types.is_date,
        types.is_timestamp,
    )
    if any(fits(kind) for fits in fitting):
        return values
    text = f"column '{safe_text(name, 40)}' holds {kind}; expected numbers, text or times"
    raise DataError(text, place=shown, hint=f"cast it in the query: cast({safe_text(name, 40)} as text)")


def _check_names(names: list[str], shown: str) -> None:
    if not names:
        raise DataError("the query returns no columns; expected one select", place=shown)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"column '{safe_text(twice, 40)}' appears twice", place=shown, hint="name it: select x as y")


@contextmanager
def _database_errors(shown: str, kind: type[Exception]) -> Iterator[None]:
    """Context manager that turns a database's errors into DataError, with the database's own words."""
    try:
        yield
    except kind as error:
        words = " ".join(str(error).split())
        raise DataError(f"the database says: {safe_text(words, 400)}", place=shown) from None
