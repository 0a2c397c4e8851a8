"""`predict` and `evaluate` take what a run's source reads, and what holds the same: files, folders, pipes, texts."""

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from kerascli.data.command_input import CommandInput
from kerascli.data.pipeline.learned_state import known_columns
from kerascli.foundation.errors import ConfigError, DataError
from kerascli.report.predictions import Predictions
from kerascli.runs.record import RunRecord
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.predict import Form, predict_run
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.stream import arriving_lines, predict_stream
from tests.support.runs_harness import command, train, write

PICTURES = """
seed: 1
data:
  source: {image_folder: {directory: pictures, image_size: [4, 4]}}
  inputs: {image: [{rescaling: $(1/255)}]}
  targets: {label: []}
model: {layers: [flatten, {dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: sgd}
fit: {epochs: 1}
"""
TEXTS = """
seed: 1
data:
  source: {text_folder: {directory: texts}}
  inputs: {text: [{text_vectorization: {max_tokens: 20, output_mode: multi_hot}}]}
  targets: {label: []}
model: {layers: [{dense: {units: 1, activation: sigmoid}}]}
compile: {loss: binary_crossentropy, optimizer: {adam: 0.1}, metrics: [accuracy]}
fit: {epochs: 3}
"""
ROWS = """
seed: 1
data:
  source: {csv: {path: rows.csv, delimiter: ";"}}
  inputs: {x: [{columns: [a, b]}], kind: [{string_lookup: {output_mode: one_hot}}]}
  targets: {y: []}
model: {layers: [{concatenate: [x, kind]}, {dense: 1}]}
compile: {loss: mse, optimizer: sgd}
fit: {epochs: 1}
"""


def draw(path: Path, shade: int, size: tuple[int, int] = (6, 5)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, shade, 255 - shade)).save(path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        draw(folder / "pictures" / "dark" / f"{number}.png", number * 20)
        draw(folder / "pictures" / "light" / f"{number}.jpg", 255 - number * 20)
    return train(write(folder, PICTURES), folder / "runs")[0]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("texts")
    for name, words in (("bad", "awful boring"), ("good", "great lovely")):
        (folder / "texts" / name).mkdir(parents=True)
        for number in range(4):
            (folder / "texts" / name / f"{number}.txt").write_text(f"{words} film {number}")
    return train(write(folder, TEXTS), folder / "runs")[0]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("rows")
    lines = [f"{i};{i / 2};{2 * i};{'ab'[i % 2]};{i / 10}" for i in range(8)]
    (folder / "rows.csv").write_text("\n".join(["id;a;b;kind;y", *lines, ""]))
    return train(write(folder, ROWS), folder / "runs")[0]


def same(found: Predictions, expected: Predictions, rows: Sequence[int] | slice = slice(None)) -> None:
    """Assert equal predictions. Rows together and alone are summed in another order in float32."""
    for name, values in expected.outputs.items():
        np.testing.assert_allclose(found.outputs[name], values[rows], rtol=1e-5, atol=1e-6)


def home(run: RunRecord) -> Path:
    return run.path.parent.parent


def test_images_in_files_folders_and_patterns(pictures: RunRecord, tmp_path: Path) -> None:
    run = open_run(pictures)
    whole = predict_run(run, "train")
    folder = home(pictures) / "pictures"
    files = [str(folder / "dark" / f"{number}.png") for number in range(3)]
    same(predict_run(run, files), whole, slice(0, 3))
    one = predict_run(run, str(folder / "light" / "1.jpg"))
    same(one, whole, [4])
    assert one.kept["file"].tolist() == [str(folder / "light" / "1.jpg")]
    same(predict_run(run, str(folder)), whole)
    same(predict_run(run, str(folder / "**" / "?.jpg")), whole, slice(3, 6))
    same(predict_run(run, [files[2], str(folder / "light")]), whole, [2, 3, 4, 5])
    draw(tmp_path / "wide.PNG", 100, (40, 10))
    assert predict_run(run, str(tmp_path / "wide.PNG")).rows == 1  # made of the size that the run's images have


def test_a_split_of_files_has_their_names(pictures: RunRecord, texts: RunRecord) -> None:
    rows = predict_run(open_run(pictures), "train")
    paths = [Path(each) for each in rows.kept["file"].tolist()]
    assert not any(".." in path.parts for path in paths)
    assert [path.name for path in paths] == ["0.png", "1.png", "2.png", "0.jpg", "1.jpg", "2.jpg"]
    again = predict_run(open_run(pictures), list(map(str, paths)))
    assert again.kept["file"].tolist() == rows.kept["file"].tolist()
    assert all(np.array_equal(again.outputs[name], values) for name, values in rows.outputs.items())
    kept = predict_run(open_run(texts), "train", keep=["file", "label"]).kept
    assert [*kept] == ["file", "label"]
    assert all(Path(each).read_text() for each in kept["file"].tolist())


def test_a_folder_with_classes_is_evaluated(pictures: RunRecord, tmp_path: Path) -> None:
    run = open_run(pictures)
    expected = evaluate_rows(run, rows_of(run, "train", targets=True), "train").result
    found = evaluate_rows(run, rows_of(run, str(home(pictures) / "pictures"), targets=True), "train").result
    assert (dict(found.logs), found.rows) == (dict(expected.logs), expected.rows)
    draw(tmp_path / "dark" / "a.png", 1)
    with pytest.raises(DataError, match="there is no folder for the class 'light'"):
        rows_of(run, str(tmp_path), targets=True)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)], ids=str)
