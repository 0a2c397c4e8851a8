"""Source `sql`: the rows of a query of a database, frozen as a file of Parquet for as long as a run needs them."""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from pydantic import model_validator

from kerascli.data.base import Context, Field, Source, Tables, source
from kerascli.data.remote.addresses import hiding_environment, scheme_of, with_environment
from kerascli.data.remote.frozen import FROZEN_ROWS, freeze
from kerascli.data.sources.file_source import read_parquet
from kerascli.data.storage.column import pa
from kerascli.data.storage.partitions import Part
from kerascli.foundation.disk import storage
from kerascli.foundation.disk.files import in_home, open_regular
from kerascli.foundation.errors import ConfigError, DataError, Place, safe_text
from kerascli.language.component import Invalid

SQLITE = "sqlite:///"
"""Beginning of the address of a file of SQLite; a path follows."""
_CONNECT_SECONDS = 10
_MAY = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE,
        (sqlite3.SQLITE_PRAGMA, "data_version")}  # fmt: skip
"""Actions that SQLite's authorizer allows a query: those that read tables, full-text ones, too; all others are
denied."""

Block = Mapping[str, "pa.Array"]


@source()
class Sql(Source):
    """Rows of a query of a database: `sqlite:///file.db`, or `postgresql://host/database` with the extra `sql`.

    A new run asks the database; its rows are kept in the cache folder, where resuming and evaluating the run find
    them. Without them the database is asked again, and other rows, or the same in another order, are refused.
    """

    any_column = Field((), "unknown")
    paths = ("url",)
    schemes = ("sqlite", "postgresql")

    url: str
    """Address of the database, without credentials; the path of a file of SQLite is relative to the config."""
    query: str
    """Query of the training rows, one `select`; `order by` makes their order certain."""
    validation: str | None = None
    """Query of the rows of the split 'validation'."""
    test: str | None = None
    """Query of the rows of the split 'test'."""

    @model_validator(mode="after")
    def _is_an_address(self) -> Self:
        if not self.url.startswith("$env.") and (wrong := _fault(self.url)) is not None:
            raise Invalid(f"url: {wrong}", ("url",))
        return self.with_paths(in_home)

    def load(self, context: Context) -> Tables:
        with hiding_environment(self.url):
            paths = {split: self._frozen(context, query) for split, query in self.by_split(self.query).items()}
        return {split: read_parquet([Part(path, self.url)], self.url, context.columns) for split, path in paths.items()}

    def data_files(self, context: Context) -> list[Path]:
        is_file = self.url.startswith(SQLITE) and "$env." not in self.url
        return [context.folder / self.url.removeprefix(SQLITE)] if is_file else []

    def digests(self, context: Context) -> dict[str, str]:
        queries = self.by_split(self.query)
        with hiding_environment(self.url):
            return {f"sql {split}": self._frozen(context, query).stem for split, query in queries.items()}

    def with_paths(self, change: Callable[[str], str], fields: Sequence[str] | None = None) -> Self:
        if not self.url.startswith(SQLITE):
            return self
        return self.model_copy(update={"url": SQLITE + change(self.url.removeprefix(SQLITE))})

    def _frozen(self, context: Context, query: str) -> Path:
        """Return the file with the rows of a query: as the run recorded them, else as the database has them now."""
        if query not in context.frozen:
            place = os.path.realpath(self.data_files(context)[0]) if self.data_files(context) else self.url
            key = hashlib.sha256(f"{place}\0{query}".encode()).hexdigest()[:32]
            folder = storage.cache_folder() / "frozen" / key
            recorded = (path for path in folder.glob("*.parquet") if path.stem in context.recorded.values())
            context.frozen[query] = next(recorded, None) or self._ask(context, query, folder)
        return context.frozen[query]

    def _ask(self, context: Context, query: str, folder: Path) -> Path:
        url = with_environment(self.url)
        if (wrong := _fault(url)) is not None:
            raise ConfigError(f"'{safe_text(self.url)}': {wrong}")
        return freeze(folder, lambda text: query_blocks(url, context.folder, query, self.url, text))


def _fault(url: str) -> str | None:
    """Return what is wrong with the address of a database; None if nothing is."""
    return None if url.startswith((SQLITE, "postgresql://")) else f"expected {SQLITE}FILE or postgresql://HOST/DATABASE"


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
        connection.set_authorizer(
            lambda action, name, *_: sqlite3.SQLITE_OK if _MAY & {action, (action, name)} else sqlite3.SQLITE_DENY
        )
        connection.set_progress_handler(lambda: 0, 10**6)  # Python gets to see an interrupt while a query sorts
        cursor = connection.execute(query)
        names = [column for column, *_ in cursor.description or ()]
        _check_names(names, shown)
        first = 1
        while rows := cursor.fetchmany(FROZEN_ROWS):
            columns = zip(names, zip(*rows, strict=True), strict=True)
            yield {name: _array(each, name, shown, first, as_text=name in text) for name, each in columns}
            first += len(rows)


def _array(values: tuple[Any, ...], name: str, shown: str, first: int, *, as_text: bool) -> "pa.Array":
    """Return values of SQLite as an array; numbers beside texts, and integers that floats do not hold, are text.

    `first` is the number of the first value's row.
    """
    kinds = set(map(type, values)) - {type(None)}
    if bytes in kinds:
        row = next(row for row, value in enumerate(values, first) if isinstance(value, bytes))
        raise DataError("holds bytes (BLOB); expected numbers or text", place=Place(shown, row, name=name))
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
    types, kind = pa.types, values.type
    if isinstance(values, pa.ExtensionArray) and getattr(kind, "type_name", "") == "numeric":
        return values.storage.cast(pa.float64())
    fitting = ("integer", "floating", "boolean", "string", "date", "timestamp")
    if any(getattr(types, f"is_{name}")(kind) for name in fitting):
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
