"""Read a sample of a table's rows for `kerascli init`, and find the settings of the data source for the table."""

import csv
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerascli.config.starter.sample import MAX_BYTES, sample_text
from kerascli.config.starter.text_form import Fields, detect
from kerascli.data.storage.compressed import uncompressed_suffix
from kerascli.data.storage.delimited.csv_text import TextColumns, read_csv
from kerascli.data.storage.json_lines import read_json_lines
from kerascli.data.storage.parquet_columns import ParquetColumns
from kerascli.data.storage.text_columns import TextFormat
from kerascli.foundation.disk.storage import write_bytes
from kerascli.foundation.errors import ConfigError, DataError, Fault, Place, safe_text

TABLES = (".csv", ".tsv", ".txt", ".tab", ".dat", ".jsonl", ".ndjson", ".parquet", ".pq")
_PARQUET_ROWS = 50_000
_UNFIT = {
    "expected numbers or text": "its type is neither number nor text",
    "numbers beyond 2**53": "integers beyond 2**53 beside missing values",
}
"""Mapping from a part of the error about a column of Parquet that is left out to the reason."""


@dataclass(frozen=True, slots=True)
class Looked:
    """Sample of a table: its columns as arrays, and the config's data source, which reads the whole table."""

    name: str
    source: str
    settings: dict[str, Any]
    """Arguments of the data source other than `path`."""
    columns: Mapping[str, np.ndarray]
    rows: int
    """Number of rows of the sample."""
    all_rows: int
    """Number of rows of the table; an estimate if the sample is not the whole table."""
    findings: list[str] = field(default_factory=list)
    """Texts about the table's format (delimiter, encoding ...), for comments in the config."""
    small: bytes | None = None
    """File of the same format with the sample alone, to try a config on; None if the sample is the whole table."""

    def text(self, column: str) -> np.ndarray:
        """Return the values of a column as texts, without the missing ones."""
        values = self.columns[column]
        return values[values != ""] if values.dtype == object else values.astype(str)

    def put_small(self, folder: Path) -> Path | None:
        """Write the sample to a folder as a table of the same format; return its path, None if it is the whole
        table."""
        if self.small is None:
            return None
        write_bytes(folder / "sample", self.small)
        return folder / "sample"


def look(path: Path) -> Looked:
    """Return a sample of a table: of delimited text, JSON Lines or Parquet.
    Raises ConfigError, DataError, FileRefused."""
    name, suffix = str(path), uncompressed_suffix(path)
    if suffix in (".parquet", ".pq"):
        return _parquet(path, name)
    if suffix in (".jsonl", ".ndjson"):
        return _json_lines(path, name)
    if suffix in (".json", ".xlsx", ".xls", ".npz", ".npy", ".pkl", ".feather", ".h5", ".yaml", ".yml"):
        text = f"'{safe_text(name)}': init reads CSV, TSV, JSON Lines and Parquet, folders of images and of texts"
        raise ConfigError(text, hint=f"write the table as {safe_text(path.stem)}.csv, or as .jsonl or .parquet")
    return _delimited(path, name)


def _delimited(path: Path, name: str) -> Looked:
    sample = sample_text(path, name)
    found = detect(sample.pieces, sample.encoding, name, whole=sample.whole)
    form = found.form
    if sample.whole:
        read_csv(sample.pieces[0].encode(form.encoding), name, form)  # says what is wrong with which line
    columns = {column: form.present(fields) for column, fields in found.columns.items()}
    typed = TextColumns(columns, form)
    rows = len(next(iter(columns.values())))
    settings = _settings(form)
    source = "tsv" if form.delimiter == "\t" else "csv"
    if source == "tsv":
        settings.pop("delimiter")
    findings = _said(form)
    all_rows = rows if sample.whole else int(rows / (sample.share or 0.5))
    if not sample.whole:
        findings.insert(0, f"looked at {rows:,} rows, from all parts of the file, of about {_round(all_rows):,}")
    small = None if sample.whole else _delimited_file(found)
    return Looked(name, source, settings, typed, rows, all_rows, findings, small)


def _delimited_file(found: Fields) -> bytes:
    """Return delimited text with the rows of a sample, in the file's format."""
    form = found.form
    text = io.StringIO("\n" * form.skip_rows, newline="")
    text.seek(0, io.SEEK_END)
    quoting = csv.QUOTE_MINIMAL if form.quotes else csv.QUOTE_NONE
    writer = csv.writer(text, delimiter=form.delimiter, quoting=quoting, quotechar='"' if form.quotes else None)
    if not form.names:
        writer.writerow(found.columns)
    writer.writerows(zip(*found.columns.values(), strict=True))
    return text.getvalue().encode(form.encoding)


