"""Raw columns beside predictions, and as groups of an evaluation: integers with gaps, rows without a value."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from kerascli.foundation.errors import ConfigError, DataError
from kerascli.report.predictions import Predictions, write_predictions
from kerascli.runs.record import RunRecord
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.evaluation.groups import evaluate_groups
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.runs_harness import command, train, write

CONFIG = """
seed: 1
data:
  source: {csv: {path: rows.csv}}
  inputs: {x: []}
  targets: {y: []}
model: {layers: [{reshape: [1]}, {dense: 1}]}
compile: {loss: mse, optimizer: sgd, metrics: [mae]}
fit: {epochs: 1}
"""
FIELDS = [
    ["x", "y", "id", "size", "town"],
    *[[f"{i / 8}", f"{i / 4}", "" if i == 2 else f"{900 + i % 3}", f"{i / 2}", "" if i % 4 == 1 else "ab"[i % 2]]
      for i in range(12)],
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("kept")
    (folder / "rows.csv").write_text("".join(",".join(row) + "\n" for row in FIELDS))
    return train(write(folder, CONFIG), folder / "runs")[0]


def column(name: str) -> list[str]:
    index = FIELDS[0].index(name)
    return [row[index] for row in FIELDS[1:]]


def test_integers_with_gaps_are_written_as_they_stand_in_the_file(run: RunRecord, tmp_path: Path) -> None:
    found = predict_run(open_run(run), "train", keep=["id", "size", "town"])
    for suffix in (".csv", ".jsonl", ".parquet", ".npz"):
        write_predictions(tmp_path / f"out{suffix}", [found], list(found.kept))
    with (tmp_path / "out.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["id"] for row in written] == column("id")
    assert [float(row["size"]) for row in written] == list(map(float, column("size")))
    ids = [int(each) if each else None for each in column("id")]
    assert [json.loads(line)["id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == ids
    table = pq.read_table(tmp_path / "out.parquet")
    assert str(table.schema.field("id").type) == "int64"
    assert table["id"].to_pylist() == ids
    arrays = np.load(tmp_path / "out.npz")
    assert arrays.files == ["dense", "id", "size", "town"]
    np.testing.assert_array_equal(arrays["id"], [np.nan if each is None else each for each in ids])
    assert arrays["town"].tolist() == column("town")
    np.testing.assert_array_equal(arrays["dense"], found.outputs["dense"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "a.npy", "--keep", "id"], ".npy holds one array, the outputs; --keep needs .csv, .jsonl"),
        (["-o", "a.npz", "--threshold", "0.2"], ".npz holds the raw outputs; --threshold needs .csv"),
    ],
    ids=["keep", "threshold"],
)  # fmt: skip
def test_an_option_that_a_format_cannot_hold_is_refused(run: RunRecord, options: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        command("predict", run.path, "train", *options)
    assert message in str(caught.value)


def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    values = np.zeros((1, 1))
    made = Predictions({"a": values}, {}, {"a": values, "predicted_a": values}, 1, 0)
    with pytest.raises(ConfigError, match="would have one name"):
        write_predictions(tmp_path / "a.npz", [made], ["a"])


@pytest.mark.parametrize("name", ["id", "town"])
def test_rows_without_a_value_are_a_group(run: RunRecord, name: str, tmp_path: Path) -> None:
    opened = open_run(run)
    rows = rows_of(opened, "train", targets=True, keep=[name])
    groups = {group.name: group for group in evaluate_groups(opened, rows, "train", [name])[1][name]}
    values = column(name)
    assert list(groups) == [*sorted({*values} - {""}), "(missing)"]
    for value, found in groups.items():
        chosen = [row for row in FIELDS[1:] if row[FIELDS[0].index(name)] == ("" if value == "(missing)" else value)]
        path = tmp_path / "group.csv"
        path.write_text("".join(",".join(row) + "\n" for row in [FIELDS[0], *chosen]))
        alone = evaluate_rows(opened, rows_of(opened, str(path), targets=True), "alone").result
        assert found.rows == len(chosen) == alone.rows
        assert dict(found.logs) == pytest.approx(dict(alone.logs))


@pytest.mark.parametrize("gap", [False, True], ids=["whole", "gaps"])
def test_booleans_are_shown_as_they_stand_in_the_file(gap: bool, tmp_path: Path) -> None:
    values = ["true", "false", "" if gap else "true", "false"]
    write(tmp_path, "\n".join(["x,y,paid", *(f"{i},{i},{value}" for i, value in enumerate(values)), ""]), "rows.csv")
    paid = "paid: [{string_lookup: {output_mode: one_hot, mask_token: ''}}]"
    text = CONFIG.replace("inputs: {x: []}", f"inputs: {{x: [], {paid}}}")
    text = text.replace(
        "{reshape: [1]}", "{reshape: {inputs: x, target_shape: [1], name: r}}, {concatenate: [r, paid]}"
    )
    opened = open_run(train(write(tmp_path, text), tmp_path / "runs")[0])
    assert predict_run(opened, "train", keep=["paid"]).kept["paid"].tolist() == values
    groups = evaluate_groups(opened, rows_of(opened, "train", targets=True, keep=["paid"]), "train", ["paid"])[1]
    assert [group.name for group in groups["paid"]] == ["false", "true", *(["(missing)"] if gap else [])]


def test_fractions_are_no_groups(run: RunRecord) -> None:
    opened = open_run(run)
    with pytest.raises(DataError, match=r"expected a column of strings or integers, got numbers such as 0\.5"):
        evaluate_groups(opened, rows_of(opened, "train", targets=True, keep=["size"]), "train", ["size"])
