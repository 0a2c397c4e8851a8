"""Data that stays on disk gives the same batches as data in memory, with little memory."""

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet

from kerascli.config.data import load_config_data
from kerascli.config.load import open_config
from kerascli.data.base import Context
from kerascli.data.batches import loader
from kerascli.data.batches.loader import BatchSource
from kerascli.data.batches.order import Order
from kerascli.data.batches.rows import DiskSplit, MemorySplit
from kerascli.data.pipeline.prepare import PreparedData, load_data
from kerascli.data.section import parse_data
from kerascli.data.sources.npz import read_npz
from kerascli.data.storage import on_disk
from kerascli.data.storage.array_files import read_arrays
from kerascli.data.storage.blocks import Blocks, medians, unique_counts, unique_inverse
from kerascli.data.storage.mapped import Mapped, spill
from kerascli.data.storage.on_disk import Direct, Rows, Stream, recut
from kerascli.data.storage.table import table_of
from kerascli.foundation.disk import files
from kerascli.foundation.errors import DataError, FileRefused, StorageError
from kerascli.runs.index import find_run
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.train import Options, start
from tests.support.data_harness import whole
from tests.support.runs_harness import go_on, outcome, train, write

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(3)
ROWS = 500
X = RANDOM.normal(3, 5, (ROWS, 5)).astype(np.float32)
X[RANDOM.random((ROWS, 5)) < 0.05] = np.nan
X[0] = 1.0
Y = RANDOM.integers(0, 4, ROWS)
WEIGHT = RANDOM.random(ROWS)
WORDS = RANDOM.choice(["red", "green", "blue", ""], ROWS)
COUNTS = [None if row % 7 == 3 else int(row % 5) for row in range(ROWS)]

ARRAYS = """
  inputs:
    x: [{impute: median}, normalization]
  targets: {y: [to_categorical]}
  sample_weight: {y: [{columns: w}]}
"""
COLUMNS = """
  inputs:
    x: [{columns: [x0, x1, x2, x3, x4]}, {impute: mean}, normalization]
    word: [{impute: most_frequent}, {string_lookup: {output_mode: one_hot}}]
    count: [{impute: most_frequent}, {cast: int64}, {integer_lookup: {output_mode: one_hot}}]
  targets: {y: [to_categorical]}
  sample_weight: {y: [{columns: w}]}
"""
SPLIT = "  split: {validation: 0.1, test: 0.2, stratify: y}"
REST = """
seed: 5
model:
  layers:
    MERGE
    - dense: {units: 8, activation: relu}
    - dropout: 0.2
    - dense: {units: 4, activation: softmax}
compile: {loss: categorical_crossentropy, optimizer: {adam: 0.01}, metrics: [accuracy]}
fit: {epochs: 3, batch_size: 32, validation_data: validation}
"""


def npy(folder: Path) -> str:
    (folder / "arrays").mkdir()
    for name, values in (("x", X), ("y", Y), ("w", WEIGHT)):
        np.save(folder / f"arrays/{name}.npy", values)
    return "{npz: arrays}"


def npz(folder: Path) -> str:
    np.savez(folder / "t.npz", x=X, y=Y, w=WEIGHT)
    return "{npz: t.npz}"


def half_packed(folder: Path) -> str:
    """An npz file in which some arrays are compressed."""
    np.savez_compressed(folder / "t.npz", y=Y, w=WEIGHT)
    np.savez(folder / "x.npz", x=X)
    import zipfile

    with zipfile.ZipFile(folder / "t.npz", "a") as archive, zipfile.ZipFile(folder / "x.npz") as other:
        archive.writestr("x.npy", other.read("x.npy"))
    return "{npz: t.npz}"


def function(folder: Path) -> str:
    """A data function that returns memory-mapped arrays."""
    npy(folder)
    code = "from pathlib import Path\nimport numpy as np\nARRAYS = Path(__file__).parent / 'arrays'\n"
    code += "def load():\n    return {name: np.load(ARRAYS / f'{name}.npy', mmap_mode='r') for name in 'xyw'}\n"
    write(folder, code, "own.py")
    return "{python: 'own.py:load'}"


