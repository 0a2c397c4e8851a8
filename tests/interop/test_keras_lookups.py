"""Files with Keras's lookups, hashes and bins are imported, and predict what Keras on TensorFlow predicts.

Keras needs TensorFlow for these layers, so its files and predictions are in keras_lookups.json, see
tests/support/keras_lookups.py, which makes it. `python -m tests.support.keras_lookups` was run with Keras 3.15.1 on
TensorFlow 2.21.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kerascli.foundation.errors import ConfigError, FileRefused
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.interchange.loading import Loaded, load_model
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.train import Options, resume
from tests.support.keras_lookups import CASES, PREDICTIONS, WHOLE, archive_of, contents
from tests.support.runs_harness import train

FILES: dict[str, dict[str, Any]] = {each["name"]: each for each in json.loads(PREDICTIONS.read_text(encoding="utf-8"))}
OF_NUMBERS = [case.name for case in CASES if case.dtype != "string"]
ADAPTED = "IntegerLookup (1,) adapted"


def loaded(parts: dict[str, Any], folder: Path) -> Loaded:
    return load_model(archive_of(parts, folder / "m.keras"), "m", compiled=False)


def test_each_model_has_its_file() -> None:
    assert list(FILES) == [*(case.name for case in CASES), *WHOLE]
    assert len(FILES) > 75


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_lookups_hashes_and_bins_of_numbers_predict_as_in_keras(name: str, tmp_path: Path) -> None:
    parts = FILES[name]
    experiment = loaded(parts, tmp_path).experiment
    model = experiment.module.eval()
    kinds = {each.name: getattr(torch, each.spec.dtype) for each in experiment.spec.model.inputs}
    pairs = zip(kinds, parts["inputs"].values(), strict=True)
    (output,) = model.run({own: torch.tensor(rows, dtype=kinds[own]) for own, rows in pairs}).outputs.values()
    np.testing.assert_array_equal(output.numpy(), np.array(parts["output"]).astype(output.numpy().dtype))


@pytest.mark.parametrize("name", ["MixUp float32 (4, 4, 3) alpha=0.3", "CutMix float32 (4, 4, 3) factor=0.8 seed=1"])
def test_layers_that_mix_samples_are_identities_with_a_note(name: str, tmp_path: Path) -> None:
    model = loaded(FILES[name], tmp_path)
    (node,) = model.experiment.spec.model.nodes
    assert node.layer.component_name == "identity"
    assert any("acts in training only: mix the samples by data.augment" in note for note in model.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"assets": {}}, r"the vocabulary of integer_lookup \(IntegerLookup\) is not in the file"),
        ({"assets": {"assets/layers/integer_lookup/vocabulary.txt": "-1\na"}}, "is damaged: invalid literal"),
        ({"assets": {"assets/layers/integer_lookup/vocabulary.txt": "-1\n3\n3"}}, "'3' occurs more than once"),
        ({"assets": {"assets/layers/integer_lookup/vocabulary.txt": ""}}, "expected at least one entry"),
        ({"assets": {"assets/layers/integer_lookup/other.txt": "1"}}, "no assets but vocabularies are supported"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=message):
        loaded({**FILES[ADAPTED], **changes}, tmp_path)


def test_vocabularies_that_unpack_to_more_than_the_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kerascli.interop.keras.archive.MAX_ASSET_BYTES", 5)
    with pytest.raises(FileRefused, match="vocabularies of more than 5 bytes"):
        loaded(FILES[ADAPTED], tmp_path)


OF_TEXTS = [*(case.name for case in CASES if case.dtype == "string"), *WHOLE]


def imported(parts: dict[str, Any], folder: Path, **options: Any) -> LoadedRun:
    made = import_model(archive_of(parts, folder / "m.keras"), runs_dir=folder / "runs", **options)
    return open_run(made.record, device="cpu")


def table_of(parts: dict[str, Any], path: Path) -> list[int]:
    """Write the inputs of a model as a CSV file; return the rows that are in it: those without empty texts."""
    columns = {name: np.ravel(values).tolist() for name, values in parts["inputs"].items()}
    rows = list(zip(*columns.values(), strict=True))
    kept = [index for index, row in enumerate(rows) if "" not in row]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(columns), *(rows[index] for index in kept)])
    return kept


@pytest.mark.parametrize("name", OF_TEXTS)
def test_texts_of_a_table_are_predicted_as_in_keras(name: str, tmp_path: Path) -> None:
    parts = FILES[name]
    kept = table_of(parts, tmp_path / "new.csv")
    run = imported(parts, tmp_path)
    (output,) = predict_run(run, str(tmp_path / "new.csv")).outputs.values()
    expected = np.array(parts["output"])[kept]
    np.testing.assert_allclose(output.reshape(expected.shape), expected, rtol=1e-6)


def test_the_config_of_a_model_of_texts_reads_as_one_would_write_it(tmp_path: Path) -> None:
    run = imported(FILES["in front of a model"], tmp_path)
    assert (
        (run.record.path / "config.yaml")
        .read_text(encoding="utf-8")
        .startswith(
            """data:
  source:
    csv: rows.csv
  inputs:
    text:
      - columns: [text]
      - text_vectorization:
          max_tokens: 20
          output_sequence_length: 5
          vocabulary: ['', '[UNK]', two, three, one]