def test_a_run_of_arrays_of_bytes_takes_images(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, *shape)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", image=images, y=np.arange(6) % 2)
    text = PICTURES.replace("image_folder: {directory: pictures, image_size: [4, 4]}", "npz: {path: data.npz}")
    run = open_run(train(write(tmp_path, text.replace("label: []", "y: []")), tmp_path / "runs")[0])
    flat = images[2].reshape(4, 5, *[3] * (shape[2:] == (3,)))
    Image.fromarray(flat).save(tmp_path / "third.png")
    same(predict_run(run, str(tmp_path / "third.png")), predict_run(run, "train"), [2])


def test_texts_in_files_folders_options_and_lines(texts: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(texts)
    whole = predict_run(run, "train")
    folder = home(texts) / "texts"
    same(predict_run(run, str(folder)), whole)
    same(predict_run(run, [str(folder / "good" / "0.txt"), str(folder / "bad" / "1.txt")]), whole, [4, 1])
    same(predict_run(run, [], texts=["awful boring film 2", "great lovely film 3"]), whole, [2, 7])
    pipe(monkeypatch, b"great lovely film 0\n\nawful boring film 0\n")
    same(predict_run(run, "-"), whole, [4, 0])
    pipe(monkeypatch, b'{"text": "great lovely film 1"}\n')
    same(predict_run(run, "-"), whole, [5])
    pipe(monkeypatch, b"id,text\n7,great lovely film 1\n")
    same(predict_run(run, "-"), whole, [5])
    pipe(monkeypatch, b"great lovely film 1 text\nawful boring film 1\n")  # a text may have the column's name in it
    assert predict_run(run, "-").rows == 2


def pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_tables_of_every_format_give_the_same(
    table: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run(table)
    whole = predict_run(run, "train")
    rows = [{"id": i, "a": i / 2, "b": 2 * i, "kind": "ab"[i % 2]} for i in range(8)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:3]))
    own = "\n".join(["id;a;b;kind", *(";".join(map(str, row.values())) for row in rows[3:]), ""])
    (tmp_path / "b.csv").write_text(own)
    found = predict_run(run, [str(tmp_path / "a.jsonl"), str(tmp_path / "b.csv")], keep=["id", "kind"])
    same(found, whole)
    assert found.kept["id"].tolist() == list(range(8))
    assert found.kept["kind"].tolist() == list("abababab")
    same(predict_run(run, str(tmp_path / "[ab].*")), whole)
    pipe(monkeypatch, own.encode())
    same(predict_run(run, "-"), whole, slice(3, 8))
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    np.savez(tmp_path / "c.npz", allow_pickle=False, **columns)  # type: ignore[arg-type]
    pipe(monkeypatch, (tmp_path / "c.npz").read_bytes())
    same(predict_run(run, "-"), whole)
    parquet.write_table(pyarrow.table(columns), tmp_path / "d.parquet")
    pipe(monkeypatch, (tmp_path / "d.parquet").read_bytes())
    same(predict_run(run, "-"), whole)


