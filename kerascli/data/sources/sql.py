"""Source `sql`: the rows of a query of a database, frozen as a file of Parquet for as long as a run needs them."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import model_validator

from kerascli.data.base import Context, Field, Source, source
from kerascli.data.remote.addresses import hiding_environment, with_environment
from kerascli.data.remote.databases import SQL_SCHEMES, SQLITE, query_blocks
from kerascli.data.remote.frozen import freeze
from kerascli.data.sources.file_source import read_parquet
from kerascli.data.storage.partitions import Part
from kerascli.data.storage.table import Table
from kerascli.foundation.disk import storage
from kerascli.foundation.errors import ConfigError, Fault, safe_text
from kerascli.language.component import Invalid


@source()
class Sql(Source):
    """Rows of a query of a database: `sqlite:///file.db`, or `postgresql://host/database` with the extra `sql`.

    A new run asks the database; its rows are kept in the cache folder, where resuming and evaluating the run find
    them. Without them the database is asked again, and other rows, or the same in another order, are refused.
    """

    any_column = Field((), "unknown")
    paths = ("url",)
    schemes = SQL_SCHEMES

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
            raise Invalid([Fault(f"url: {wrong}", ("url",))])
        return self

    def load(self, context: Context) -> Mapping[str, Table]:
        with hiding_environment(self.url):
            paths = {split: self._frozen(context, query) for split, query in self._queries().items()}
        return {split: read_parquet([Part(path, self.url)], self.url, context.columns) for split, path in paths.items()}

    def data_files(self, context: Context) -> list[Path]:
        is_file = self.url.startswith(SQLITE) and "$env." not in self.url
        return [context.folder / self.url.removeprefix(SQLITE)] if is_file else []

    def digests(self, context: Context) -> dict[str, str]:
        with hiding_environment(self.url):
            return {f"sql {split}": self._frozen(context, query).stem for split, query in self._queries().items()}

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

    def _queries(self) -> dict[str, str]:
        queries = {"train": self.query, "validation": self.validation, "test": self.test}
        return {split: query for split, query in queries.items() if query is not None}


def _fault(url: str) -> str | None:
    """Return what is wrong with the address of a database; None if nothing is."""
    is_address = url.startswith((SQLITE, "postgresql://"))
    return None if is_address else f"expected {SQLITE}FILE or postgresql://HOST/DATABASE"