def columns(folder: Path) -> str:
    numbers = {f"x{i}": X[:, i] for i in range(5)}
    count = pyarrow.array(COUNTS, pyarrow.int16())
    table = pyarrow.table(
        {**numbers, "word": pyarrow.array(WORDS).dictionary_encode(), "count": count, "y": Y, "w": WEIGHT}
    )
    parquet.write_table(table, folder / "t.parquet", row_group_size=70)
    return "{parquet: t.parquet}"


FORMATS = [npy, npz, half_packed, function, columns]


def config(folder: Path, make: Callable[[Path], str]) -> Path:
    pipelines = COLUMNS if make is columns else ARRAYS
    merge = "- concatenate: [x, word, count]" if make is columns else "- dense: 8"
    return write(folder, f"data:\n  source: {make(folder)}\n{SPLIT}{pipelines}{REST.replace('MERGE', merge)}")


@pytest.fixture
def to_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Treat all data as too large for memory, in blocks of about fifty rows."""

    def switch() -> None:
        monkeypatch.setattr(on_disk, "MEMORY_BYTES", 0)
        monkeypatch.setattr(on_disk, "BLOCK_BYTES", 1000)

    return switch


@pytest.mark.parametrize("make", FORMATS)
def test_training_on_disk_is_training_in_memory_to_the_last_bit(
    make: Callable[[Path], str], tmp_path: Path, to_disk: Callable[[], None]
) -> None:
    path = config(tmp_path, make)
    there = load_config_data(open_config(path)).splits
    in_memory, _ = train(path, tmp_path / "memory")
    to_disk()
    here = load_config_data(open_config(path)).splits
    for name, split in there.items():
        assert isinstance(split, MemorySplit)
        assert isinstance(here[name], DiskSplit)
        for one, other in zip(split.sections(), whole(here[name]).sections(), strict=True):
            assert one.keys() == other.keys()
            for key, values in one.items():
                assert values.dtype == other[key].dtype
                assert values.tobytes() == other[key].tobytes(), key
    from_disk, _ = train(path, tmp_path / "disk")
    assert outcome(from_disk) == outcome(in_memory)
    assert len(from_disk.history()) == 3


@pytest.mark.parametrize("make", FORMATS)
def test_evaluating_and_predicting_on_disk_is_the_same(
    make: Callable[[Path], str], tmp_path: Path, to_disk: Callable[[], None]
) -> None:
    path = config(tmp_path, make)
    record, _ = train(path, tmp_path / "runs", ["fit.epochs=1"])
    file = str(tmp_path / "t.parquet") if make is columns else str(tmp_path / "raw.npz")
    np.savez(tmp_path / "raw.npz", x=X, y=Y, w=WEIGHT)

    def judge() -> Iterator[Any]:
        run = open_run(record)
        for what in ("test", file):
            rows = rows_of(run, what, targets=True)
            yield isinstance(rows, DiskSplit)
            evaluation = evaluate_rows(run, rows, "test")
            yield dict(evaluation.result.logs), [c.matrix.tolist() for c in evaluation.class_scores]
            yield {name: values.tolist() for name, values in predict_run(run, what).outputs.items()}

    in_memory = list(judge())
    to_disk()
    from_disk = list(judge())
    assert (in_memory[0::3], from_disk[0::3]) == ([False, False], [True, True])
    assert [r for i, r in enumerate(in_memory) if i % 3] == [r for i, r in enumerate(from_disk) if i % 3]


@pytest.mark.parametrize("make", [npz, columns])
def test_a_run_on_disk_goes_on_in_mid_epoch(
    make: Callable[[Path], str], tmp_path: Path, to_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    to_disk()
    path = config(tmp_path, make)
    calm, _ = train(path, tmp_path / "calm")
    monkeypatch.setattr("kerascli.workflow.fitting.saver.BATCH_SECONDS", -1.0)
    events = start(open_config(path), Options(runs_dir=tmp_path / "left"))
    saved = (event for event in events if type(event).__name__ == "Saved" and event.batch == 5)  # type: ignore[attr-defined]
    next(saved)
    events.close()  # type: ignore[attr-defined]
    left = find_run("latest", tmp_path / "left")
    go_on(left)
    assert outcome(left) == outcome(calm)


def test_a_file_that_changed_is_not_gone_on_with(tmp_path: Path, to_disk: Callable[[], None]) -> None:
    to_disk()
    record, _ = train(config(tmp_path, npy), tmp_path / "runs", ["fit.epochs=1"])
    np.save(tmp_path / "arrays/x.npy", X + 1)
    with pytest.raises(DataError, match=r"the data has changed since the run began: x\.npy"):
        go_on(record, ["fit.epochs=2"])


def test_very_large_files_are_known_by_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SAMPLED_BYTES", 2**20)
    x = np.arange(2**19, dtype=np.float64)
    found = set()
    for number, place in enumerate([None, 0, -1, len(x) // 2]):
        changed = x.copy()
        if place is not None:
            changed[place] += 1
        np.save(tmp_path / f"{number}.npy", changed)
        found.add(files.file_digest(tmp_path / f"{number}.npy"))
    assert len(found) == 4
    assert all(digest.startswith("sampled:") for digest in found)


def load(folder: Path, source: Any, **section: Any) -> PreparedData:
    return load_data(parse_data({"source": source, **section}), Context(folder, 1))


@pytest.mark.parametrize("shuffle", [True, False])
def test_an_epoch_has_every_row_once_in_the_order_of_its_seed(
    shuffle: bool, tmp_path: Path, to_disk: Callable[[], None]
) -> None:
    to_disk()
    np.save(tmp_path / "x.npy", np.arange(1000, dtype=np.int32))
    split = load(tmp_path, {"npz": "x.npy"}, inputs={"x": []}).splits["train"]
    source = BatchSource(split, 64, CPU, shuffle=shuffle, seed=9)
    for epoch in range(2):
        rows = [row for batch in source.epoch(epoch) for row in batch.inputs["x"].tolist()]
        assert rows == (Order(1000, 9, epoch)[:].tolist() if shuffle else list(range(1000)))
        assert sorted(rows) == list(range(1000))
        rest = [row for batch in source.epoch(epoch, start=3) for row in batch.inputs["x"].tolist()]
        assert rest == rows[3 * 64 :]
    left = source.epoch(2)
    assert next(left).rows == 64  # an epoch may be left in the middle


def test_a_device_with_room_gets_all_rows_at_once(
    tmp_path: Path, to_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    to_disk()
    path = config(tmp_path, half_packed)
    split = load_config_data(open_config(path)).splits["train"]
    one = BatchSource(split, 32, CPU, shuffle=True).epoch(0)
    monkeypatch.setattr(loader, "_fits", lambda split, device: True)
    monkeypatch.setattr(loader, "BLOCK_BYTES", 1000)
    for streamed, picked in zip(one, BatchSource(split, 32, CPU, shuffle=True).epoch(0), strict=True):
        for before, after in ((streamed.inputs, picked.inputs), (streamed.targets, picked.targets)):
            torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_the_bytes_of_images_stay_bytes(tmp_path: Path, to_disk: Callable[[], None]) -> None:
    to_disk()
    np.save(tmp_path / "x.npy", np.ones((50, 4, 4), np.uint8))
    data = load(tmp_path, {"npz": "x.npy"}, inputs={"x": [{"rescaling": 1 / 255}]})
    [batch, *_] = BatchSource(data.splits["train"], 8, CPU).epoch(0)
    assert batch.inputs["x"].dtype == torch.uint8


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_bad_value_is_reported_with_its_row(shuffle: bool, tmp_path: Path, to_disk: Callable[[], None]) -> None:
    to_disk()
    x = np.ones((200, 3), np.float32)
    x[120, 1] = np.inf
    np.save(tmp_path / "x.npy", x)
    split = load(tmp_path, {"npz": "x.npy"}, inputs={"x": []}).splits["train"]
    with pytest.raises(DataError, match="infinite value") as caught:
        list(BatchSource(split, 16, CPU, shuffle=shuffle).epoch(0))
    assert str(caught.value.faults[0].place) == "x.npy:121:x"


def test_a_token_out_of_range_is_reported_with_its_row(tmp_path: Path, to_disk: Callable[[], None]) -> None:
    to_disk()
    tokens = np.zeros((ROWS, 3), np.int32)
    tokens[77, 1] = 9
    np.savez(tmp_path / "t.npz", tokens=tokens, y=np.ones(ROWS))
    text = "data: {source: {npz: t.npz}, inputs: {tokens: []}, targets: {y: []}}\n"
    text += "model: {layers: [{embedding: {input_dim: 9, output_dim: 2}}, flatten, {dense: 1}]}\n"
    text += "compile: {loss: mse, optimizer: sgd}\nfit: {epochs: 1}\n"
    with pytest.raises(DataError, match=r"'tokens' holds 9; the embedding .* has rows 0 to 8") as refused:
        train(write(tmp_path, text), tmp_path / "runs")
    assert str(refused.value.faults[0].place) == "t.npz:78:tokens"


@pytest.mark.parametrize("where", ["npy", "npz"])
def test_a_truncated_file_is_refused(where: str, tmp_path: Path, to_disk: Callable[[], None]) -> None:
    to_disk()
    path = tmp_path / f"x.{where}"
    np.save(path, X) if where == "npy" else np.savez(path, x=X)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(FileRefused, match=r"declares 10,000 bytes of data|not a sound npz file"):
        load(tmp_path, {"npz": path.name}, inputs={"x": []})


def test_a_file_that_shrinks_in_use_ends_with_an_error(tmp_path: Path, to_disk: Callable[[], None]) -> None:
    to_disk()
    np.save(tmp_path / "x.npy", np.ones((10_000, 5), np.float32))
    split = load(tmp_path, {"npz": "x.npy"}, inputs={"x": []}).splits["train"]
    os.truncate(tmp_path / "x.npy", 1000)
    with pytest.raises(DataError, match="shortened while it was in use"):
        split.read(slice(9000, 9010))


def test_a_parquet_file_that_changes_in_use_ends_with_an_error(tmp_path: Path, to_disk: Callable[[], None]) -> None:
    to_disk()
    columns(tmp_path)
    [table] = (
        parse_data({"source": {"parquet": "t.parquet"}, "inputs": {"x0": []}})
        .source.load(Context(tmp_path, 1))
        .values()
    )
    parquet.write_table(pyarrow.table({"x0": [1.0]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="changed while it was in use"):
        list(on_disk.blocks(table.column("x0")))


def test_packed_arrays_are_read_into_memory_or_refused(
    tmp_path: Path, to_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    to_disk()
    np.savez_compressed(tmp_path / "t.npz", x=np.ones((1000, 5)))
    split = load(tmp_path, {"npz": "t.npz"}, inputs={"x": []}).splits["train"]
    assert isinstance(split, MemorySplit)
    monkeypatch.setattr("kerascli.foundation.disk.npz.memory_limit", lambda: 30_000)
    with pytest.raises(FileRefused, match="unpacks to 40,128 bytes; the limit here is 30,000") as caught:
        read_npz(tmp_path / "t.npz", "t.npz")
    assert "uncompressed" in (caught.value.faults[0].hint or "")


def test_arrays_that_lie_column_by_column_are_read_into_memory_or_refused(
    tmp_path: Path, to_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    to_disk()
    np.save(tmp_path / "x.npy", np.asfortranarray(X))
    column = read_npz(tmp_path / "x.npy", "x.npy").column("x")
    assert isinstance(column, np.ndarray)
    np.testing.assert_array_equal(column, X)
    monkeypatch.setattr("kerascli.data.storage.mapped.memory_limit", lambda: 1000)
    with pytest.raises(DataError, match="Fortran order"):
        read_npz(tmp_path / "x.npy", "x.npy")


class TestSpilling:
    def test_gives_the_rows_back_and_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        rows = np.array([(1, 2.5), (3, 4.5), (5, 6.5)], [("a", np.int8), ("b", np.float64)])
        records = Mapped(spill(iter([rows[:2], rows[2:]]), 3), "there")
        assert records[np.array([2, 0])].tolist() == [(5, 6.5), (1, 2.5)]
        assert not list(tmp_path.iterdir())

    def test_is_refused_at_once_where_there_is_too_little_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        full = os.statvfs_result((4096, 4096, 10, 0, 0, 0, 0, 0, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda folder: full)
        with pytest.raises(StorageError, match=r"8\.0 GB of prepared rows do not fit") as caught:
            spill(iter([np.zeros(100)]), 10**9)
        assert caught.value.faults[0].hint == "set TMPDIR to a folder with more room"

    def test_says_when_the_room_ends_on_the_way(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (5000, hard)
        )  # the errno is EFBIG then; that of a full disk is like it
        try:
            with pytest.raises(StorageError, match="no room is left in"):
                spill((np.zeros(100) for _ in range(10)), 1000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def test_says_when_the_folder_cannot_be_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(**options: object) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr("tempfile.TemporaryFile", fails)
        with pytest.raises(StorageError, match=r"cannot keep prepared rows in .*: read-only file system"):
            spill(iter([np.zeros(1)]), 1)


@pytest.mark.parametrize("cuts", [(), (1,), (3, 4, 5), (0, 0, 10), (2, 17, 17, 18)])
@pytest.mark.parametrize("rows", [1, 4, 7, 20, 50])
def test_recut_changes_where_rows_are_cut_and_nothing_else(cuts: tuple[int, ...], rows: int) -> None:
    values = np.arange(20)
    found = list(recut(np.split(values, cuts), rows))
    assert np.concatenate(found).tolist() == values.tolist()
    assert [len(part) for part in found[:-1]] == [rows] * (len(found) - 1)
    assert 0 < len(found[-1]) <= rows


class _Numbers(Stream):
    """Reader of arrays in memory that allows sequential access only."""

    def __init__(self, values: np.ndarray) -> None:
        def read(rows: int) -> Iterator[np.ndarray]:
            return (values[first : first + rows] for first in range(0, len(values), rows))

        super().__init__(len(values), values.shape[1:], values.dtype, 8, read)


def test_rows_taken_from_a_stream_and_from_those_again_are_those_of_an_array() -> None:
    values = RANDOM.integers(0, 99, 100)
    taken: list[Rows] = [slice(10, 90), np.arange(0, 80, 3), slice(2, 20), np.array([1, 5, 6])]
    stream, array = _Numbers(values), values
    for rows in taken:
        stream, array = stream.take(rows), array[rows]
        for length in (1, 7, 200):
            assert np.concatenate(list(stream.blocks(length))).tolist() == array.tolist()


def test_what_is_counted_in_blocks_is_what_numpy_counts() -> None:
    words = np.array(RANDOM.choice(list("abcdef"), 200), dtype=object)
    for values in (RANDOM.integers(-5, 5, 200), words):
        wanted, counts = np.unique(values, return_counts=True)
        for cuts in ((), (1, 50, 190)):
            found, number = unique_counts(np.split(values, cuts))
            assert (found.tolist(), number.tolist()) == (wanted.tolist(), counts.tolist())
        order_, places = unique_inverse(_Numbers(values))
        assert (order_.tolist(), places.tolist()) == tuple(a.tolist() for a in np.unique(values, return_inverse=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("rows", [1, 2, 9, 1000])
def test_medians_are_numpy_s(rows: int, dtype: type) -> None:
    x = (RANDOM.normal(0, 1, (rows, 4)) * [1, 1e30 if dtype is not np.int64 else 1e6, 1e-30, 0]).astype(dtype)
    x[:, 3] = RANDOM.integers(-2, 2, rows)
    if dtype is not np.int64:
        x[: rows // 3, 0] = np.nan
        x[0, 1] = -np.inf
        x[rows // 2 :, 2] = x[rows // 2, 2]
    found = medians(Blocks(lambda: iter([*np.array_split(x, 3)])) if rows > 2 else Blocks(lambda: iter([x])))
    wanted = [np.median(column[~np.isnan(column)]) if not np.isnan(column).all() else np.nan for column in x.T]
    np.testing.assert_array_equal(found, np.array(wanted, np.float64))


@pytest.mark.parametrize("fits_memory", [True, False])
def test_rows_of_unaligned_mapped_files_are_read_by_number(
    fits_memory: bool, tmp_path: Path, to_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    to_disk()
    monkeypatch.setattr("kerascli.data.storage.mapped.available_memory", lambda: 2**40 if fits_memory else 0)
    np.savez(tmp_path / "t.npz", a_name_of_odd_length=X, y=Y)
    mapped = table_of(read_arrays(tmp_path / "t.npz", "t.npz"), "t.npz").column("a_name_of_odd_length")
    assert isinstance(mapped, Direct)
    for rows in (np.array([400, 3, 3, 0]), slice(7, 90)):
        np.testing.assert_array_equal(mapped[rows], X[rows])
        np.testing.assert_array_equal(mapped.take(np.arange(499, -1, -1))[rows], X[::-1][rows])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="anonymous memory is told by /proc")
def test_ten_gigabytes_take_little_memory(tmp_path: Path) -> None:
    """Sparse files: they read as zeros and take no disk space."""
    peaks = {name: _peak(tmp_path / name, rows) for name, rows in (("small", 2_000), ("large", 3_400_000))}
    assert (tmp_path / "large/arrays/x.npy").stat().st_size > 10 * 10**9
    assert peaks["large"] - peaks["small"] < 300 * 10**6, peaks


_MEASURE = """
import json, re, sys, threading, time
from pathlib import Path
from kerascli.config.load import open_config
from kerascli.workflow.train import Options, start

