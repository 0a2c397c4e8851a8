"""Batches: every row once, in an order that any process, and a resumed run, reproduces."""

import numpy as np
import pytest
import torch

from kerascli.data.batches import loader, order
from kerascli.data.batches.loader import Batch, BatchSource
from kerascli.data.batches.order import Order
from kerascli.data.batches.rows import MemorySplit

CPU = torch.device("cpu")


def split(rows: int = 10) -> MemorySplit:
    x = np.arange(rows * 3, dtype=np.uint8).reshape(rows, 3)
    return MemorySplit({"x": x}, {"y": np.arange(rows)}, {"y": np.linspace(0, 1, rows, dtype=np.float32)}, rows)


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


@pytest.fixture(params=[order.MANY_ROWS, 0])
def few_or_many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parametrize over orders stored as a list and orders computed row by row."""
    monkeypatch.setattr(order, "MANY_ROWS", request.param)


@pytest.mark.usefixtures("few_or_many")
@pytest.mark.parametrize("rows", [1, 2, 3, 100, 127, 128, 129, 70_000])
def test_an_order_is_a_permutation_and_any_part_of_it_can_be_had(rows: int) -> None:
    whole = Order(rows, 4, 2)[:]
    assert whole.dtype == np.int64
    assert sorted(whole.tolist()) == list(range(rows))
    assert Order(rows, 4, 2)[rows // 3 : rows // 2].tolist() == whole[rows // 3 : rows // 2].tolist()


@pytest.mark.usefixtures("few_or_many")
@pytest.mark.parametrize("numbers", [1, 5, 8, 2**16])
def test_row_numbers_are_made_for_any_number_of_batches_at_once(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_NUMBERS", numbers)
    for start in (0, 1, 4):
        rows = rows_of(list(BatchSource(split(18), 4, CPU, shuffle=True, seed=6).epoch(1, start)))
        assert rows == Order(18, 6, 1)[:].tolist()[4 * start :]


@pytest.mark.usefixtures("few_or_many")
def test_the_order_changes_with_epoch_and_seed_and_nothing_else() -> None:
    assert Order(50, 1, 2)[:].tolist() == Order(50, 1, 2)[:].tolist()
    assert len({tuple(Order(50, seed, epoch)[:]) for seed in range(3) for epoch in range(3)}) == 9


@pytest.mark.usefixtures("few_or_many")
def test_shuffled_batches_are_evenly_mixed() -> None:
    """The mean position of a row over 400 epochs is the middle, within four standard errors."""
    positions = np.stack([np.argsort(Order(20, 5, epoch)[:]) for epoch in range(400)])
    error = np.sqrt((20**2 - 1) / 12 / 400)
    assert np.abs(positions.mean(axis=0) - 9.5).max() < 4 * error


@pytest.mark.usefixtures("few_or_many")
def test_neighbours_in_the_file_are_no_neighbours_in_an_epoch() -> None:
    """Distances between two rows, and the rows in a tenth of the epoch, are as in a random order."""
    rows = 50_000
    numbers = Order(rows, 5, 0)[:]
    places = np.argsort(numbers)
    apart = np.abs(np.diff(places))  # of two places at random: a third of the rows on average
    assert abs(apart.mean() / rows - 1 / 3) < 4 * np.sqrt(1 / 18 / rows)
    seen = np.histogram(numbers[: rows // 10], bins=100, range=(0, rows))[0]  # 50 in each hundredth of the file
    assert 60 < np.square(seen - 50).sum() / (50 * 0.9) < 145  # chi-squared with 99 degrees of freedom: 0.1 and 99.8 %


@pytest.mark.parametrize(("batch_size", "together"), [(16, 3), (16, 1), (5, 3)])
def test_batches_that_are_gathered_together_are_those_of_one_by_one(
    batch_size: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only batches of whole cache lines are; then each begins at one."""
    x = np.arange(1600, dtype=np.float32).reshape(100, 16)
    rows = MemorySplit({"x": x}, {"y": np.arange(100)}, {"y": x[:, 0]}, 100)
    source = BatchSource(rows, batch_size, CPU, shuffle=True, seed=4)
    row = 16 * 4 + 8 + 4
    monkeypatch.setattr(loader, "_GATHERED_BYTES", together * batch_size * row)
    numbers = Order(100, 4, 2)[slice(2 * batch_size, 100)]
    batches = list(source.epoch(2, 2))
    assert rows_of(batches) == numbers.tolist()
    for batch in batches:
        np.testing.assert_array_equal(batch.inputs["x"], x[batch.targets["y"]])
        np.testing.assert_array_equal(batch.sample_weight["y"], x[batch.targets["y"], 0])
        assert batch.inputs["x"].data_ptr() % 64 == 0
    gathered = {batch.inputs["x"].untyped_storage().data_ptr() for batch in batches}
    assert len(gathered) == (len(batches) if batch_size == 5 else -(-len(batches) // together))
