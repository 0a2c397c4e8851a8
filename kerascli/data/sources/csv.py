"""Source `csv`: files of delimited text."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator
from pydantic import Field as Setting

from kerascli.data.base import Field, source
from kerascli.data.remote.frozen_text import exceeds_memory, read_frozen
from kerascli.data.sources.file_source import TextFileSource
from kerascli.data.sources.named_files import TableOfFiles
from kerascli.data.storage.delimited.csv_text import read_csv, read_csv_file
from kerascli.data.storage.delimited.text_format import TextFormat
from kerascli.data.storage.table import Table
from kerascli.foundation.shapes import NonNegativeInt, Words


def _known_encoding(encoding: str) -> str:
    try:
        bytes(4).decode(encoding)  # some codecs are not text encodings, and one always fails
    except (LookupError, ValueError):
        raise ValueError(f"there is no encoding '{encoding}'; for example utf-8, latin-1 or cp1252") from None
    return encoding


@source()
class Csv(TableOfFiles, TextFileSource):
    """Delimited text files with a header line; columns of numbers, booleans (`true`, `false`) or text.

    An empty field is a missing value; others are those in `na_values`. Files may be compressed: gzip, bzip2, Zstandard.
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
    na_values: Words = ()
    """Fields that are missing values, beside empty ones, for example [NA, "-"]."""
    decimal: Annotated[str, Setting(min_length=1, max_length=1)] = "."
    """Decimal separator of numbers."""
    thousands: Annotated[str, Setting(min_length=1, max_length=1)] | None = None
    """Thousands separator of numbers; null: they have none."""
    skip_rows: NonNegativeInt = 0
    """Number of lines to skip at the start of a file, before the header."""
    comment: Annotated[str, Setting(min_length=1)] | None = None
    """Prefix of lines to skip; null: no line is a comment."""
    dtypes: dict[str, Literal["text", "number"]] = Setting(default={})
    """Mapping from column to its type: text (keeps zip codes as they are) or number.
    Other columns are numbers (or booleans) if every field is one, else text."""

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        marks = {"delimiter": self.delimiter, "decimal": self.decimal, "thousands": self.thousands}
        names = list(marks)
        for i, name in enumerate(names):
            for other in names[i + 1 :]:
                if marks[name] == marks[other]:
                    raise ValueError(f"{other}: '{marks[other]}' is the {name} already")
        return self

    def text_format(self) -> TextFormat:
        """Return the source's settings of delimited text (delimiter, encoding ...) for the parser."""
        return TextFormat(
            self.delimiter, self.encoding, self.names, self.quotes, frozenset(self.na_values), self.decimal,
            self.thousands or "", self.skip_rows, self.comment or "", self.dtypes,
        )  # fmt: skip

    def read_file(self, path: Path, name: str, columns: frozenset[str] | None = None) -> Table:
        form = self.text_format()
        if exceeds_memory(path) and "a\n".encode(self.encoding).endswith(b"a\n"):

            def parse(block: bytes, is_first: bool) -> Table:
                return read_csv(block, name, form if is_first else replace(form, skip_rows=0))

            return read_frozen(path, name, repr(form), parse, columns, form)
        return read_csv_file(path, name, form, columns)


@source()
class Tsv(Csv):
    """Text files with a header line and tabs between the fields; otherwise as `csv`."""

    delimiter: Annotated[str, Setting(min_length=1, max_length=1)] = "\t"
    """Character that separates fields."""
