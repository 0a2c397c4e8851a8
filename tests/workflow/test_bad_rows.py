"""Rows that cannot be used are empty in predictions, and left out of a training, as if the file did not have them."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from kerascli.foundation.errors import ConfigError, DataError
from kerascli.report.predictions import csv_text, json_lines, write_predictions
from kerascli.runs.record import RunRecord
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support.runs_harness import train, write

CONFIG = """
seed: 1
data:
  source: {csv: {path: t.csv}}
  inputs:
    x: [{columns: [a]}, normalization]
    n: [{columns: [n]}, {cast: float32}]
    kind: [{string_lookup: {num_oov_indices: 0, output_mode: one_hot}}]
  targets: {y: [{string_lookup: {}}]}
model:
  layers:
    - concatenate: [x, n, kind]
    - dense: {units: 2, activation: softmax}
compile: {loss: sparse_categorical_crossentropy, optimizer: sgd}
fit: {epochs: 1, batch_size: 8}
"""
NAMES = ("id", "a", "n", "kind", "y")
ROWS = 40


def good(rows: int = ROWS) -> list[list[str]]:
    """Return rows of the table; the numbers have many digits, so that a difference of one bit shows."""
    draw = np.random.default_rng(4)
    numbers = zip(draw.normal(size=rows).tolist(), draw.integers(0, 9, rows).tolist(), strict=True)
    return [[str(i), repr(a), str(n), "abc"[i % 3], "yn"[i % 2]] for i, (a, n) in enumerate(numbers)]


BAD = {
    3: ["3", "many", "1", "a", "y"],  # not of its column's type
    4: ["4", "", "1", "a", "y"],  # missing, and nothing fills it
    11: ["11", "0.5", "1", "z", "y"],  # unknown, without OOV indices
    12: ["12", "0.5", "1.5", "b", "n"],  # no integer, as the training rows are
    20: ["20", "0.5"],  # too few fields
    21: ["21", "0.5", "1", "a", "y", "surplus"],
    39: ["39", "", "", "", ""],
}


def with_bad(bad: Mapping[int, list[str]]) -> list[list[str]]:
    return [bad.get(index, row) for index, row in enumerate(good())]


def as_csv(path: Path, rows: list[list[str]]) -> None:
    path.write_text("".join(",".join(row) + "\n" for row in (NAMES, *rows)))


def _cell(name: str, text: str) -> Any:
    if text == "":
        return None
    try:
        return (
            {"a": float, "n": float, "id": int}.get(name, str)(text)
            if text != "1.5" and name != "n"
            else json.loads(text)
        )
    except ValueError:
        return text


def as_json(path: Path, rows: list[list[str]]) -> None:
    objects = [{name: _cell(name, text) for name, text in zip(NAMES, row, strict=False)} for row in rows]
    lines = [json.dumps(each) if len(row) == len(NAMES) else '{"a": ' for each, row in zip(objects, rows, strict=True)]
    path.write_text("\n".join(lines) + "\n")


def as_parquet(path: Path, rows: list[list[str]]) -> None:
    columns = {name: [_cell(name, row[index]) for row in rows] for index, name in enumerate(NAMES)}
    parquet.write_table(pyarrow.table(columns), path)


WRITERS: dict[str, Callable[[Path, list[list[str]]], None]] = {"csv": as_csv, "jsonl": as_json, "parquet": as_parquet}
IN_PARQUET = {index: row for index, row in BAD.items() if index not in (3, 20, 21)}
"""Bad rows that a file with types can have."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("bad_rows")
    as_csv(folder / "t.csv", good())
    return train(write(folder, CONFIG), folder / "runs")[0]


@pytest.mark.parametrize("form", WRITERS)
def test_good_rows_have_the_same_bits_and_keep_their_positions(form: str, run: RunRecord, tmp_path: Path) -> None:
    bad = IN_PARQUET if form == "parquet" else BAD
    WRITERS[form](tmp_path / f"bad.{form}", with_bad(bad))
    WRITERS[form](tmp_path / f"good.{form}", [row for index, row in enumerate(good()) if index not in bad])
    opened = open_run(run)
    with pytest.raises(DataError, match=r"field|JSON|missing") as caught:
        predict_run(opened, str(tmp_path / f"bad.{form}"))
    assert "--on-bad-rows skip" in str(caught.value.faults[0].hint)
    found = predict_run(opened, str(tmp_path / f"bad.{form}"), keep=["id"], skip=True)
    (warning,) = opened.warnings
    assert f"bad.{form}: {len(bad)} of {ROWS} rows skipped; first: " in warning.text
    assert f"bad.{form}:{min(bad) + {'csv': 2}.get(form, 1)}:" in warning.text
    expected = predict_run(opened, str(tmp_path / f"good.{form}"), keep=["id"])
    left = [index for index in range(ROWS) if index not in bad]
    assert found.rows == ROWS
    for name, values in expected.outputs.items():
        np.testing.assert_array_equal(found.outputs[name][left], values, strict=True)
        assert np.isnan(found.outputs[name][list(bad)]).all()
    assert found.kept["id"][left].tolist() == expected.kept["id"].tolist() == left
    for name, values in found.table().items():
        empty = [values[index] for index in bad]
        assert all(value is None or value != value for value in empty), name
    assert found.class_columns == expected.class_columns == ["class"]


