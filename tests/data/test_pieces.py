"""Rows that are prepared, learned from and dealt to splits without a copy of all: the same bits, the same errors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from kerascli.data.base import Context
from kerascli.data.pipeline import learned_state, pipeline
from kerascli.data.pipeline.prepare import PreparedData, load_data
from kerascli.data.section import parse_data
from kerascli.data.split import random_split, shuffled
from kerascli.data.transforms.elementwise import Log1p
from kerascli.foundation.errors import DataError
from tests.support.data_harness import whole

COLUMNS = ["a", "b", "c"]
STEPS = {
    "normalization": ["normalization"],
    "impute, then normalization": [{"impute": "median"}, "normalization"],
    "log, then normalization": ["log1p", {"normalization": {"axis": None}}],
    "bins": [{"discretization": {"num_bins": 5, "output_mode": "one_hot"}}],
    "lookup": [{"cast": "int64"}, "integer_lookup"],
    "nothing": [],
}


def prepared(folder: Path, steps: list[object], seed: int = 1) -> PreparedData:
    section = {
        "source": {"csv": {"path": "t.csv"}},
        "split": {"validation": 0.2},
        "inputs": {"x": [{"columns": COLUMNS}, *steps], "one": [{"columns": "b"}, *steps]},
        "targets": {"y": []},
    }
    return load_data(parse_data(section), Context(folder, seed))


def table(folder: Path, *, gaps: bool = False) -> None:
    random = np.random.default_rng(0)
    lines = [f"{a},{b}.0,{c},{y}" for a, b, c, y in random.integers(0, 9, (400, 4))]
    for row in (77, 301) if gaps else ():
        lines[row] = "1,,2,3"
    (folder / "t.csv").write_text("\n".join(["a,b,c,y", *lines, ""]))


def bits(found: PreparedData) -> dict[str, bytes]:
    arrays = {
        f"{split}/{name}": values
        for split, rows in found.splits.items()
        for section in whole(rows).sections()
        for name, values in section.items()
    } | {f"{key}/{name}": values for key, item in found.learned.items() for name, values in item.arrays.items()}
    return {name: f"{values.dtype}{values.shape}".encode() + values.tobytes() for name, values in arrays.items()}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_rows_in_pieces_are_prepared_to_the_same_bits(
    tmp_path: Path, steps: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path, gaps="impute" in str(steps))
    expected = bits(prepared(tmp_path, steps))
    monkeypatch.setattr(pipeline, "_PIECE_VALUES", 50)
    assert bits(prepared(tmp_path, steps)) == expected


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_threads_learn_and_prepare_the_same_bits_in_the_same_order(
    tmp_path: Path, steps: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path, gaps="impute" in str(steps))
    one = prepared(tmp_path, steps)
    monkeypatch.setattr(pipeline, "_ROWS_IN_THREADS", 1)
    many = prepared(tmp_path, steps)
    assert list(bits(many).items()) == list(bits(one).items())
    assert list(many.learned) == list(one.learned)


def test_moments_are_learned_from_pieces_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(tmp_path)
    expected = prepared(tmp_path, ["normalization"]).learned["inputs.x.0"].arrays
    monkeypatch.setattr(learned_state, "PART_VALUES", 50)
    found = prepared(tmp_path, ["normalization"]).learned["inputs.x.0"].arrays
    assert all(np.array_equal(found[name], expected[name]) for name in ("mean", "variance"))


@pytest.mark.parametrize("steps", [["normalization"], [], [{"rescaling": 0.5}, "log"]], ids=["learned", "none", "log"])
def test_errors_of_pieces_and_threads_name_the_row_and_count_all(
    tmp_path: Path, steps: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path, gaps=True)
    with pytest.raises(DataError) as at_once:
        prepared(tmp_path, steps)
    monkeypatch.setattr(pipeline, "_PIECE_VALUES", 50)
    monkeypatch.setattr(learned_state, "PART_VALUES", 50)
    with pytest.raises(DataError) as pieces:
        prepared(tmp_path, steps)
    monkeypatch.setattr(pipeline, "_ROWS_IN_THREADS", 1)
    with pytest.raises(DataError) as threads:
        prepared(tmp_path, steps)
    assert pieces.value.faults == threads.value.faults == at_once.value.faults
    assert at_once.value.faults[0].place is not None


class _FewWords:
    """Bit generator whose words are equal for many rows."""

    def __init__(self, key: int) -> None:
        self._random = np.random.default_rng(key)

    def random_raw(self, count: int) -> np.ndarray:
        return self._random.integers(0, 3, count).astype(np.uint64)


@pytest.mark.parametrize("tied", [False, True])
def test_a_random_split_takes_the_rows_of_a_permutation_in_turn(tied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if tied:
        monkeypatch.setattr(np.random, "Philox", _FewWords)
    for seed in range(200):
        rows = 2 + seed % 37
        found = random_split(np.zeros(rows, int), {"validation": 0.2, "test": 0.3}, seed)
        order, first, second = shuffled(rows, seed), len(found["validation"]), len(found["test"])
        parts = np.split(order, [first, first + second])
        assert {name: each.tolist() for name, each in found.items()} == {
            name: sorted(part.tolist()) for name, part in zip(("validation", "test", "train"), parts, strict=True)
        }


class _Changed(nn.Module):
    def __init__(self, change: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.change = change

    def forward(self, x: Tensor) -> object:
        return self.change(x)


@pytest.mark.parametrize(
    ("change", "got"), [(lambda x: x[:3], r"a tensor of shape \(3, 3\)"), (lambda x: None, "NoneType")]
)
def test_a_transform_that_loses_rows_is_named(
    change: Callable[[Tensor], object], got: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path)
    monkeypatch.setattr(Log1p, "module", lambda *_, **__: _Changed(change))
    with pytest.raises(DataError, match=rf"'module' must return a tensor with the \d+ rows that it got, got {got}"):
        prepared(tmp_path, ["log1p"])
