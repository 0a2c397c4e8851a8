"""Splits that keep groups together, and splits by time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

from kerascli.data.base import Context
from kerascli.data.batches.rows import MemorySplit, raw_table
from kerascli.data.pipeline.prepare import load_data
from kerascli.data.section import DataSpec
from kerascli.data.split import grouped_split, ordered_folds, ordered_split, shuffled
from kerascli.data.storage import on_disk
from kerascli.foundation.errors import ConfigError, DataError
from kerascli.language.component import Invalid
from kerascli.language.section import parse_section

SHARES = {"validation": 0.1, "test": 0.2}


def parts(folder: Path, text: str, split: dict[str, Any]) -> dict[str, list[float]]:
    """Values of column `x` in each split of a table."""
    (folder / "rows.csv").write_text(text)
    written = {"source": {"csv": {"path": "rows.csv"}}, "split": split, "inputs": {"x": []}}
    spec = parse_section(DataSpec, written, ())
    found = load_data(spec, Context(folder, seed=3)).splits
    return {name: found[name].read(slice(0, found[name].rows)).inputs["x"].tolist() for name in found}


def whole(found: dict[str, np.ndarray], rows: int) -> None:
    """Assert that each row is in one part, and that parts are in the order of the file."""
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(rows))
    assert all((np.diff(part) > 0).all() for part in found.values())


def test_a_group_is_in_one_part_and_shares_hold_to_half_a_group() -> None:
    random = np.random.default_rng(0)
    groups = np.unique(random.integers(0, 400, 5000), return_inverse=True)[1]
    found = grouped_split(groups, np.zeros_like(groups), SHARES, seed=1)
    whole(found, 5000)
    sets = [set(groups[part].tolist()) for part in found.values()]
    assert not set.intersection(sets[0], sets[1]) | set.intersection(sets[0], sets[2]) | set.intersection(*sets[1:])
    largest = np.bincount(groups).max()
    for name, share in {"train": 0.7, **SHARES}.items():
        assert abs(len(found[name]) - 5000 * share) <= largest
    again = grouped_split(groups, np.zeros_like(groups), SHARES, seed=2)
    assert found["test"].tolist() != again["test"].tolist()


@pytest.mark.parametrize(
    "days", [[3, 1, 2, 5, 4], [f"2024-01-0{day}" for day in (3, 1, 2, 5, 4)]], ids=["numbers", "dates"]
)
def test_rows_on_disk_are_split_by_time(days: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = "x,day\n" + "".join(f"{row},{day}\n" for row, day in enumerate(days))
    split = {"test": 0.4, "order": "day"}
    there = parts(tmp_path, text, split)
    monkeypatch.setattr(on_disk, "MEMORY_BYTES", 0)
    assert parts(tmp_path, text, split) == there
    assert sorted(there["test"]) == [3, 4]


def test_groups_are_stratified_by_the_class_that_most_of_their_rows_have() -> None:
    random = np.random.default_rng(1)
    classes_of_groups = (np.arange(300) % 10 == 0).astype(int)  # one in ten
    groups = np.unique(random.integers(0, 300, 6000), return_inverse=True)[1]
    classes = classes_of_groups[groups]
    found = grouped_split(groups, classes, SHARES, seed=0)
    whole(found, 6000)
    for part in found.values():
        assert classes[part].mean() == pytest.approx(classes.mean(), abs=0.02)  # three groups of 20 in 420 rows


def test_the_latest_rows_are_the_test() -> None:
    times = np.random.default_rng(2).permutation(1000)
    found = ordered_split(times, SHARES)
    whole(found, 1000)
    assert {name: (times[part].min(), times[part].max()) for name, part in found.items()} == {
        "train": (0, 699), "validation": (700, 799), "test": (800, 999),
    }  # fmt: skip


def test_rows_of_one_time_stay_together() -> None:
    times = np.repeat(np.arange(10), 10)[::-1]
    found = ordered_split(times, {"test": 0.25})
    assert set(times[found["test"]].tolist()) == {7, 8, 9}
    assert set(times[found["train"]].tolist()) == set(range(7))


def test_a_config_splits_by_group_and_by_date(tmp_path: Path) -> None:
    rows = [f"{i},{'abcde'[i % 5]},2026-0{1 + i % 4}-0{1 + i // 4}" for i in range(20)]
    text = "\n".join(["x,customer,date", *rows, ""])
    grouped = parts(tmp_path, text, {"test": 0.2, "group": "customer"})
    assert len({int(x) % 5 for x in grouped["test"]}) == 1
    assert len(grouped["test"]) == 4
    timed = parts(tmp_path, text, {"test": 0.25, "order": "date"})
    assert sorted(int(x) % 4 for x in timed["test"]) == [3] * 5  # April
    numbers = parts(tmp_path, text, {"test": 0.25, "order": "x"})
    assert numbers["test"] == [15, 16, 17, 18, 19]


def test_classes_may_be_written_as_floats(tmp_path: Path) -> None:
    text = "x,kind\n" + "".join(f"{row},{row % 2}.0\n" for row in range(20))
    found = parts(tmp_path, text, {"test": 0.2, "stratify": "kind"})["test"]
    assert sorted(int(x) % 2 for x in found) == [0, 0, 1, 1]


BAD = {
    "order and group": ({"test": 0.2, "order": "date", "group": "x"}, "order: not with 'group'"),
    "order and seed": ({"test": 0.2, "order": "date", "seed": 1}, "order: not with 'seed'"),
    "a word as a date": ({"test": 0.2, "order": "word"}, "'one' is no date: expected 2026-11-27"),
    "a missing date": ({"test": 0.2, "order": "gap"}, "'' is no date"),
    "groups of measures": ({"test": 0.2, "group": "part"}, "split.group: column 'part' does not hold groups"),
    "a missing group": ({"test": 0.4, "group": "gap"}, "missing value: the rows are split by this column"),
    "one group": ({"test": 0.2, "group": "one"}, "split: 0.2 of 3 rows is 0 rows for 'test'"),
    "one time": ({"test": 0.2, "order": "one"}, "rows is 0 rows for 'train'"),
    "no such column": ({"test": 0.2, "group": "costumer"}, "there is no column 'costumer'; did you mean 'customer'"),
}


@pytest.mark.parametrize(("split", "text"), BAD.values(), ids=BAD)
def test_what_rows_cannot_be_split_by_is_refused(tmp_path: Path, split: dict[str, Any], text: str) -> None:
    table = (
        "x,date,word,gap,part,one,customer\n"
        "1,2026-01-01,one,2026-01-01,0.5,1,a\n2,2026-01-02,two,,1.5,1,b\n3,2026-01-03,three,2026-01-03,2.5,1,c\n"
    )
    with pytest.raises((DataError, ConfigError, Invalid), match=text):
        parts(tmp_path, table, split)


def sklearn_folds(splitter: Any, *columns: Any) -> list[int]:
    """The fold (from 1; 0: none) of each row by a splitter of scikit-learn."""
    numbers = np.zeros(len(columns[0]), int)
    for number, (_, test) in enumerate(splitter.split(*columns), start=1):
        numbers[test] = number
    return numbers.tolist()


@pytest.mark.parametrize("folds", [2, 5, 7])
@pytest.mark.parametrize("test", [0.0, 0.2])
@pytest.mark.parametrize("column", [None, "stratify", "group", "order"])
def test_folds_are_those_of_scikit_learn_on_the_shuffled_rows(
    tmp_path: Path, column: str | None, test: float, folds: int
) -> None:
    random = np.random.default_rng(folds)
    words, times = random.choice(list("abcdefghijk"), 313), random.permutation(313)
    lines = [f"{i},{word},{time}" for i, (word, time) in enumerate(zip(words, times, strict=True))]
    text = "\n".join(["x,word,time", *lines, ""])
    split: dict[str, Any] = {"folds": folds} | ({"test": test} if test else {})
    split |= {} if column is None else {column: "time" if column == "order" else "word"}
    each = [parts(tmp_path, text, {**split, "fold": number}) for number in range(1, folds + 1)]
    unused = parts(tmp_path, text, split)
    rest = np.array(unused["train"], int)
    assert len(rest) == 313 - len(unused.get("test", []))
    order = np.argsort(times[rest]) if column == "order" else shuffled(len(rest), 3)
    rows = rest[order]
    expected = {
        None: lambda: sklearn_folds(KFold(folds), rows),
        "stratify": lambda: sklearn_folds(StratifiedKFold(folds), rows, words[rows]),
        "group": lambda: sklearn_folds(GroupKFold(folds), rows, None, words[rows]),
        "order": lambda: sklearn_folds(TimeSeriesSplit(folds), rows),
    }[column]()
    for number, found in enumerate(each, start=1):
        learned = [part < number if column == "order" else part != number for part in expected]
        assert found["validation"] == sorted(rows[np.array(expected) == number])
        assert found["train"] == sorted(rows[np.array(learned)])
        assert found.get("test") == unused.get("test")


def test_transforms_learn_from_the_training_rows_of_each_fold(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x\n" + "\n".join(map(str, range(20))) + "\n")
    written = {"source": {"csv": {"path": "rows.csv"}}, "inputs": {"x": ["normalization"]}}
    for fold in (1, 2):
        spec = parse_section(DataSpec, {**written, "split": {"folds": 2, "fold": fold, "order": "x"}}, ())
        train = load_data(spec, Context(tmp_path, seed=3)).splits["train"]
        assert train.rows == {1: 8, 2: 14}[fold]
        assert train.read(slice(0, train.rows)).inputs["x"].mean() == pytest.approx(0, abs=1e-6)


def test_rows_of_one_time_are_in_one_fold() -> None:
    assert ordered_folds(np.repeat(np.arange(5), 4)[::-1], 3).tolist() == [3] * 8 + [2] * 4 + [1] * 4 + [0] * 4


FEW = {
    "fewer rows than folds": ({"folds": 4}, "split: 4 folds of 3 rows leave 0 rows for fold 4"),
    "fewer groups": ({"folds": 3, "group": "part"}, "split: 3 folds of 3 rows leave 0 rows for fold 3"),
    "fewer times": ({"folds": 3, "order": "x"}, "split: 3 folds of 3 rows leave 0 rows for fold 1"),
    "one time": ({"folds": 2, "order": "one"}, "split: 2 folds of 3 rows leave 0 rows for the rows before the first"),
    "a measure": ({"folds": 2, "stratify": "measure"}, "column 'measure' does not hold class labels"),
}


@pytest.mark.parametrize(("split", "text"), FEW.values(), ids=FEW)
def test_folds_without_rows_are_refused(tmp_path: Path, split: dict[str, Any], text: str) -> None:
    table = "x,part,one,measure\n1,a,1,0.5\n2,a,1,1.5\n3,b,1,2.5\n"
    with pytest.raises(DataError, match=text):
        parts(tmp_path, table, {**split, "fold": 1})


def test_rows_that_have_no_raw_columns_are_refused_by_the_name_of_the_option_that_needs_them() -> None:
    with pytest.raises(ConfigError, match="--cells: these rows have no raw columns"):
        raw_table(MemorySplit({"x": np.zeros((2, 1))}, {}, {}, 2), "--cells")