def test_empty_rows_in_each_format(run: RunRecord, tmp_path: Path) -> None:
    as_csv(tmp_path / "t.csv", with_bad({1: ["1"]}))
    found = predict_run(open_run(run), str(tmp_path / "t.csv"), keep=["id"], skip=True)
    assert csv_text(found.table()).splitlines()[2] == ",,,"
    assert csv_text(found.table(classes=True)).splitlines()[2] == ","
    assert set(json.loads(json_lines(found.table()).splitlines()[1]).values()) == {None}
    for name in ("o.parquet", "o.npz", "o.npy"):
        write_predictions(tmp_path / name, [found], ["id"] if name == "o.npz" else [])
    rows = parquet.read_table(tmp_path / "o.parquet").to_pylist()
    assert set(rows[1].values()) == {None}
    assert None not in rows[0].values()
    arrays = np.load(tmp_path / "o.npz", allow_pickle=False)
    assert all(np.isnan(arrays[name][1]).all() for name in arrays)
    assert np.isnan(np.load(tmp_path / "o.npy")[1]).all()


def test_several_files_are_aligned_one_after_the_other(run: RunRecord, tmp_path: Path) -> None:
    as_csv(tmp_path / "one.csv", with_bad(BAD))
    as_csv(tmp_path / "two.csv", good(5))
    as_json(tmp_path / "three.jsonl", with_bad({0: ["0", "x", "1", "a", "y"]}))
    opened = open_run(run)
    files = [str(tmp_path / name) for name in ("one.csv", "two.csv", "three.jsonl")]
    found = predict_run(opened, files, skip=True)
    each = [next(iter(predict_run(opened, file, skip=True).outputs.values())) for file in files]
    # products of matrices of another number of rows may round their last bit otherwise
    np.testing.assert_allclose(next(iter(found.outputs.values())), np.concatenate(each), rtol=1e-6)
    assert (
        f"{files[0]}, {files[2]}: {len(BAD) + 1} of {2 * ROWS + 5} rows skipped; first: {files[0]}:5:"
        in opened.warnings[0].text
    )


def test_all_rows_bad_is_an_error(run: RunRecord, tmp_path: Path) -> None:
    as_csv(tmp_path / "t.csv", [["1", "", "1", "a", "y"]] * 3)
    with pytest.raises(DataError) as caught:
        predict_run(open_run(run), str(tmp_path / "t.csv"), skip=True)
    assert [*caught.value.faults][1].text == f"all 3 rows of '{tmp_path / 't.csv'}' are bad"


def test_what_is_no_bad_row_stays_an_error(run: RunRecord, tmp_path: Path) -> None:
    opened = open_run(run)
    (tmp_path / "t.csv").write_text("id,a,kind\n1,2,a\n")
    with pytest.raises(DataError, match="there is no column 'n'"):
        predict_run(opened, str(tmp_path / "t.csv"), skip=True)
    (tmp_path / "t.csv").write_text('id,a,n,kind\n1,2,3,"a\n1,2,3,a\n')
    with pytest.raises(DataError, match="a quote opened here is never closed"):
        predict_run(opened, str(tmp_path / "t.csv"), skip=True)
    with pytest.raises(ConfigError, match="no such file"):
        predict_run(opened, str(tmp_path / "none.csv"), skip=True)
    with pytest.raises(ConfigError, match="only rows of files are skipped"):
        predict_run(opened, "train", skip=True)


