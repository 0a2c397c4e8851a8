"""A threshold that is kept with a run labels its predictions, evaluations and exports, and says so."""

import csv
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.metrics import confusion_matrix, recall_score
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.foundation.errors import ConfigError, DataError, FileRefused, KerasCliError, StorageError
from kerascli.runs.checksums import sealed, unsealed
from kerascli.runs.evaluations import evaluations
from kerascli.runs.record import RunRecord
from tests.support.needs import library
from tests.support.runs_harness import command, go_on, train, write

PASSED_ON = """
seed: 1
data:
  source: {csv: {path: rows.csv}}
  inputs: {x: [{columns: [p]}]}
  targets: {y: [{string_lookup: {positive: fraud}}]}
model: {layers: [{dense: {units: 1, kernel_initializer: ones, name: out}}]}
compile: {loss: binary_crossentropy, optimizer: {sgd: 1.0e-30}, metrics: [accuracy, recall]}
fit: {epochs: 1}
"""
"""The probability is the number in the row, bit for bit."""
AT = 0.3
EDGE = [np.nextafter(np.float32(AT), np.float32(side)) for side in (0, 1)]
PROBABILITIES = [*EDGE, np.float32(AT), np.float32(AT), *np.linspace(0.01, 0.99, 40, dtype=np.float32)]
WORDS = ["fraud" if i % 3 == 0 or p > 0.6 else "sound" for i, p in enumerate(PROBABILITIES)]
IS_FRAUD = np.array([word == "fraud" for word in WORDS])
REGIONS = ["north" if i % 2 else "south" for i in range(len(WORDS))]
LABELS = ["fraud" if p > np.float32(AT) else "sound" for p in PROBABILITIES]
TWO = """
seed: 1
data:
  source: {csv: {path: rows.csv}}
  inputs: {x: [{columns: [p]}]}
  targets: {y: [{string_lookup: {positive: fraud}}], region: [string_lookup]}
model:
  layers:
    - dense: {units: 1, activation: sigmoid, name: y, inputs: x}
    - dense: {units: 2, activation: softmax, name: region, inputs: x}
  outputs: [y, region]
compile:
  loss: {y: binary_crossentropy, region: sparse_categorical_crossentropy}
  optimizer: {adam: 0.1}
fit: {epochs: 3, callbacks: [{model_checkpoint: {monitor: loss, save_best_only: true}}]}
"""