peak, done = 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.005):
        peak = max(peak, int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024)

thread = threading.Thread(target=watch)
thread.start()
notes = [str(event) for event in start(open_config(Path(sys.argv[1])), Options(runs_dir=Path(sys.argv[2])))]
done.set()
thread.join()
print(json.dumps([peak, any("read from disk" in note for note in notes)]))
"""


def _peak(folder: Path, rows: int) -> int:
    """Return the peak anonymous memory, in bytes, of a process that trains on so many rows."""
    (folder / "arrays").mkdir(parents=True)
    for name, shape, dtype in (("x", (rows, 784), np.float32), ("y", (rows,), np.uint8)):
        np.lib.format.open_memmap(folder / f"arrays/{name}.npy", mode="w+", dtype=dtype, shape=shape)
    text = "seed: 1\ndata: {source: {npz: arrays}, inputs: {x: []}, targets: {y: []}}\n"
    text += "model: {layers: [{dense: {units: 16, activation: relu}}, {dense: {units: 2, activation: softmax}}]}\n"
    text += "compile: {loss: sparse_categorical_crossentropy, optimizer: sgd}\n"
    text += "fit: {epochs: 2, batch_size: 32, steps_per_epoch: 5, validation_split: 0.1, validation_steps: 3}\n"
    command = [sys.executable, "-c", _MEASURE, str(write(folder, text)), str(folder / "runs")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    peak, on_disk_said = json.loads(ran.stdout)
    assert on_disk_said == (rows > 10**6)
    return peak


def test_the_last_row_of_a_file_may_be_a_batch_of_its_own(tmp_path: Path, to_disk: Callable[[], None]) -> None:
    """A record of an int64 and a float32: a view of one row has strides that torch refuses."""
    text = """
seed: 1
data:
  source: {parquet: t.parquet}
  inputs: {a: [{columns: [a]}], b: [{columns: [b]}, normalization]}
  targets: {y: []}
model: {layers: [{concatenate: [a, b]}, {dense: {units: 1, activation: sigmoid}}]}
compile: {loss: binary_crossentropy, optimizer: sgd}
fit: {epochs: 1, batch_size: 32, shuffle: false}
"""
    path = write(tmp_path, text)
    columns = {"a": np.arange(33), "b": np.arange(33, dtype=np.float32) / 7, "y": np.arange(33) % 2}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet", row_group_size=10)
    in_memory, _ = train(path, tmp_path / "memory")
    to_disk()
    from_disk, _ = train(path, tmp_path / "disk")
    assert outcome(from_disk) == outcome(in_memory)
