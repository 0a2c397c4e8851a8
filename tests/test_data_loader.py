"""Batches: every row once, in an order that any process and any resume finds again."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kerascli.data.loader import Batch, BatchSource, order
from kerascli.data.prepare import Split

CPU = torch.device("cpu")


def split(rows: int = 10) -> Split:
    x = np.arange(rows * 3, dtype=np.uint8).reshape(rows, 3)
    return Split({"x": x}, {"y": np.arange(rows)}, {"y": np.linspace(0, 1, rows, dtype=np.float32)}, rows)


def rows_of(batches: list[Batch]) -> list[int]:
    return [row for batch in batches for row in batch.targets["y"].tolist()]


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_has_every_row_once_and_ends_with_the_rest(shuffle: bool) -> None:
    source = BatchSource(split(), 4, CPU, shuffle=shuffle, seed=1)
    batches = list(source.epoch(0))
    assert [batch.rows for batch in batches] == [4, 4, 2]
    assert source.steps == 3
    assert sorted(rows_of(batches)) == list(range(10))
    assert (rows_of(batches) == list(range(10))) is not shuffle
    for batch in batches:  # what belongs together stays together
        assert batch.inputs["x"][:, 0].tolist() == [3 * row for row in batch.targets["y"].tolist()]
        assert batch.inputs["x"].dtype == torch.uint8
        torch.testing.assert_close(batch.sample_weight["y"], batch.targets["y"].float() / 9)


@pytest.mark.parametrize("shuffle", [False, True])
def test_an_epoch_goes_on_at_any_batch(shuffle: bool) -> None:
    whole = rows_of(list(BatchSource(split(), 4, CPU, shuffle=shuffle, seed=1).epoch(3)))
    rest = rows_of(list(BatchSource(split(), 4, CPU, shuffle=shuffle, seed=1).epoch(3, start=1)))
    assert rest == whole[4:]
    assert not list(BatchSource(split(), 4, CPU, shuffle=shuffle, seed=1).epoch(3, start=3))


def test_the_order_changes_with_epoch_and_seed_and_nothing_else() -> None:
    assert order(50, 1, 2).tolist() == order(50, 1, 2).tolist()
    assert len({tuple(order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_a_mapped_file_gives_the_batches_that_memory_gives(tmp_path: Path) -> None:
    there = split(100)
    np.save(tmp_path / "x.npy", there.inputs["x"])
    mapped = Split({"x": np.load(tmp_path / "x.npy", mmap_mode="r")}, there.targets, there.sample_weight, 100)
    for shuffle in (False, True):
        pairs = zip(
            BatchSource(there, 7, CPU, shuffle=shuffle).epoch(0),
            BatchSource(mapped, 7, CPU, shuffle=shuffle).epoch(0),
            strict=True,
        )
        for one, other in pairs:
            torch.testing.assert_close(one.inputs, other.inputs)
            torch.testing.assert_close(one.targets, other.targets)
    left = BatchSource(mapped, 7, CPU).epoch(0)
    assert next(left).rows == 7  # an epoch may be left in the middle


def test_shuffled_batches_are_evenly_mixed() -> None:
    """The mean position of a row over 400 epochs is the middle, within four standard errors."""
    positions = np.stack([np.argsort(order(20, 5, epoch)) for epoch in range(400)])
    error = np.sqrt((20**2 - 1) / 12 / 400)
    assert np.abs(positions.mean(axis=0) - 9.5).max() < 4 * error