def rows(folder: Path) -> None:
    lines = [
        f"{p!r},{word},{region}" for p, word, region in zip(map(float, PROBABILITIES), WORDS, REGIONS, strict=True)
    ]
    (folder / "rows.csv").write_text("\n".join(["p,y,region", *lines, ""]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("fraud")
    rows(folder)
    return train(write(folder, PASSED_ON), folder / "runs")[0]


@pytest.fixture
def run(trained: RunRecord, tmp_path: Path) -> RunRecord:
    """A copy of the run, which needs its data by --data."""
    shutil.copytree(trained.path, tmp_path / trained.folder_name)
    shutil.copy(trained.path.parents[1] / "rows.csv", tmp_path)
    return RunRecord(tmp_path / trained.folder_name)


def evaluate(run: RunRecord, *options: object) -> str:
    return command("evaluate", run.path, run.path.parent / "rows.csv", *options)


def predict(run: RunRecord, *options: object) -> str:
    return command("predict", run.path, run.path.parent / "rows.csv", *options)


def facts_of(run: RunRecord, *options: object) -> dict:
    return json.loads(evaluate(run, "--json", *options))


def stderr(*arguments: object, text: str | None = None) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False, input=text)
    assert done.exit_code == 0, done.stderr
    return done.stderr


def files_of(run: RunRecord) -> dict[Path, bytes]:
    """The files of a run without those that each evaluation writes."""
    files = [file for file in run.path.rglob("*") if file.is_file() and not {"plots", "evaluations"} & {*file.parts}]
    return {file: file.read_bytes() for file in files}


def kept(run: RunRecord) -> dict:
    path = run.path / "threshold.json"
    return unsealed(path.read_bytes(), path)["thresholds"]


# At a threshold


@pytest.mark.parametrize("threshold", [0.0, AT, 0.55, 1.0])
def test_matrix_and_class_table_are_those_of_scikit_learn_and_keras(run: RunRecord, threshold: float) -> None:
    facts = facts_of(run, "--threshold", threshold)
    positive = np.array(PROBABILITIES) > np.float32(threshold)
    expected = confusion_matrix(IS_FRAUD, positive, labels=[False, True])
    assert facts["confusion_matrices"]["out"] == expected.tolist()
    names = ("TrueNegatives", "FalsePositives", "FalseNegatives", "TruePositives")
    theirs = [float(getattr(keras.metrics, name)(threshold)(IS_FRAUD, np.array(PROBABILITIES))) for name in names]
    assert expected.ravel().tolist() == theirs
    fraud = facts["classes"]["out"][1]
    assert fraud["recall"] == pytest.approx(recall_score(IS_FRAUD, positive))
    assert facts["label_thresholds"] == {"out": threshold}
    [stored] = [each.facts["outputs"]["out"] for each in evaluations(run) if each.name.startswith("rows-")]
    assert (stored["threshold"], stored["matrix"]) == (threshold, expected.tolist())
    page = run.path.parent / "page.html"
    command("report", run.path, "-o", page)
    assert f", labels at threshold {threshold:.4g}" in page.read_text()
    assert facts["results"] == facts_of(run)["results"], "metrics of the config stay those of Keras, at 0.5"
    lines = evaluate(run, "--threshold", threshold).splitlines()
    first = lines.index(f"'fraud' where its probability is above {threshold:.4g}:") + 1
    assert lines[first].split() == ["true", "/", "predicted", "sound", "fraud"]
    counts = [re.findall(r" (\d+) \([\d.]+%\)", line) for line in lines[first + 1 : first + 3]]
    assert [list(map(int, row)) for row in counts] == expected.tolist()


def test_groups_are_evaluated_at_the_threshold(run: RunRecord) -> None:
    groups = facts_of(run, "--threshold", AT, "--by", "region", "--by", "y")["groups"]
    positive, south = np.array(PROBABILITIES) > np.float32(AT), np.array(REGIONS) == "south"
    recall = recall_score(IS_FRAUD[south], positive[south])
    assert groups["region"]["south"]["results"]["recall_0.3"] == pytest.approx(recall)
    assert groups["region"]["south"]["positives"] == {"out": IS_FRAUD[south].sum()}
    assert groups["y"]["sound"]["results"]["recall_0.3"] is None
    assert groups["y"]["sound"]["results"]["accuracy_0.3"] == pytest.approx((~positive[~IS_FRAUD]).mean())
    lines = evaluate(run, "--threshold", AT, "--by", "region").splitlines()
    header = next(line for line in lines if line.startswith("region "))
    assert header.split()[-4:] == ["precision_0.3", "recall_0.3", "f1_0.3", "accuracy_0.3"]
    assert "recall_0.5" not in evaluate(run, "--maximize", "f1", "--by", "region")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--threshold", "0.3", "--maximize", "f1"], "--threshold and --maximize: give one of them"),
        (["--threshold", "0.3", "--hold-recall", "0.5"], "--threshold and --hold-recall: give one of them"),
        (["--keep-threshold"], "--keep-threshold and --output go with --threshold P, --maximize METRIC or"),
        (["--output", "out"], "--keep-threshold and --output go with --threshold P, --maximize METRIC or"),
        (["--threshold", "0.3", "--output", "ouf"], "--output ouf: expected out; did you mean 'out'"),
    ],
)
def test_a_wrong_use_of_the_options_is_refused(run: RunRecord, options: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        evaluate(run, *options)


# The kept threshold


def test_a_row_at_the_kept_threshold_has_one_label_everywhere(run: RunRecord) -> None:
    onnxruntime = library("onnxruntime")
    evaluate(run, "--threshold", AT, "--keep-threshold")
    ours = [line.split(",")[0] for line in predict(run).splitlines()[1:]]
    assert ours == LABELS
    assert LABELS[:4] == ["sound", "fraud", "sound", "sound"]
    assert predict(run, "--classes").splitlines()[1:] == LABELS
    text = "p\n" + "".join(f"{float(p)!r}\n" for p in PROBABILITIES)
    done = CliRunner().invoke(app, ["predict", str(run.path), "-", "--stream", "--classes"], input=text)
    assert done.stdout.splitlines()[1:] == LABELS
    file = run.path.parent / "rows.onnx"
    said = stderr("export", run.path, "--preprocessing", "-o", file)
    assert "threshold 0.3 of threshold.json (given on" in said
    assert "labels the classes" in said
    session = onnxruntime.InferenceSession(file.read_bytes())
    (names,) = session.run(["out_class"], {"p": np.array(PROBABILITIES, session_dtype(session))})
    assert names.ravel().tolist() == LABELS
    matrix = facts_of(run)["confusion_matrices"]["out"]
    assert matrix == confusion_matrix(WORDS, LABELS, labels=["sound", "fraud"]).tolist()


def session_dtype(session: object) -> str:
    return {"tensor(double)": "float64", "tensor(float)": "float32"}[session.get_inputs()[0].type]  # type: ignore[attr-defined]


@pytest.mark.parametrize("option", [["--maximize", "f1"], ["--hold-recall", "0.9"], ["--threshold", "0.25"]])
def test_a_kept_threshold_labels_later_commands_which_say_so(run: RunRecord, option: list[str]) -> None:
    path, data = run.path, run.path.parent / "rows.csv"
    before = files_of(run)
    chosen = facts_of(run, *option, "--keep-threshold")["chosen"]["out"]
    after = files_of(run)
    assert {file.name for file in after.keys() - before.keys()} <= {"threshold.json", ".lock"}
    assert all(after[file] == before[file] for file in before if file.name != ".lock"), "the manifest is as it was"
    rule = {"--maximize": "f1", "--hold-recall": "recall >= 0.9", "--threshold": "given"}[option[0]]
    entry = kept(run)["out"]
    assert entry["threshold"] == chosen["threshold"]
    assert (entry["positive"], entry["chosen_by"], entry["rows"]) == ("fraud", rule, str(data))
    line = f"threshold {chosen['threshold']:.4g} of threshold.json ({rule} on "
    assert line in stderr("predict", path, data, "--classes")
    assert line in stderr("evaluate", path, data)
    assert line in stderr("evaluate", path, data, "--json")
    assert json.loads(command("runs", "show", path, "--json"))["threshold"]["out"] == entry
    assert "threshold.out" in command("runs", "show", path)
    labels = predict(run, "--classes").splitlines()[1:]
    assert recall_score([word == "fraud" for word in WORDS], [label == "fraud" for label in labels]) == pytest.approx(
        chosen["recall"]
    )
    matrix = facts_of(run)["confusion_matrices"]["out"]
    assert matrix == confusion_matrix(WORDS, labels, labels=["sound", "fraud"]).tolist()


def test_an_option_is_used_in_place_of_the_kept_threshold_once(run: RunRecord) -> None:
    evaluate(run, "--threshold", AT, "--keep-threshold")
    assert predict(run, "--threshold", "1", "--classes").splitlines()[1:] == ["sound"] * len(LABELS)
    assert "threshold.json" not in stderr("predict", run.path, run.path.parent / "rows.csv", "--threshold", "0.9")
    assert facts_of(run, "--threshold", "0.9")["label_thresholds"] == {"out": 0.9}
    assert facts_of(run, "--maximize", "f1")["label_thresholds"] == {"out": None}
    assert predict(run, "--classes").splitlines()[1:] == LABELS


def test_a_new_threshold_replaces_the_kept_one_and_says_so(run: RunRecord) -> None:
    data = run.path.parent / "rows.csv"
    first = stderr("evaluate", run.path, data, "--threshold", "0.9", "--keep-threshold")
    assert "in place of" not in first
    assert "kept for 'fraud' of 'out': threshold 0.9 of threshold.json" in first
    second = stderr("evaluate", run.path, data, "--maximize", "accuracy", "--keep-threshold")
    assert "in place of 0.9 (given on" in second
    assert list(kept(run)) == ["out"]


def test_a_threshold_chosen_on_test_rows_is_doubted(run: RunRecord) -> None:
    folder = run.path.parent
    config = PASSED_ON.replace("  inputs:", "  split: {validation: 0.2, test: 0.2}\n  inputs:")
    own = train(write(folder, config), folder / "own")[0]
    doubt = "warning: it was chosen on test rows: test results at it are optimistic"
    assert doubt in stderr("evaluate", own.path, "--maximize", "f1", "--keep-threshold")
    assert doubt not in stderr("evaluate", own.path, "validation", "--maximize", "f1", "--keep-threshold")
    assert kept(own)["out"]["rows"] == "validation"


def test_raw_outputs_have_no_labels_and_say_nothing(run: RunRecord) -> None:
    evaluate(run, "--threshold", AT, "--keep-threshold")
    data, file = run.path.parent / "rows.csv", run.path.parent / "raw.npz"
    assert "threshold.json" not in stderr("predict", run.path, data, "-o", file)


def test_exports_without_labels_have_it_in_their_metadata(run: RunRecord, tmp_path: Path) -> None:
    onnx, h5py = library("onnx"), library("h5py")
    evaluate(run, "--threshold", AT, "--keep-threshold")
    found = {}
    for suffix in (".keras", ".h5", ".safetensors", ".onnx", ".pt2", ".pt"):
        said = stderr("export", run.path, "-o", tmp_path / f"m{suffix}")
        where = "is not in the file" if suffix == ".pt" else "is in the metadata of the file"
        assert f"{where}, which has no labels" in said
    found["keras"] = json.loads(zipfile.ZipFile(tmp_path / "m.keras").read("metadata.json"))["threshold"]
    with h5py.File(tmp_path / "m.h5") as file:
        found["h5"] = file.attrs["threshold"]
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        found["safetensors"] = file.metadata()["threshold"]
    found["onnx"] = {each.key: each.value for each in onnx.load(tmp_path / "m.onnx").metadata_props}["threshold"]
    extra = {"threshold": ""}
    torch.export.load(tmp_path / "m.pt2", extra_files=extra)
    found["pt2"] = extra["threshold"]
    assert {name: json.loads(text) for name, text in found.items()} == dict.fromkeys(found, kept(run))
    keras.saving.load_model(tmp_path / "m.keras")
    torch.load(tmp_path / "m.pt", weights_only=True)


# Several outputs


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("two")
    rows(folder)
    return train(write(folder, TWO), folder / "runs")[0]


def test_one_of_several_outputs_is_named_and_leaves_the_others(two: RunRecord) -> None:
    with pytest.raises(ConfigError, match="--keep-threshold is for one output: give --output y or region, too"):
        evaluate_two(two, "--threshold", "0.4", "--keep-threshold")
    with pytest.raises(ConfigError, match="--output z: expected y or region"):
        evaluate_two(two, "--threshold", "0.4", "--keep-threshold", "--output", "z")
    evaluate_two(two, "--threshold", "0.4", "--keep-threshold", "--output", "y")
    evaluate_two(two, "--maximize", "f1", "--keep-threshold", "--output", "region")
    assert {name: entry["chosen_by"] for name, entry in kept(two).items()} == {"y": "given", "region": "f1"}
    assert kept(two)["region"]["positive"] == "south"
    said = stderr("predict", two.path, "train")
    assert "y: threshold 0.4 of threshold.json (given on train)" in said
    assert "region: threshold " in said
    table = list(csv.DictReader(io.StringIO(command("predict", two.path, "train"))))
    for output, names in (("y", ("sound", "fraud")), ("region", ("north", "south"))):
        at = np.float32(kept(two)[output]["threshold"])
        is_second = [np.float32(row[f"{output}.p({names[1]})"]) > at for row in table]
        assert [row[f"{output}.class"] for row in table] == [names[int(each)] for each in is_second]
    # the best epoch was the last: the same weights, in another file
    assert "threshold 0.4 of threshold.json" in stderr("predict", two.path, "train", "--checkpoint", "best")


def evaluate_two(two: RunRecord, *options: object) -> str:
    return command("evaluate", two.path, "train", *options)


# Other weights, damage


def test_a_threshold_of_other_weights_labels_nothing(tmp_path: Path) -> None:
    rows(tmp_path)
    run = train(write(tmp_path, TWO), tmp_path / "runs")[0]
    for output in ("y", "region"):
        evaluate_two(run, "--threshold", "0.4", "--keep-threshold", "--output", output)
    go_on(run, ["fit.epochs=5"])
    arguments = (
        ("predict", "train"),
        ("predict", "train", "--classes"),
        ("evaluate", "train"),
        ("export", "-o", "m.onnx"),
    )
    for name, *others in arguments:
        with pytest.raises(FileRefused, match=r"threshold\.json': the threshold of 'y' is of other weights"):
            command(name, run.path, *others)
    assert command("predict", run.path, "train", "--threshold", "0.4")
    assert "threshold.json" not in stderr("predict", run.path, "train", "-o", tmp_path / "raw.npz")
    for output in ("y", "region"):
        evaluate_two(run, "--maximize", "f1", "--keep-threshold", "--output", output)
    assert command("predict", run.path, "train", "--classes")


def written(run: RunRecord, **changes: object) -> bytes:
    return sealed({"thresholds": {"out": {**kept(run)["out"], **changes}}})


@pytest.mark.parametrize(
    "damage",
    [
        lambda run: (run.path / "threshold.json").read_bytes().replace(b"0.3", b"0.4"),
        lambda run: (run.path / "threshold.json").read_bytes()[:-20],
        lambda run: b"not JSON",
        lambda run: b"",
        lambda run: b'{"thresholds": {}}',
        lambda run: written(run, threshold=1.5),
        lambda run: written(run, threshold=float("nan")),
        lambda run: written(run, threshold="0.3"),
        lambda run: written(run, weights_sha256="0"),
        lambda run: written(run, other=1),
        lambda run: sealed({"thresholds": None}),
        lambda run: sealed({"other": {}}),
    ],
)
def test_a_damaged_file_is_refused_by_its_name(run: RunRecord, damage: object) -> None:
    evaluate(run, "--threshold", AT, "--keep-threshold")
    (run.path / "threshold.json").write_bytes(damage(run))  # type: ignore[operator]
    for name in ("predict", "evaluate"):
        with pytest.raises(KerasCliError, match=r"threshold\.json' is damaged") as caught:
            command(name, run.path, run.path.parent / "rows.csv")
        assert caught.value.exit_code == 4
        assert "remove it" in str(caught.value.faults[0].hint)
    with pytest.raises(FileRefused, match=r"threshold\.json' is damaged"):
        command("runs", "show", run.path)


def test_a_link_or_a_folder_in_its_place_is_refused(run: RunRecord) -> None:
    path = run.path / "threshold.json"
    path.symlink_to("/nowhere")
    with pytest.raises(FileRefused, match=r"threshold\.json"):
        predict(run)
    path.unlink()
    path.mkdir()
    with pytest.raises(FileRefused, match=r"threshold\.json' is not a regular file"):
        predict(run)


def test_nothing_is_kept_while_another_process_holds_the_run(run: RunRecord) -> None:
    with run.locked(), pytest.raises(StorageError, match="is in use by"):
        evaluate(run, "--threshold", AT, "--keep-threshold")
    assert not (run.path / "threshold.json").exists()


def test_what_is_no_probability_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("p,y,region\n1.5,fraud,a\n3.5,fraud,a\n1.2,sound,b\n")
    run = train(write(tmp_path, PASSED_ON), tmp_path / "runs")[0]
    with pytest.raises(DataError, match=r"--keep-threshold: 1\.35 is no probability"):
        command("evaluate", run.path, "train", "--maximize", "f1", "--keep-threshold")
    assert not (run.path / "threshold.json").exists()