WORDS = """
seed: 1
data:
  source: {csv: {path: rows.csv, dtypes: {code: text, id: text, y: text}}}
  inputs: {truth: [{string_lookup: {output_mode: one_hot}}], code: [{string_lookup: {output_mode: one_hot}}]}
  targets: {y: [string_lookup]}
model: {layers: [{concatenate: [truth, code]}, {dense: {units: 2, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.1}}
fit: {epochs: 2}
"""


def test_numbers_and_truths_are_the_words_of_their_file_whatever_the_format_and_number_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New files lack columns that the model does not use, as the target, though the source has dtypes for them."""
    rows = [(("true", "false")[i % 2], f"00{i % 3}") for i in range(6)]
    lines = [f"{i:03d},{truth},{code},{i % 2:02d}" for i, (truth, code) in enumerate(rows)]
    (tmp_path / "rows.csv").write_text("\n".join(["id,truth,code,y", *lines, ""]))
    run = open_run(train(write(tmp_path, WORDS), tmp_path / "runs")[0])
    whole = predict_run(run, "train")
    for part in range(2):
        text = "".join(f"{truth},{code}\n" for truth, code in rows[3 * part : 3 * part + 3])
        (tmp_path / f"{part}.csv").write_text(f"truth,code\n{text}")
    files = [str(tmp_path / "0.csv"), str(tmp_path / "1.csv")]
    found = predict_run(run, files, keep=["code"])
    same(found, whole)
    assert found.kept["code"].tolist() == [code for _, code in rows]
    truths = [truth == "true" for truth, _ in rows]
    codes = [code for _, code in rows]
    parquet.write_table(pyarrow.table({"truth": truths, "code": codes}), tmp_path / "new.parquet")
    same(predict_run(run, str(tmp_path / "new.parquet")), whole)
    json_lines = [json.dumps({"truth": truth, "code": code}) + "\n" for truth, code in zip(truths, codes, strict=True)]
    (tmp_path / "new.jsonl").write_text("".join(json_lines))
    same(predict_run(run, str(tmp_path / "new.jsonl")), whole)
    pipe(monkeypatch, (tmp_path / "0.csv").read_bytes())
    same(predict_run(run, "-"), whole, slice(0, 3))


def test_the_name_of_a_split_is_the_split(table: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").write_text("id;a;b;kind;y\n1;1;1;a;1\n")
    run = open_run(table)
    assert predict_run(run, "train").rows == 8
    assert predict_run(run, "./train").rows == 1
    with pytest.raises(ConfigError, match="the split 'train' goes alone"):
        predict_run(run, ["train", "./train"])


def test_faults_of_joined_tables_have_their_file(table: RunRecord, tmp_path: Path) -> None:
    run = open_run(table)
    (tmp_path / "a.csv").write_text("a;b;kind\n1;1;a\n2;2;b\n")
    (tmp_path / "b.csv").write_text("a;b;kind\n1;1;a\n;2;b\n")
    with pytest.raises(DataError, match="missing value") as error:
        predict_run(run, [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    assert str(error.value.faults[0].place) == f"{tmp_path / 'b.csv'}:3:a"


def test_all_missing_columns_are_named_and_others_ignored(table: RunRecord, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("b;other\n1;x\n")
    with pytest.raises(DataError, match="there are no columns 'a', 'kind'"):
        predict_run(open_run(table), str(tmp_path / "few.csv"))


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (["pictures"], "is a folder; the run's source \\(csv\\) reads files"),
        (["none/*.csv"], "there is no file like 'none/\\*.csv'"),
        (["pictures/dark/0.png"], "is an image; the inputs are made of the columns a, b, kind"),
        ([], "--text: the inputs are made of the columns a, b, kind"),
    ],
)
def test_what_a_run_cannot_read_is_refused(
    table: RunRecord, pictures: RunRecord, what: list[str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home(pictures))
    with pytest.raises((ConfigError, DataError), match=text):
        predict_run(open_run(table), what, texts=[] if what else ["words"])


def test_a_threshold_moves_the_class_of_two(texts: RunRecord) -> None:
    run = open_run(texts)
    whole = predict_run(run, "train")
    second = whole.columns["p(good)"]
    for threshold in (0.0, float(np.sort(second)[3]), 1.0):
        run.thresholds = dict.fromkeys(run.binary_outputs, threshold)
        found = predict_run(run, "train")
        assert found.columns["class"].tolist() == ["good" if p > threshold else "bad" for p in second.tolist()]


def test_a_threshold_without_two_classes_is_refused(table: RunRecord) -> None:
    with pytest.raises(ConfigError, match="--threshold: this model does not predict one of two classes"):
        command("predict", table.path, "train", "--threshold", "0.3")


def test_a_threshold_moves_the_class_of_a_softmax_of_two(pictures: RunRecord) -> None:
    run = open_run(pictures)
    second = predict_run(run, "train").columns["p(light)"]
    for threshold in (0.0, float(np.sort(second)[3]), 1.0):
        run.thresholds = dict.fromkeys(run.binary_outputs, threshold)
        labels = predict_run(run, "train").columns["class"].tolist()
        assert labels == ["light" if p > threshold else "dark" for p in second.tolist()]


def test_a_kept_column_stands_beside_a_prediction_of_its_name(table: RunRecord) -> None:
    header, *rows = command("predict", table.path, "train", "--keep", "y", "--keep", "id").splitlines()
    assert header == "y,id,predicted_y"
    assert [row.split(",")[:2] for row in rows] == [[str(i / 10), str(i)] for i in range(8)]


def test_two_columns_of_one_name_are_refused(table: RunRecord, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a;b;kind;y;predicted_y\n1;2;a;3;4\n")
    kept = predict_run(open_run(table), str(tmp_path / "rows.csv"), keep=["y", "predicted_y"])
    with pytest.raises(ConfigError, match=r"a kept column .* and a prediction would have one name"):
        kept.table()
    assert [*predict_run(open_run(table), str(tmp_path / "rows.csv"), keep=["predicted_y"]).table()] == [
        "predicted_y", "y"
    ]  # fmt: skip


def test_a_column_called_file_is_that_of_a_table(table: RunRecord, tmp_path: Path) -> None:
    (tmp_path / "the files.csv").write_text("file;a;b;kind\nx;1;2;a\n")
    assert predict_run(open_run(table), str(tmp_path / "the files.csv")).kept == {}


def test_json_lines_out(texts: RunRecord, tmp_path: Path) -> None:
    shown = command("predict", texts.path, "--text", "great", "--json")
    command("predict", texts.path, "--text", "great", "-o", tmp_path / "rows.jsonl")
    assert (tmp_path / "rows.jsonl").read_text() == shown
    assert json.loads(shown).keys() == {"class", "p(bad)", "p(good)"}


def test_a_stream_is_answered_row_by_row_and_bad_rows_are_skipped(table: RunRecord, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kerascli", "predict", str(table.path), "-", "--stream", "--keep", "id"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, text=True, bufsize=1, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("id;a;b;kind\n0;0;0;a\n")
        assert process.stdout.readline() == "id,y\n"  # the answer comes before the next row is there
        first = process.stdout.readline()
        process.stdin.write("1;x;2;b\n2;1\n\n3;1.5;6;b\n")
        second = process.stdout.readline()
        _, err = process.communicate()
    whole = predict_run(open_run(table), "train").outputs["dense"]
    assert [first.split(",")[0], second.split(",")[0]] == ["0", "3"]
    np.testing.assert_allclose([float(line.split(",")[1]) for line in (first, second)], whole[[0, 3], 0], rtol=1e-5)
    said = "standard input:3:a: error: 'x' is not a number\n  hint: the training rows hold numbers in 'a'\n"
    assert said in err
    assert "standard input:4: error: 2 fields, the header has 4" in err
    assert "2 of 4 rows were bad" in err
    assert process.returncode == 3


def alone(lines: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Lines of a stream that arrive one by one."""
    return [[line] for line in lines]


