"""A training in shards, on one process: the same results up to rounding, whichever rows the last batch has."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from kerascli.config.load import open_config
from kerascli.data.batches.loader import Batch, BatchSource
from kerascli.data.batches.rows import MemorySplit
from kerascli.foundation.errors import DataError
from kerascli.foundation.world import World
from kerascli.training.strategies.data_parallel import DataParallel
from kerascli.training.strategies.group import Group
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.train import start

CONFIG = """
seed: 3
data:
  source: {blobs: {rows: 65, features: 4, classes: 3}}
  inputs: {x: [normalization]}
  targets: {y: []}
model: {layers: [{dense: {units: 8, activation: tanh}}, {dense: 3}, softmax]}
compile: {loss: sparse_categorical_crossentropy, optimizer: {sgd: 0.1}, metrics: [accuracy], jit_compile: false}
fit: {epochs: 3, batch_size: 16SHARDS}
"""


def trained(folder: Path, shards: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(CONFIG.replace("SHARDS", shards))
    options = Options(runs_dir=folder / "runs", device="cpu", name=f"with{len(shards)}")
    for _ in start(open_config(path), options):
        pass
    [run] = (folder / "runs").glob(f"*Z-{options.name}")
    return run


def test_shards_change_results_by_rounding_alone(tmp_path: Path) -> None:
    """The last batch has one row, and three shards of it have none."""
    one, four = (trained(tmp_path, shards) for shards in ("", ", shards: 4"))
    wanted, found = (load_file(run / "model.safetensors") for run in (one, four))
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)  # 15 updates of sums in another order
    histories = [list(csv.DictReader((run / "history.csv").read_text().splitlines())) for run in (one, four)]
    for wanted_row, found_row in zip(*histories, strict=True):
        assert float(found_row["loss"]) == pytest.approx(float(wanted_row["loss"]), rel=1e-5)
        assert found_row["accuracy"] == wanted_row["accuracy"]


def batches(rows: int, strategy: DataParallel) -> list[list[tuple[int, list[float]]]]:
    """Return, for each batch of 8 rows, the numbers of a process's shards with their rows."""
    x = np.arange(rows, dtype=np.float32)
    source = BatchSource(MemorySplit({"x": x}, {}, {}, rows), 8, torch.device("cpu"), portion=strategy.portion)

    def shards(batch: Batch) -> list[tuple[int, list[float]]]:
        return [(number, part.inputs["x"].tolist()) for number, part in strategy.parts(batch)]

    return [shards(batch) for batch in source.epoch(0)]


def test_a_first_batch_with_fewer_rows_than_processes_is_refused() -> None:
    strategy = DataParallel(Group(World(0, 4)), 4)
    source = BatchSource(MemorySplit({"x": np.zeros(3)}, {}, {}, 3), 8, torch.device("cpu"), portion=strategy.portion)
    with pytest.raises(DataError, match="the first batch has 3 rows: too few for 4 processes"):
        strategy.example(next(source.epoch(0)))


@pytest.mark.parametrize("size", [1, 2, 4])
def test_each_row_is_in_the_same_shard_on_any_number_of_processes(size: int) -> None:
    alone = batches(19, DataParallel(Group(), 4))
    assert alone[0] == [(0, [0, 1]), (1, [2, 3]), (2, [4, 5]), (3, [6, 7])]
    assert alone[2] == [(1, [16]), (2, [17]), (3, [18])]
    several = [batches(19, DataParallel(Group(World(rank, size)), 4)) for rank in range(size)]
    assert [[shard for part in parts for shard in part] for parts in zip(*several, strict=True)] == alone


def batch_of(rows: int, whole: int) -> Batch:
    """Return what a process has read of a batch of `whole` rows."""
    return Batch({"x": torch.zeros(rows, 1)}, {}, {}, rows, whole)


def test_a_second_batch_without_rows_for_a_process_is_no_example() -> None:
    """33 rows in batches of 32, on two processes: process 0 has no row of the second batch."""
    strategy = DataParallel(Group(World(0, 2)), 2)
    [example] = strategy.examples([batch_of(16, 32), batch_of(0, 1)])
    assert example.rows == 16


@pytest.mark.parametrize(("whole", "first"), [(1, 3), (2, 1), (3, 1), (4, 0), (9, 0)])
def test_the_first_shard_with_rows_gives_the_integers(whole: int, first: int) -> None:
    strategy = DataParallel(Group(), 4)
    batch = batch_of(whole, whole)
    assert min(number for number, _ in strategy.parts(batch)) == first
    assert [number for number in range(4) if strategy.is_first(number, batch)] == [first]
