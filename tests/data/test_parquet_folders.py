"""Folders of Parquet files with hive-style partitions: one table in the order of the paths, or a named error."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset, parquet

from kerascli.config.load import open_config
from kerascli.data.base import SOURCES, Context
from kerascli.data.storage import on_disk
from kerascli.data.storage.on_disk import OnDisk, in_memory
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import DataError, FileRefused
from kerascli.runs.index import find_run
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.train import start
from tests.support.runs_harness import go_on, outcome, train, write

RANDOM = np.random.default_rng(11)
CONFIG = """
seed: 5
data:
  source: {parquet: SOURCE}
  split: {validation: 0.2}
  inputs:
    x: [{columns: [x, year]}, {impute: mean}, normalization]
    region: [{impute: most_frequent}, {string_lookup: {output_mode: one_hot}}]
  targets: {y: []}
model:
  layers:
    - concatenate: [x, region]
    - dense: {units: 6, activation: relu}
    - dropout: 0.2
    - dense: 1
compile: {loss: mse, optimizer: {adam: 0.01}}
fit: {epochs: 2, batch_size: 32, validation_data: validation}
"""


def write_parts(folder: Path, rows: int = 60) -> Path:
    """Write eight files, whose columns are in another order and dictionary-encoded in some."""
    for year in (2023, 2024):
        for region in ("00Z", "a%2Fb", "__HIVE_DEFAULT_PARTITION__", "é"):
            path = folder / f"year={year}" / f"region={region}"
            path.mkdir(parents=True)
            x = RANDOM.normal(year, 5, rows)
            words = pa.array(RANDOM.choice(["a", "b"], rows).tolist())
            ids = RANDOM.integers(2**53, 2**62, rows)
            columns = {"x": pa.array(np.where(x < year - 6, np.nan, x)), "y": x, "id": ids, "w": words}
            if region == "00Z":
                columns = {"w": words.dictionary_encode(), **{name: columns[name] for name in ("y", "x", "id")}}
            parquet.write_table(pa.table(columns), path / "part-0.parquet", row_group_size=25)
    (folder / "_SUCCESS").write_text("")
    (folder / ".crc").mkdir()
    (folder / ".crc/x.txt").write_text("")
    return folder


def read(folder: Path, source: Any, columns: frozenset[str] | None = None) -> Table:
    return SOURCES.parse({"parquet": source}).load(Context(folder, 1, columns=columns))["train"]


@pytest.fixture
def to_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def switch() -> None:
        monkeypatch.setattr(on_disk, "MEMORY_BYTES", 0)
        monkeypatch.setattr(on_disk, "BLOCK_BYTES", 1000)

    return switch


@pytest.mark.parametrize("streamed", [False, True])
def test_a_folder_is_one_table_with_the_values_of_its_partitions(
    streamed: bool, tmp_path: Path, to_disk: Callable[[], None]
) -> None:
    write_parts(tmp_path / "sales")
    if streamed:
        to_disk()
    table = read(tmp_path, "sales")
    names = {name: pa.string() for name in ("year", "region")}
    form = dataset.partitioning(pa.schema(names.items()), flavor="hive")
    paths = sorted(p.relative_to(tmp_path / "sales").as_posix() for p in (tmp_path / "sales").rglob("*.parquet"))
    for name in ("x", "y", "id"):
        parts = [parquet.ParquetFile(tmp_path / "sales" / path).read()[name].to_numpy() for path in paths]
        assert isinstance(table[name], OnDisk) == streamed
        np.testing.assert_array_equal(in_memory(table[name]), np.concatenate(parts))
    oracle = dataset.dataset(tmp_path / "sales", partitioning=form, format="parquet").to_table()
    assert sorted(in_memory(table["region"]).tolist()) == sorted(oracle["region"].fill_null("").to_pylist())
    assert in_memory(table["region"])[:61].tolist() == ["00Z"] * 60 + [""]
    assert in_memory(table["year"]).dtype == np.int64
    assert set(in_memory(table["w"])) == {"a", "b"}
    assert str(table.place(61, "x")) == "sales/year=2023/region=__HIVE_DEFAULT_PARTITION__/part-0.parquet:2:x"


def test_partitions_have_types_as_columns_of_csv_or_those_of_dtypes(tmp_path: Path) -> None:
    for month, flag, size in (("01", "true", "1.5"), ("02", "false", "2")):
        path = tmp_path / f"t/month={month}/flag={flag}/size={size}"
        path.mkdir(parents=True)
        parquet.write_table(pa.table({"x": [1.0]}), path / "a.parquet")
    table = read(tmp_path, "t")
    assert [table.array(name).tolist() for name in ("month", "flag", "size")] == [[1, 2], [True, False], [1.5, 2.0]]
    table = read(tmp_path, {"path": "t", "dtypes": {"month": "text", "size": "number"}})
    assert table.array("month").tolist() == ["01", "02"]
    with pytest.raises(DataError, match="'true' is not a number, as dtypes says of 'flag'") as caught:
        read(tmp_path, {"path": "t", "dtypes": {"flag": "number"}})
    assert str(caught.value.faults[0].place) == "t/month=01/flag=true/size=1.5/a.parquet"
    with pytest.raises(DataError, match="there is no partition column 'x'"):
        read(tmp_path, {"path": "t", "dtypes": {"x": "text"}})


def test_training_on_a_folder_on_disk_is_training_in_memory_and_goes_on(
    tmp_path: Path, to_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parts(tmp_path / "sales")
    path = write(tmp_path, CONFIG.replace("SOURCE", "sales"))
    whole, _ = train(path, tmp_path / "memory")
    to_disk()
    streamed, _ = train(path, tmp_path / "disk")
    assert outcome(streamed) == outcome(whole)
    monkeypatch.setattr("kerascli.workflow.fitting.saver.BATCH_SECONDS", -1.0)
    events = start(open_config(path), Options(runs_dir=tmp_path / "left"))
    next(event for event in events if type(event).__name__ == "Saved" and event.batch == 5)  # type: ignore[attr-defined]
    events.close()  # type: ignore[attr-defined]
    left = find_run("latest", tmp_path / "left")
    go_on(left)
    assert outcome(left) == outcome(whole)
    names = [f"sales/{p.relative_to(tmp_path / 'sales').as_posix()}" for p in (tmp_path / "sales").rglob("*.parquet")]
    assert list(left.facts()["data"]) == sorted(names)


def test_a_file_that_changed_or_came_is_told_on_resume(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "sales")
    record, _ = train(write(tmp_path, CONFIG.replace("SOURCE", "sales")), tmp_path / "runs", ["fit.epochs=1"])
    moved = folder / "year=2023/region=00Z/part-0.parquet"
    parquet.write_table(parquet.ParquetFile(moved).read().slice(1), moved)
    with pytest.raises(DataError, match=r"changed since the run began: sales/year=2023/region=00Z/part-0\.parquet"):
        go_on(record, ["fit.epochs=2"])


def test_new_rows_may_be_a_folder(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "sales")
    record, _ = train(write(tmp_path, CONFIG.replace("SOURCE", "sales")), tmp_path / "runs", ["fit.epochs=1"])
    run = open_run(record)
    whole = predict_run(run, str(folder)).outputs
    (name,) = whole
    assert len(whole[name]) == 480
    evaluation = evaluate_rows(run, rows_of(run, str(folder), targets=True), "sales")
    assert np.isfinite(evaluation.result.logs["loss"])
    # a partition of which only values that look like numbers are there is text, as in training
    (tmp_path / "new/year=2024/region=7").mkdir(parents=True)
    os.rename(folder / "year=2024/region=00Z/part-0.parquet", tmp_path / "new/year=2024/region=7/a.parquet")
    assert len(predict_run(run, str(tmp_path / "new")).outputs[name]) == 60


def parts_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def rename(folder: Path, old: str, new: str) -> None:
    (folder / new).parent.mkdir(parents=True, exist_ok=True)
    os.rename(folder / old, folder / new)


def rewrite(folder: Path, **columns: Any) -> None:
    path = folder / "year=2024/region=00Z/part-0.parquet"
    table = parquet.ParquetFile(path).read()
    for name, values in columns.items():
        table = table.drop_columns([name])
        table = table if values is None else table.append_column(name, pa.array(values))
    parquet.write_table(table, path)


FILE = "sales/year=2024/region=00Z/part-0.parquet"
FIRST = "'sales/year=2023/region=00Z/part-0.parquet'"


@pytest.mark.parametrize(
    ("damage", "kind", "place", "text"),
    [
        (lambda f: rewrite(f, x=["a"] * 60), DataError, FILE, f"column 'x' is string, and in {FIRST} double"),
        (lambda f: rewrite(f, x=None), DataError, FILE, f"column 'x' is missing, and in {FIRST} double"),
        (lambda f: rename(f, "year=2024/region=00Z/part-0.parquet", "year=2024/part-0.parquet"), DataError,
         "sales/year=2024/part-0.parquet", "the partition columns year; 'year=2023/region=00Z/part-0.parquet' has the"),
        (lambda f: rename(f, "year=2024/region=00Z", "year=2024/region=%FF"), DataError,
         "sales/year=2024/region=%FF/part-0.parquet", "the folder 'region=%FF' is not UTF-8"),
        (lambda f: rename(f, "year=2024/region=00Z", "year=2024/year=2025"), DataError,
         "sales/year=2024/year=2025/part-0.parquet", "the folder 'year=2025' names a column twice"),
        (lambda f: (f / "year=2024/notes.txt").write_text(""), DataError, "sales/year=2024/notes.txt",
         "expected files of Parquet alone"),
        (lambda f: (f / "year=2024/region=00Z/part-0.parquet").write_bytes(b"PAR1xxxx"), FileRefused, None,
         f"'{FILE}' is damaged: "),
        (lambda f: os.rename(f, f.with_name("moved")) or f.mkdir(), DataError, None, "there are no files of Parquet"),
        (lambda f: [rename(f, str(p.relative_to(f)), f"x=1/{i}.parquet") for i, p in enumerate(parts_of(f))], DataError,
         "sales/x=1/0.parquet", "column 'x' is in the file, and in the name of its folder"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_file(
    damage: Callable[[Path], Any], kind: type[Exception], place: str | None, text: str, tmp_path: Path
) -> None:
    damage(write_parts(tmp_path / "sales"))
    with pytest.raises(kind) as caught:
        read(tmp_path, "sales", frozenset({"x", "y", "region"}))
    fault = caught.value.faults[0]  # type: ignore[attr-defined]
    assert fault.text.startswith(text)
    assert (fault.place and str(fault.place)) == place


def test_columns_that_are_not_in_use_may_differ(tmp_path: Path) -> None:
    rewrite(write_parts(tmp_path / "sales"), id=[[1]] * 60)
    assert read(tmp_path, "sales", frozenset({"x"})).rows == 480


def test_a_file_that_changes_in_use_is_told(tmp_path: Path, to_disk: Callable[[], None]) -> None:
    to_disk()
    folder = write_parts(tmp_path / "sales")
    table = read(tmp_path, "sales")
    rewrite(folder, x=[1.0] * 60)
    with pytest.raises(DataError, match="changed while it was in use") as caught:
        list(on_disk.blocks(table.column("x")))
    assert str(caught.value.faults[0].place) == FILE


def test_the_type_of_an_empty_column_is_told(tmp_path: Path) -> None:
    lists = pa.table({"x": pa.array([], pa.list_(pa.int64())), "y": pa.array([], pa.int64())})
    parquet.write_table(lists, tmp_path / "empty.parquet")
    with pytest.raises(DataError, match=r"'x' holds list<.*>; expected numbers or text"):
        read(tmp_path, "empty.parquet").array("x")
