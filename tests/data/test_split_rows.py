"""Splits that keep groups together, and splits by time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerascli.data.base import Context
from kerascli.data.pipeline.prepare import load_data
from kerascli.data.section import DataSpec
from kerascli.data.split import grouped_split, ordered_split
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


BAD = {
    "order and group": ({"test": 0.2, "order": "date", "group": "x"}, "order: not with 'group'"),
    "order and seed": ({"test": 0.2, "order": "date", "seed": 1}, "order: not with 'seed'"),
    "a word as a date": ({"test": 0.2, "order": "word"}, "'one' is no date: expected 2026-11-27"),
    "a missing date": ({"test": 0.2, "order": "gap"}, "'' is no date"),
    "groups of measures": ({"test": 0.2, "group": "part"}, "split.group: column 'part' does not hold groups"),
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