model:
  inputs:
    text:
      shape: [5]
      dtype: int64
"""
        )
    )


def test_one_text_can_be_predicted_and_a_long_vocabulary_is_a_file(tmp_path: Path) -> None:
    parts = dict(FILES["TextVectorization string () adapted output_sequence_length=4"])
    words = ["", "[UNK]", *(f"word{number}" for number in range(60_000))]
    parts["assets"] = {name: "\n".join(words) for name in parts["assets"]}
    run = imported(parts, tmp_path)
    assert "vocabulary: preprocessing/x.vocabulary.txt" in (run.record.path / "config.yaml").read_text("utf-8")
    (output,) = predict_run(run, [], texts=["word7 Word59999!"]).outputs.values()
    assert output.tolist() == [[9, 60_001, 0, 0]]


def test_a_model_of_texts_is_trained_further_on_a_table(tmp_path: Path) -> None:
    rows = "".join(f"{text},{len(text)}\n" for text in ["one", "two three", "one two", "three"] * 4)
    (tmp_path / "t.csv").write_text(f"text,y\n{rows}", encoding="utf-8")
    (tmp_path / "d.yaml").write_text(
        "data: {source: {csv: t.csv}, targets: {dense: [{columns: y}]}}\nfit: {epochs: 2, batch_size: 4}\n"
    )
    parts = json.loads(json.dumps(FILES["in front of a model"]))
    parts["config"]["compile_config"] = {"optimizer": "sgd", "loss": "mse"}
    run = imported(parts, tmp_path, data=tmp_path / "d.yaml")
    before = predict_run(run, [], texts=["one two"]).outputs["dense"]
    list(resume(run.record, Options(device="cpu"), []))
    assert len(run.record.history()) == 2
    after = predict_run(open_run(run.record, device="cpu"), [], texts=["one two"]).outputs["dense"]
    assert abs(float(after[0, 0]) - 7) < abs(float(before[0, 0]) - 7)


def changed(name: str, change: Callable[[list[dict[str, Any]]], object]) -> dict[str, Any]:
    parts = json.loads(json.dumps(FILES[name]))
    change(parts["config"]["config"]["layers"])
    return parts


def without_length(layers: list[dict[str, Any]]) -> None:
    layers[1]["config"]["output_sequence_length"] = None


def with_nested_lookup(layers: list[dict[str, Any]]) -> None:
    layers[0]["config"]["dtype"] = "int64"
    layers[1], layers[2]["config"]["layers"][1] = layers[2]["config"]["layers"][1], layers[1]
    layers[2]["config"]["layers"][1]["config"]["vocabulary"] = ["a"]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "TextVectorization string () adapted output_sequence_length=4", without_length,
            r"text_vectorization.* \(TextVectorization\) makes sequences as long as the longest text of each batch",
        ),
        ("in front of a model", with_nested_lookup, r"\(TextVectorization\) takes texts inside the model"),
        (
            "Hashing string (1,) num_bins=3", lambda layers: layers[1].update(class_name="Dense", config={"units": 2}),
            r"\(Dense\) takes the texts of the input 'x'",
        ),
    ],
)  # fmt: skip
def test_texts_that_cannot_be_read_are_refused_by_name(
    name: str, change: Callable[[list[dict[str, Any]]], object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FileRefused, match=message) as caught:
        imported(changed(name, change), tmp_path)
    assert caught.value.faults[0].hint


def exported(parts: dict[str, Any], folder: Path, suffix: str = "keras", *, preprocessing: bool = True) -> Path:
    run = imported(parts, folder)
    export_run(run.record, suffix, folder / f"e.{suffix}", preprocessing=preprocessing)
    return folder / f"e.{suffix}"


@pytest.mark.parametrize(
    "name",
    [
        "combined",
        "IntegerLookup (3,) adapted output_mode=tf_idf",
        "TextVectorization string (1,) adapted output_mode=tf_idf",
    ],
)
def test_exports_hold_vocabularies_where_keras_keeps_them(name: str, tmp_path: Path) -> None:
    parts = FILES[name]
    written = contents(exported(parts, tmp_path, preprocessing="Integer" not in name).read_bytes())
    assert written["weights"].keys() == parts["weights"].keys()
    if "tf_idf" in name:
        weights = next(path for path in parts["weights"] if path.endswith("vars/idf_weights"))
        np.testing.assert_allclose(written["weights"][weights][1], parts["weights"][weights][1], rtol=1e-6)
    else:
        kept = {path: text for path, text in written["assets"].items() if "text_vectorization_1" not in path}
        assert kept == parts["assets"]  # the other one's is in the config of Keras's file
        assert written["assets"]["assets/layers/text_vectorization_1/vocabulary.txt"] == "[UNK]\none\ntwo"
    layers = {each["class_name"]: each["config"] for each in written["config"]["config"]["layers"]}
    assert all(config["vocabulary"] is None for kind, config in layers.items() if kind == "StringLookup")


def test_an_export_that_takes_texts_is_imported_as_the_same_model(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    path = exported(FILES["in front of a model"], tmp_path / "first")
    run = open_run(import_model(path, runs_dir=tmp_path / "runs").record, device="cpu")
    kept = table_of(FILES["in front of a model"], tmp_path / "new.csv")
    (output,) = predict_run(run, str(tmp_path / "new.csv")).outputs.values()
    np.testing.assert_allclose(output, np.array(FILES["in front of a model"]["output"])[kept], rtol=1e-5)


def test_a_hash_of_texts_is_exported_as_keras_s_layer(tmp_path: Path) -> None:
    parts = FILES["Hashing string (1,) num_bins=3 mask_value="]
    layers = contents(exported(parts, tmp_path).read_bytes())["config"]["config"]["layers"]
    assert [each["class_name"] for each in layers][:2] == ["InputLayer", "Hashing"]
    assert layers[1]["config"]["mask_value"] == ""


def test_a_vocabulary_is_in_the_config_of_an_h5_file(tmp_path: Path) -> None:
    path = exported(FILES[ADAPTED], tmp_path, "h5", preprocessing=False)
    run = open_run(import_model(path, runs_dir=tmp_path / "again").record, device="cpu")
    np.savez(tmp_path / "x.npz", x=np.array(FILES[ADAPTED]["inputs"]["x"]))
    (output,) = predict_run(run, str(tmp_path / "x.npz")).outputs.values()
    np.testing.assert_array_equal(output, FILES[ADAPTED]["output"])


def test_a_pipeline_that_keras_has_no_layers_for_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,y\n" + "a b,1\nb c,2\n" * 4)
    steps = "[{regex_replace: a}, {text_vectorization: {output_mode: count}}]"
    (tmp_path / "c.yaml").write_text(
        f"data: {{source: {{csv: t.csv}}, inputs: {{text: {steps}}}, targets: {{y: []}}}}\n"
        "model: {layers: [{dense: 1}]}\ncompile: {loss: mse}\nfit: {epochs: 1}\n"
    )
    record, _ = train(tmp_path / "c.yaml", tmp_path / "runs")
    message = r"cannot hold the pipeline of the input 'text' \(regex_replace, text_vectorization\)"
    with pytest.raises(ConfigError, match=message):
        export_run(record, "keras", tmp_path / "e.keras", preprocessing=True)


ON_TENSORFLOW = """
import json, sys
import keras, numpy as np, tensorflow as tf
for entry in json.load(open(sys.argv[1], encoding="utf-8")):
    model = keras.models.load_model(entry["file"])
    given = [tf.constant(rows, dtype=each.dtype) for each, rows in zip(model.inputs, entry["inputs"], strict=True)]
    found = np.asarray(model(given if len(given) > 1 else given[0], training=False))
    np.testing.assert_allclose(found, np.reshape(entry["output"], found.shape), rtol=1e-5, err_msg=entry["file"])
"""


@pytest.mark.keras_tf
@pytest.mark.skipif(find_spec("tensorflow") is None, reason="tensorflow is not installed")
def test_keras_on_tensorflow_reads_the_exports_and_predicts_the_same(tmp_path: Path) -> None:
    entries = []
    for number, (name, parts) in enumerate(FILES.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = exported(parts, folder, preprocessing=name in OF_TEXTS)
        inputs = [parts["inputs"][key.partition("_text_vectorization")[0]] for key in input_names(path)]
        entries.append({"file": str(path), "inputs": inputs, "output": parts["output"]})
    (tmp_path / "all.json").write_text(json.dumps(entries), encoding="utf-8")
    settings = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", ON_TENSORFLOW, str(tmp_path / "all.json")]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def input_names(path: Path) -> list[str]:
    layers = contents(path.read_bytes())["config"]["config"]["layers"]
    return [each["config"]["name"] for each in layers if each["class_name"] == "InputLayer"]
