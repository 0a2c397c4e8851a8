"""Read a sample of a table's rows for `kerascli init`, with the settings of the data source that reads the table."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerascli.config.composition.references import escape_references
from kerascli.config.starter.draft import Draft
from kerascli.config.starter.text_form import Fields, detect
from kerascli.config.starter.text_sample import MAX_BYTES, TextSample, sample_text
from kerascli.data.storage.column import Column
from kerascli.data.storage.compressed import uncompressed_suffix
from kerascli.data.storage.delimited.csv_text import read_csv
from kerascli.data.storage.delimited.text_format import TextFormat
from kerascli.data.storage.json_lines import read_json_lines
from kerascli.data.storage.parquet_columns import ParquetColumns
from kerascli.data.storage.partitions import Part
from kerascli.foundation.disk.storage import csv_text
from kerascli.foundation.errors import ConfigError, DataError, safe_text
from kerascli.language.component import changed_arguments, plain

_OTHER_FILES = (".json", ".xlsx", ".xls", ".npz", ".npy", ".pkl", ".feather", ".h5", ".yaml", ".yml")
_PARQUET_ROWS = 50_000
_UNFIT = {
    "expected numbers or text": "its type is neither number nor text",
    "numbers beyond 2**53": "integers beyond 2**53 beside missing values",
}
"""Mapping from a part of the error about a column of Parquet that is left out to the reason."""


@dataclass(frozen=True, slots=True)
class SampledTable:
    """Sample of the rows of a table's file, as arrays (rows,) by column name, from which a config is generated.

    The object also has the name (`source`) and arguments (`settings`) of the data source that reads the whole table in
    the config.
    """

    name: str
    """Name of the table's file in messages."""
    source: str
    settings: dict[str, Any]
    """Arguments of the data source other than `path`."""
    columns: Mapping[str, np.ndarray]
    rows: int
    """Number of rows of the sample."""
    all_rows: int
    """Number of rows of the table; an estimate if the sample is not the whole table."""
    notes: list[str] = field(default_factory=list)
    """Texts about the table's format (delimiter, encoding ...), for comments in the config."""

    def draft(
        self, summary: str, path: str, classes: Sequence[str] = (), *, balanced: bool = False
    ) -> tuple[Draft, dict[str, Any]]:
        """Return (new draft of a config with the notes on the table as reasons, the config's data source).

        `summary`, `classes` and `balanced` are those of the draft, `path` the path of the table's file for the data
        source.
        """
        draft = Draft(summary, self.all_rows, classes, balanced)
        draft.decide("data", *self.notes)
        return draft, {self.source: escape_references({"path": path, **self.settings})}


def sample_table(path: Path) -> SampledTable:
    """Read a sample of a table in a file of delimited text, JSON Lines or Parquet.

    Raises ConfigError, DataError, FileRefused.
    """
    name, suffix = str(path), uncompressed_suffix(path)
    if suffix in (".parquet", ".pq"):
        return _parquet(path, name)
    if suffix in _OTHER_FILES:
        text = f"'{safe_text(name)}': init reads CSV, TSV, JSON Lines and Parquet, folders of images and of texts"
        raise ConfigError(text, hint=f"write the table as {safe_text(path.stem)}.csv, or as .jsonl or .parquet")
    return (_json_lines if suffix in (".jsonl", ".ndjson") else _delimited)(name, sample_text(path, name))


def _delimited(name: str, sample: TextSample) -> SampledTable:
    fields, form = detect(sample.pieces, sample.encoding, name, whole=sample.whole)
    text = sample.pieces[0] if sample.whole else _delimited_text(fields, form)
    table = read_csv(text.encode(form.encoding), name, form)
    settings, notes = {name: plain(value) for name, value in changed_arguments(form).items()}, _notes(form)
    source = "tsv" if settings.get("delimiter") == "\t" else "csv"
    if source == "tsv":
        del settings["delimiter"]
    all_rows = sample.all_rows(table.rows)
    if not sample.whole:
        notes.insert(0, f"looked at {table.rows:,} rows, from all parts of the file, of about {_round(all_rows):,}")
    columns = {column: table.array(column) for column in table}
    return SampledTable(name, source, settings, columns, table.rows, all_rows, notes)


def _delimited_text(fields: Fields, form: TextFormat) -> str:
    """Return delimited text with the rows of a sample, in the file's format."""
    rows = [*([] if form.names else [fields]), *zip(*fields.values(), strict=True)]
    plain_lines = (f"{form.delimiter.join(row)}\n" for row in rows)
    text = csv_text(rows, form.delimiter) if form.quotes else "".join(plain_lines)
    return "\n" * form.skip_rows + text


def _notes(form: TextFormat) -> list[str]:
    marks = {"\t": "tabs", ";": "';'", "|": "'|'", ",": "','"}
    words = ", ".join(f"'{safe_text(word, 20)}'" for word in form.na_values)
    texts = ", ".join(safe_text(name, 40) for name in form.dtypes)
    notes = (
        (form.delimiter not in ",\t", f"fields are separated by {marks[form.delimiter]}"),
        (form.encoding != "utf-8", f"the encoding is {form.encoding}: the file is no UTF-8"),
        (form.skip_rows, f"{form.skip_rows} lines above the header are skipped"),
        (form.comment, f"lines that begin with {form.comment} are comments"),
        (form.names, "no header: the first line has numbers like all others, so columns are column_1, column_2 ..."),
        (form.decimal != ".", f"numbers have a decimal '{form.decimal}'"),
        (form.thousands, f"numbers have '{form.thousands}' between thousands"),
        (form.na_values, f"missing values: {words}, and empty fields"),
        (form.dtypes, f"stay text, for their leading zeros: {texts}"),
    )
    return [note for is_so, note in notes if is_so]


def _json_lines(name: str, sample: TextSample) -> SampledTable:
    table = read_json_lines("".join(sample.pieces).encode(), name)
    columns = {column: table.array(column) for column in table}
    if lists := [column for column, values in columns.items() if values.ndim > 1]:
        hint = "init takes columns of numbers and texts; write a config by hand, from: kerascli init --template mlp"
        raise DataError(f"column '{safe_text(lists[0])}' holds lists", place=name, hint=hint)
    all_rows = sample.all_rows(table.rows)
    notes = [] if sample.whole else [f"looked at {table.rows:,} rows of about {_round(all_rows):,}"]
    return SampledTable(name, "json_lines", {}, columns, table.rows, all_rows, notes)


def _parquet(path: Path, name: str) -> SampledTable:
    file = ParquetColumns([Part(path, name)], frozenset())
    if not file.rows:
        raise DataError("the table has no rows", place=name)
    whole = file.rows <= _PARQUET_ROWS and os.stat(path).st_size <= 8 * MAX_BYTES
    columns: dict[str, np.ndarray] = {}
    notes: list[str] = []
    for column in file:
        try:
            values = file[column] if whole else file.first_rows(column, _PARQUET_ROWS)
            columns[column] = values.array() if isinstance(values, Column) else np.asarray(values)
        except DataError as error:
            reason = next((why for text, why in _UNFIT.items() if text in error.faults[0].text), None)
            if reason is None:
                raise
            notes.append(f"left out: {safe_text(column, 40)} ({reason})")
    if not columns:
        raise DataError("no column holds numbers or text", place=name)
    rows = len(next(iter(columns.values())))
    if not whole:
        notes.insert(0, f"looked at the first {rows:,} rows of {file.rows:,}")
    return SampledTable(name, "parquet", {}, columns, rows, file.rows, notes)


def _round(rows: int) -> int:
    return round(rows, -max(0, len(str(rows)) - 2))
