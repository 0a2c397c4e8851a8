"""Read a data file of any supported format as a table of raw rows, for `predict` and `evaluate`."""

from pathlib import Path

from kerascli.data.section import DataSpec, Pipeline
from kerascli.data.sources.npz import read_npz
from kerascli.data.sources.parquet import read_parquet
from kerascli.data.sources.timeseries import Timeseries
from kerascli.data.storage.array_files import read_arrays
from kerascli.data.storage.compressed import read_text_file, uncompressed_suffix
from kerascli.data.storage.delimited.csv_text import read_csv
from kerascli.data.storage.json_lines import read_json_lines
from kerascli.data.storage.table import Table, table_of
from kerascli.data.storage.text_format import TextFormat
from kerascli.foundation.disk.files import open_regular
from kerascli.foundation.errors import DataError, Fault, Place

_TEXT = {".csv": ",", ".tsv": "\t", ".txt": ","}
_JSON_LINES = (".jsonl", ".ndjson")


def read_raw(spec: DataSpec, path: Path, *, columns: frozenset[str], name: str | None = None) -> Table:
    """Read the data file at `path`, of any supported format, as a table. Raises DataError, FileRefused.

    The format is detected from the content, else from the suffix. Text is read with the settings of the run's source
    (delimiter, encoding), if it has any. `columns` are those in use; `name` is the file in messages. Of windows over a
    series the file holds the series.
    """
    name = name or str(path)
    if isinstance(spec.source, Timeseries):
        rows = spec.source.row_columns(columns)
        pipelines = {column: Pipeline((column,), stacked=False, steps=()) for column in rows}
        series = spec.model_copy(update={"source": spec.source.source, "inputs": pipelines, "targets": {}})
        return spec.source.windows(read_raw(series, path, columns=rows, name=name), name, columns)
    with open_regular(path, name) as file:
        head = file.read(8)
    if head.startswith(b"PK\x03\x04"):
        return read_npz(path, name)
    if head.startswith(b"\x93NUMPY"):
        return _npy(spec, path, name)
    if head.startswith(b"PAR1"):
        return read_parquet(path, name, columns)
    suffix = uncompressed_suffix(path)
    if suffix in _JSON_LINES:
        data, packed = read_text_file(path, name)
        return read_json_lines(data, name, packed=packed)
    table = spec.source.read(path, name, columns)
    if table is not None:
        return table
    if suffix in _TEXT:
        data, packed = read_text_file(path, name)
        return read_csv(data, name, TextFormat(_TEXT[suffix]), columns, packed)
    raise DataError(Fault("expected a csv, tsv, jsonl, npz, npy or parquet file", place=Place(name)))


def _npy(spec: DataSpec, path: Path, name: str) -> Table:
    """Read an npy file as the one column that all inputs are computed from. Raises DataError if they use several."""
    columns = {column for pipeline in spec.inputs.values() for column in pipeline.columns}
    if len(columns) != 1:
        text = f"a single array, but the inputs use {len(columns)} columns: {', '.join(sorted(columns))}"
        raise DataError(Fault(text, place=Place(name), hint="save them by name with numpy.savez"))
    (array,) = read_arrays(path, name).values()
    return table_of({columns.pop(): array}, name)