def test_a_command_reads_a_pipe_and_counts_at_the_end(run: RunRecord, tmp_path: Path) -> None:
    as_csv(tmp_path / "t.csv", with_bad(BAD))
    text = (tmp_path / "t.csv").read_text()
    words = ["predict", str(run.path), "-", "--on-bad-rows", "skip", "--classes"]
    done = subprocess.run(
        [sys.executable, "-m", "kerascli", *words], input=text, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + ROWS
    assert [index for index, line in enumerate(lines[1:]) if line == '""'] == list(BAD)
    assert done.stderr.strip().startswith(f"warning: standard input: {len(BAD)} of {ROWS} rows skipped; first: ")


# Training: as the file without the bad rows.

IN_TRAINING = {
    "of another type": ({3: ["3", "many", "1", "a", "y"], 30: ["30", "0.1", "few", "b", "n"]}, ""),
    "missing": ({3: ["3", "", "1", "a", "y"], 4: ["4", "1", "", "a", "y"], 5: ["5", "1", "1", "", "y"]}, ""),
    "no label": ({3: ["3", "0.5", "1", "a", ""]}, ""),
    "fields": ({20: ["20", "0.5"], 21: ["21", "0.5", "1", "a", "y", "surplus"]}, ""),
    "said to be a number": ({7: ["7", "x", "1", "a", "y"]}, "dtypes: {a: number}"),
    "of a decimal comma": ({7: ["7", "x", "1", "a", "y"]}, "decimal: ',', delimiter: ';'"),
}
SPLIT = "split: {validation: 0.2, test: 0.2, seed: 3}"


@pytest.mark.parametrize("case", IN_TRAINING)
def test_a_training_is_that_on_the_file_without_the_bad_rows(case: str, tmp_path: Path) -> None:
    bad, settings = IN_TRAINING[case]
    weights = []
    for name, rows in (("bad", with_bad(bad)), ("good", [row for i, row in enumerate(good()) if i not in bad])):
        folder = tmp_path / name
        folder.mkdir()
        as_csv(folder / "t.csv", rows)
        if "decimal" in settings:
            text = (folder / "t.csv").read_text().replace(",", ";").replace(".", ",")
            (folder / "t.csv").write_text(text)
        source = f"{{csv: {{path: t.csv, on_bad_rows: skip, {settings}}}}}"
        text = CONFIG.replace("{csv: {path: t.csv}}", f"{source}\n  {SPLIT}")
        record, events = train(write(folder, text), folder / "runs")
        weights.append((record.path / "model.safetensors").read_bytes())
        texts = [str(getattr(event, "text", "")) for event in events]
        expected = {} if name == "good" else {"t.csv": len(bad)}
        assert {file: each["skipped"] for file, each in record.facts()["skipped_rows"].items()} == expected
        assert any(f"{len(bad)} of {ROWS} rows skipped; first: t.csv:{min(bad) + 2}" in each for each in texts) == bool(
            expected
        )
    assert weights[0] == weights[1]


def test_an_error_of_training_without_the_setting_names_what_it_did(tmp_path: Path) -> None:
    as_csv(tmp_path / "t.csv", with_bad({3: ["3", "", "1", "a", "y"]}))
    with pytest.raises(DataError) as caught:
        train(write(tmp_path, CONFIG), tmp_path / "runs")
    (fault,) = caught.value.faults
    assert str(fault.place) == "t.csv:5:a"
    assert fault.hint == "add impute before normalization: x: [{impute: median}, ...] fills it from the training rows"


def test_more_than_half_is_doubted_and_all_is_an_error(tmp_path: Path) -> None:
    text = CONFIG.replace("{path: t.csv}", "{path: t.csv, on_bad_rows: skip}")
    missing = {index: [str(index), "", "1", "a", "y"] for index in range(25)}
    as_csv(tmp_path / "t.csv", with_bad(missing))
    _, events = train(write(tmp_path, text), tmp_path / "runs")
    notes = [str(getattr(event, "text", "")) for event in events]
    assert any("25 of 40 rows skipped, more than half: are the settings of the source right?" in each for each in notes)
    as_csv(tmp_path / "t.csv", [missing[0]] * 3)
    with pytest.raises(DataError, match="all 3 rows"):
        train(write(tmp_path, text), tmp_path / "runs")


def test_a_word_that_only_the_split_makes_unknown_is_no_bad_row(tmp_path: Path) -> None:
    """It would depend on the other rows whether a row is left out."""
    text = CONFIG.replace("{csv: {path: t.csv}}", f"{{csv: {{path: t.csv, on_bad_rows: skip}}}}\n  {SPLIT}")
    as_csv(tmp_path / "t.csv", [[*row[:3], f"k{row[0]}", row[4]] for row in good()])
    with pytest.raises(DataError, match="is not in the vocabulary"):
        train(write(tmp_path, text), tmp_path / "runs")


def test_rows_are_evaluated_as_they_are_trained_on(tmp_path: Path) -> None:
    as_csv(tmp_path / "t.csv", with_bad(BAD))
    text = CONFIG.replace("{path: t.csv}", "{path: t.csv, on_bad_rows: skip}").replace("num_oov_indices: 0, ", "")
    record, _ = train(write(tmp_path, text), tmp_path / "runs")
    opened = open_run(record)
    split = evaluate_rows(opened, rows_of(opened, "train", targets=True), "train").result
    file = evaluate_rows(opened, rows_of(opened, str(tmp_path / "t.csv"), targets=True), "file").result
    assert (file.rows, file.logs) == (split.rows, split.logs)
    with pytest.raises(DataError):
        predict_run(opened, str(tmp_path / "t.csv"))


def test_windows_need_all_rows(tmp_path: Path) -> None:
    as_csv(tmp_path / "t.csv", good())
    source = "{timeseries: {sequence_length: 2, source: {csv: {path: t.csv, on_bad_rows: skip}}}}"
    text = CONFIG.replace("{csv: {path: t.csv}}", source)
    with pytest.raises(
        ConfigError, match="on_bad_rows: skip would leave gaps in the rows that timeseries puts together"
    ):
        train(write(tmp_path, text), tmp_path / "runs")


PICTURES = """
seed: 1
data:
  source: {csv: {path: t.csv, files: {photo: {image: {size: 2}}}}}
  inputs: {photo: [{rescaling: $(1/255)}]}
  targets: {y: []}
model: {layers: [flatten, {dense: 1}]}
compile: {loss: mse, optimizer: sgd}
fit: {epochs: 1}
"""


def test_missing_and_damaged_pictures_are_bad_rows(tmp_path: Path) -> None:
    for number in range(4):
        Image.new("RGB", (2, 2), (60 * number, 0, 9)).save(tmp_path / f"{number}.png")
    (tmp_path / "t.csv").write_text("photo,y\n0.png,1\n1.png,2\n2.png,3\n3.png,4\n")
    record, _ = train(write(tmp_path, PICTURES), tmp_path / "runs")
    expected = next(iter(predict_run(open_run(record), str(tmp_path / "t.csv")).outputs.values()))
    (tmp_path / "1.png").write_bytes(b"\x89PNG broken")
    (tmp_path / "new.csv").write_text("photo\n0.png\n1.png\nnone.png\n3.png\n")
    opened = open_run(record)
    found = next(iter(predict_run(opened, str(tmp_path / "new.csv"), skip=True).outputs.values()))
    np.testing.assert_array_equal(found[[0, 3]], expected[[0, 3]])
    assert np.isnan(found[[1, 2]]).all()
    assert "2 of 4 rows skipped; first: " in opened.warnings[0].text
    alone = predict_run(open_run(record), [str(tmp_path / f"{number}.png") for number in range(4)], skip=True)
    assert np.isnan(next(iter(alone.outputs.values()))[:, 0]).tolist() == [False, True, False, False]
    text = PICTURES.replace("path: t.csv, files", "path: t.csv, on_bad_rows: skip, files")
    record, _ = train(write(tmp_path, text), tmp_path / "runs")
    assert record.facts()["skipped_rows"]["t.csv"]["skipped"] == 1


def test_two_outputs_have_metrics_of_one_name_and_errors_of_the_data_are_seen(tmp_path: Path) -> None:
    """Though the outputs are not known before the file is read."""
    text = """
data: {source: {csv: {path: d.csv}}, inputs: {x: [{columns: [x]}]}, targets: {y: [], z: []}}
model:
  layers: [{dense: {units: 4, name: h}}, {dense: {units: 1, name: y}}, {dense: {units: 1, inputs: h, name: z}}]
  outputs: [y, z]
compile: {loss: mse, metrics: {y: [mae], z: [mae]}}
"""
    write(tmp_path, "x,y,z\n1,1,1\n2,2,2\n3,4,3\n", "d.csv")
    run, _ = train(write(tmp_path, text), tmp_path / "runs", ["fit.epochs=1"])
    assert run.history()[0].keys() >= {"y_mae", "z_mae"}
    write(tmp_path, "x,y,z\n1,1,1\n2,2,2\n3,,3\n", "d.csv")
    with pytest.raises(DataError) as error:
        train(tmp_path / "config.yaml", tmp_path / "runs")
    assert [fault.text for fault in error.value.faults] == ["missing label (1 row)"]