def _settings(form: TextFormat) -> dict[str, Any]:
    default = TextFormat()
    found = {
        "delimiter": form.delimiter, "encoding": form.encoding, "names": list(form.names), "quotes": form.quotes,
        "na_values": sorted(form.na_values), "decimal": form.decimal, "thousands": form.thousands,
        "skip_rows": form.skip_rows, "comment": form.comment, "dtypes": dict(form.dtypes),
    }  # fmt: skip
    usual = {key: getattr(default, key) for key in found} | {"names": [], "na_values": [], "dtypes": {}}
    return {key: value for key, value in found.items() if value != usual[key]}


def _said(form: TextFormat) -> list[str]:
    marks = {"\t": "tabs", ";": "';'", "|": "'|'", ",": "','"}
    found: list[str] = []
    if form.delimiter not in ",\t":
        found.append(f"fields are separated by {marks[form.delimiter]}")
    if form.encoding != "utf-8":
        found.append(f"the encoding is {form.encoding}: the file is no UTF-8")
    if form.skip_rows:
        found.append(f"{form.skip_rows} lines above the header are skipped")
    if form.comment:
        found.append(f"lines that begin with {form.comment} are comments")
    if form.names:
        found.append("no header: the first line has numbers like all others, so columns are column_1, column_2 ...")
    if form.decimal != ".":
        found.append(f"numbers have a decimal '{form.decimal}'")
    if form.thousands:
        found.append(f"numbers have '{form.thousands}' between thousands")
    if form.na_values:
        words = ", ".join(f"'{safe_text(word, 20)}'" for word in sorted(form.na_values))
        found.append(f"missing values: {words}, and empty fields")
    if form.dtypes:
        names = ", ".join(safe_text(name, 40) for name in form.dtypes)
        found.append(f"stay text, for their leading zeros: {names}")
    return found


def _json_lines(path: Path, name: str) -> Looked:
    sample = sample_text(path, name)
    text = "".join(sample.pieces)
    table = read_json_lines(text.encode(), name)
    lists = [column for column in table if table.array(column).ndim > 1]
    if lists:
        hint = "init takes columns of numbers and texts; write a config by hand, from: kerascli init --template mlp"
        raise DataError(Fault(f"column '{safe_text(lists[0])}' holds lists", place=Place(name), hint=hint))
    columns = {column: table.array(column) for column in table}
    all_rows = table.rows if sample.whole else int(table.rows / (sample.share or 0.5))
    findings = [] if sample.whole else [f"looked at {table.rows:,} rows of about {_round(all_rows):,}"]
    small = None if sample.whole else text.encode()
    return Looked(name, "json_lines", {}, columns, table.rows, all_rows, findings, small)


def _parquet(path: Path, name: str) -> Looked:
    file = ParquetColumns(path, name, frozenset())
    if not file.rows:
        raise DataError(Fault("the table has no rows", place=Place(name)))
    whole = file.rows <= _PARQUET_ROWS and os.stat(path).st_size <= 8 * MAX_BYTES
    columns: dict[str, np.ndarray] = {}
    findings: list[str] = []
    for column in file:
        try:
            if whole:
                values = file[column]
                assert isinstance(values, np.ndarray)
            else:
                part = next(file.stream(column, _PARQUET_ROWS))
                values = file.array(part, column, missing=part.null_count > 0)
        except DataError as error:
            reason = next((why for said, why in _UNFIT.items() if said in error.faults[0].text), None)
            if reason is None:
                raise
            findings.append(f"left out: {safe_text(column, 40)} ({reason})")
            continue
        columns[column] = values
    if not columns:
        raise DataError(Fault("no column holds numbers or text", place=Place(name)))
    rows = len(next(iter(columns.values())))
    if not whole:
        findings.insert(0, f"looked at the first {rows:,} rows of {file.rows:,}")
    small = None if whole else file.first(_PARQUET_ROWS)
    return Looked(name, "parquet", {}, columns, rows, file.rows, findings, small)


def _round(rows: int) -> int:
    digits = max(0, len(str(rows)) - 2)
    return round(rows, -digits)
