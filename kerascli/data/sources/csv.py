"""Source `csv`: files of delimited text."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator
from pydantic import Field as Setting

from kerascli.data.base import Field, source
from kerascli.data.sources.file_source import FileSource
from kerascli.data.storage.csv_text import read_csv
from kerascli.data.storage.table import Table
from kerascli.files import memory_limit, read_bytes
from kerascli.shapes import Words


def _known_encoding(encoding: str) -> str:
    try:
        bytes(4).decode(encoding)  # some codecs are not text encodings, and one always fails
    except (LookupError, ValueError):
        raise ValueError(f"there is no encoding '{encoding}'; for example utf-8, latin-1 or cp1252") from None
    return encoding


@source()
class Csv(FileSource):
    """Delimited text files with a header line; columns of numbers or text.

    An empty field is a missing value. Nothing else is: "NA" and "null" are text.
    """

    any_column = Field((), "unknown")

    delimiter: Annotated[str, Setting(min_length=1, max_length=1)] = ","
    """Character that separates fields."""
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    """Text encoding of the files, for example utf-8, latin-1 or cp1252."""
    names: Words = ()
    """Column names for files without a header line; empty: the first line is the header."""
    quotes: bool = True
    """Allow fields in double quotes; false: a double quote is an ordinary character."""

    def read(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        return self.read_file(path, name, columns)

    def read_file(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        data = read_bytes(path, memory_limit() // 8, name)  # as Python objects, fields take several times their bytes
        return read_csv(
            data, name, delimiter=self.delimiter, encoding=self.encoding, header=self.names, quotes=self.quotes
        )


@source()
class Tsv(Csv):
    """Columns of numbers or text in a file whose fields are separated by tabs; an empty field is a missing value."""

    delimiter: Annotated[str, Setting(min_length=1, max_length=1)] = "\t"
    """What stands between two fields."""