STREAMS = {
    "plain": ("a;b;kind", ["1;2;a", "x;2;b", "2;2.5;b", "3;1;a;4", "4;;a", "", "5;1;b"]),
    "quotes": ("a;b;kind", ['1;2;"a"', '2;3;"b"', '3;4;"b', 'c"', "4;5;a"]),
    "json": ("", ['{"a": 1, "b": 2, "kind": "a"}', '{"a": 1, "kind": "a"}', '{"a": 1.5, "b": 2, "kind": "b"}',
                  '{"a": "x", "b": 2, "kind": "b"}', "{", '{"a": 2, "b": 3, "kind": "a", "c": 0}']),
    "cut off": ("a;b;kind", ["1;2;a", "2;3;b", "3;4;a\0", "1;1;b"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", STREAMS)
def test_rows_that_arrive_together_are_answered_as_one_by_one(kind: str, table: RunRecord) -> None:
    header, rows = STREAMS[kind]
    run = open_run(table)
    lines = [f"{line}\n".encode() for line in ([header] if header else []) + rows]

    def answers(arrivals: Sequence[Sequence[bytes]]) -> tuple[list[float], list[str]]:
        values: list[float] = []
        errors: list[str] = []
        for found in predict_stream(run, arrivals, Form()):
            if isinstance(found, DataError):
                errors += [line for fault in found.faults for line in fault.lines()]
                values.append(np.nan)
            else:
                values += found.columns["y"].tolist()
        return values, errors

    together, one_by_one = answers([lines]), answers(alone(lines))
    np.testing.assert_allclose(together[0], one_by_one[0], rtol=1e-5)
    assert together[1] == one_by_one[1]
    split = io.BufferedReader(cast(io.RawIOBase, io.BytesIO(b"".join(lines))), 7)
    np.testing.assert_allclose(answers(list(arriving_lines(split)))[0], one_by_one[0], rtol=1e-5)


def test_a_batch_of_a_stream_is_a_call_of_the_model(table: RunRecord) -> None:
    lines = [b"a;b;kind\n", *(f"{i};1;a\n".encode() for i in range(1500))]
    found = list(predict_stream(open_run(table), [lines[:1000], lines[1000:]], Form()))
    assert [each.rows for each in found if isinstance(each, Predictions)] == [999, 501]


@pytest.mark.parametrize("form", ["lines", "json"])
def test_texts_are_streamed(texts: RunRecord, form: str) -> None:
    run = open_run(texts)
    words = ["great lovely text film 1", "awful boring film 1"]  # "text", the column, is no word that it knows
    lines = [f"{each if form == 'lines' else json.dumps({'text': each})}\n".encode() for each in words]
    found = list(predict_stream(run, alone(lines), Form()))
    whole = predict_run(run, [], texts=words).columns["p(good)"]
    for each, expected in zip(found, whole, strict=True):
        assert isinstance(each, Predictions)
        np.testing.assert_allclose(each.columns["p(good)"], expected, rtol=1e-5)


def test_bytes_that_are_no_text_are_a_bad_row(texts: RunRecord, table: RunRecord) -> None:
    run = open_run(texts)
    found = list(predict_stream(run, alone([b"great film\n", b"gr\xe9at\n", b"awful\n"]), Form()))
    assert [isinstance(each, DataError) for each in found] == [False, True, False]
    rows = list(predict_stream(open_run(table), alone([b"a;b;kind\n", b"1;2;\xe9\n", b"1;2;a\n"]), Form()))
    assert [isinstance(each, DataError) for each in rows] == [True, False]
    assert "standard input:2: error: not UTF-8" in rows[0].faults[0].lines()[0]  # type: ignore[union-attr]


def test_a_stream_of_skipped_lines_has_no_rows(table: RunRecord) -> None:
    run = open_run(table)
    assert run.data is not None
    source = run.data.source.model_copy(update={"skip_rows": 3})
    run.data = run.data.model_copy(update={"source": source})
    assert list(predict_stream(run, alone([b"one\n", b"two\n"]), Form())) == []


def test_windows_are_predicted_from_the_file_that_they_were_trained_on(tmp_path: Path) -> None:
    """Columns that the windows are not made of are left alone, dates among them."""
    lines = [f"2024-01-{i + 1:02d},{i},{i % 3}" for i in range(20)]
    (tmp_path / "series.csv").write_text("\n".join(["date,value,other", *lines, ""]))
    source = "{timeseries: {source: {csv: {path: series.csv}}, sequence_length: 4}}"
    text = (
        f"seed: 1\ndata: {{source: {source}, inputs: {{value: []}}, targets: {{value_next: []}}}}\n"
        "model: {layers: [flatten, {dense: 1}]}\ncompile: {loss: mse, optimizer: sgd}\nfit: {epochs: 1}\n"
    )
    run: LoadedRun = open_run(train(write(tmp_path, text), tmp_path / "runs")[0])
    found, expected = predict_run(run, str(tmp_path / "series.csv")), predict_run(run, "train")
    assert (found.rows, expected.rows) == (17, 16)  # the last window has no target: what follows is what is asked
    np.testing.assert_allclose(found.outputs["dense"][:16], expected.outputs["dense"], rtol=1e-5)
    (tmp_path / "series.jsonl").write_text("".join(f'{{"value": {i}}}\n' for i in range(20)))
    np.savez(tmp_path / "series.npz", value=np.arange(20))
    np.save(tmp_path / "series.npy", np.arange(20))
    for suffix in ("jsonl", "npz", "npy"):
        same(predict_run(run, str(tmp_path / f"series.{suffix}")), found)


def test_the_columns_of_the_inputs_are_those_that_are_read(table: RunRecord) -> None:
    run = open_run(table)
    assert run.data is not None
    columns = known_columns(run.learned)
    assert list(CommandInput(run.data, columns, Path(), targets=False).used()) == ["a", "b", "kind"]
    assert list(CommandInput(run.data, columns, Path(), targets=True).used()) == ["a", "b", "kind", "y"]


def test_standard_input_and_a_line_of_a_stream_are_limited(texts: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(texts)
    monkeypatch.setattr("kerascli.data.command_input.memory_limit", lambda: 800)
    pipe(monkeypatch, b"great film\n" * 10)
    with pytest.raises(DataError, match="more than 100 bytes, the limit here"):
        predict_run(run, "-")
    monkeypatch.setattr("kerascli.workflow.stream._MOST_BYTES", 100)
    lines = arriving_lines(io.BufferedReader(io.BytesIO(b"short\n" + b"x" * 101)))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="a line of more than 100 bytes"):
        list(lines)


@pytest.mark.parametrize("dtype", ["U3", "S3", "U0"])
def test_rows_of_several_texts_where_numbers_were_are_an_error(dtype: str, table: RunRecord, tmp_path: Path) -> None:
    file = tmp_path / "rows.npz"
    np.savez(file, a=np.full((3, 2), "a", dtype), b=np.ones(3), kind=np.full(3, "a"))
    with pytest.raises(DataError, match="column 'a' holds text; expected numbers"):
        predict_run(open_run(table), str(file))
