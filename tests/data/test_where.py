"""`data.where` filters the rows of every split by the values of columns."""

from pathlib import Path

import numpy as np
import pytest

from kerascli.config.data import config_facts, load_config_data
from kerascli.config.describe import describe_config
from kerascli.config.load import open_config
from kerascli.config.resolved import resolved_config
from kerascli.config.yaml.dump import dump_yaml
from kerascli.foundation.errors import DataError
from tests.support.runs_harness import write

CSV = "x,word,n\n1,a,1\n2,b,2\n3,a,3\n4,c,1\n5,b,2\n6,a,1\n"


def config(folder: Path, where: str) -> Path:
    (folder / "rows.csv").write_text(CSV)
    text = f"data: {{source: {{csv: {{path: rows.csv}}}}, where: {where}, inputs: {{x: []}}}}\n"
    return write(folder, f"{text}model: {{layers: [flatten]}}\n")


@pytest.mark.parametrize(
    ("where", "stay"),
    [
        ("{word: [a]}", [1, 3, 6]), ("{word: a}", [1, 3, 6]), ("{word: [c, b]}", [2, 4, 5]),
        ("{n: [1, 3]}", [1, 3, 4, 6]), ("{n: 1, word: [a, b]}", [1, 6]),
    ],
)  # fmt: skip
def test_rows_with_one_of_the_values_stay_in_order(tmp_path: Path, where: str, stay: list[int]) -> None:
    rows = load_config_data(open_config(config(tmp_path, where))).splits["train"].read(slice(None))
    assert np.asarray(rows.inputs["x"]).tolist() == stay


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("{word: d}", "no row of 'train' has word"),
        ("{wrod: a}", "there is no column 'wrod'; did you mean 'word'?"),
        ("{n: a}", "column 'n' has integers, got the text 'a'"),
        ("{word: [a, 1]}", "column 'word' has text, got 1"),
    ],
)
def test_what_no_row_can_have_is_reported(tmp_path: Path, where: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        load_config_data(open_config(config(tmp_path, where)))
    assert said in str(caught.value)


def test_classes_that_are_left_are_numbered_anew_by_a_lookup(tmp_path: Path) -> None:
    text = """
data:
  source: mnist
  where: {y: [5, 6, 7, 8, 9]}
  inputs: {x: []}
  targets: {y: [{integer_lookup: {vocabulary: [5, 6, 7, 8, 9]}}]}
model: {layers: [flatten, {dense: $targets.y.num_classes}]}
"""
    opened = open_config(write(tmp_path, text))
    spec = describe_config(opened, config_facts(opened))
    assert spec.built.specs["dense"].shape == (5,)
    splits = load_config_data(opened).splits
    assert (splits["train"].rows, splits["test"].rows) == (29404, 4861)
    again = open_config(write(tmp_path, dump_yaml(resolved_config(opened, [spec], tmp_path)), "again.yaml"))
    assert again.data == opened.data


def test_64_bit_integers_without_a_sign_are_compared_exactly(tmp_path: Path) -> None:
    ids = 10**17 + np.arange(200, dtype=np.uint64)
    np.savez(tmp_path / "d.npz", id=ids, x=np.arange(200))
    chosen = [10**17 + 8 * number for number in range(25)]
    text = f"data: {{source: {{npz: {{path: d.npz}}}}, where: {{id: {[-1, *chosen]}}}, inputs: {{x: []}}}}\n"
    config = open_config(write(tmp_path, f"{text}model: {{layers: [flatten]}}\n"))
    rows = load_config_data(config).splits["train"].read(slice(None))
    assert np.asarray(rows.inputs["x"]).tolist() == list(range(0, 200, 8))
