"""Parts of tensors in a checkpoint's files are joined to whole tensors, or to any other ranges; damage is refused."""

import itertools
from collections.abc import Sequence

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from kerascli.foundation.errors import FileRefused
from kerascli.training.checkpoint_files import TRAINING, Range, in_ranges, part_file, training_tensors

STATE = {
    "weights/dense/kernel": torch.arange(20.0).view(4, 5),
    "optimizer/adam/dense/kernel/momentum": torch.arange(20.0).view(4, 5) / 2,
    "slots/best/dense/kernel": -torch.arange(20.0).view(4, 5),
    "weights/norm/moving_mean": torch.arange(3.0),
    "states/0": torch.tensor([1.0, 2.0], dtype=torch.float64),
}


def ranges(rank: int, size: int) -> dict[str, Range]:
    """Return the ranges of one process, as FSDP divides 5 columns; some are empty on 4 processes."""
    rows = -(-5 // size)
    start = min(rank * rows, 5)
    return {"dense/kernel": Range(1, start, min(start + rows, 5), 5)}


def held(rank: int, size: int) -> dict[str, Tensor]:
    """Return the state as one process has it."""
    own = ranges(rank, size)["dense/kernel"]
    return {name: own.of(value) if value.dim() == 2 else value for name, value in STATE.items()}


def files(size: int) -> dict[str, bytes]:
    """Return the files of a checkpoint that `size` processes have written."""
    found = {}
    for rank in range(size):
        common, parts = in_ranges(held(rank, size), ranges(rank, size))
        found[TRAINING] = save(common)
        found[part_file(rank, size)] = save({name: value.contiguous() for name, value in parts.items()})
    return found


def assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_parts_are_joined_to_whole_tensors(size: int) -> None:
    assert_equal(training_tensors(files(size)), STATE)


@pytest.mark.parametrize(("wrote", "reads"), [*itertools.product([1, 2, 3, 4], [2, 3, 4])])
def test_any_number_of_processes_reads_its_ranges(wrote: int, reads: int) -> None:
    written = files(wrote)
    for rank in range(reads):
        assert_equal(training_tensors(written, ranges(rank, reads), part_file(rank, reads)), held(rank, reads))


def test_a_process_reads_whole_tensors_as_its_ranges() -> None:
    written = {TRAINING: save(STATE)}
    assert_equal(training_tensors(written, ranges(1, 2), part_file(1, 2)), held(1, 2))


def test_a_process_reads_its_own_file_alone() -> None:
    written = files(3)
    own = {name: written[name] for name in (TRAINING, part_file(2, 3))}
    assert_equal(training_tensors({**own, part_file(0, 3): b"not read"}, ranges(2, 3), part_file(2, 3)), held(2, 3))


def part(name: str, shape: Sequence[int]) -> dict[str, bytes]:
    return {TRAINING: save({}), part_file(0, 1): save({name: torch.zeros(*shape)})}


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("weights/a@0,0,2,4", (2, 3)),  # half of it
        ("weights/a@0,2,4,4", (2, 3)),
        ("weights/a@0,0,2,2", (3, 3)),  # another size than the name's
        ("weights/a@2,0,2,2", (2, 3)),  # no such axis
        ("weights/a@0,2,1,4", (1, 3)),
        ("weights/a@0,0,2,999999999999999999", (2, 3)),
    ],
)
def test_damaged_parts_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(FileRefused, match="the checkpoint is damaged"):
        training_tensors(part(name, shape))


@pytest.mark.parametrize("other", ["weights/a@0,2,4,5", "weights/a@1,2,4,4", "weights/a@0,1,3,4", "weights/a@0,3,5,4"])
def test_parts_that_do_not_fit_are_refused(other: str) -> None:
    written = part("weights/a@0,0,2,4", (2, 2)) | {part_file(1, 2): save({other: torch.zeros(2, 2)})}
    with pytest.raises(FileRefused, match="the checkpoint is damaged"):
        training_tensors(written)
