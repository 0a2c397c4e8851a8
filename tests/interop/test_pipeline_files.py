"""A pipeline file and a model's file together are the run: equal predictions and metrics of raw rows."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import keras
import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from kerascli.cli import app as program
from kerascli.data.transforms.rescaling import Rescaling
from kerascli.foundation.errors import ConfigError, FileRefused
from kerascli.interop.pipeline_files.document import PipelineFile
from kerascli.runs.record import RunRecord
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import Predictions, predict_run
from kerascli.workflow.rows.command_rows import rows_of
from tests.support import pipeline_harness as cases
from tests.support.pipeline_harness import trained
from tests.support.runs_harness import write

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2
CASES = {
    "fraud": cases.FRAUD, "prices": cases.PRICES, "two outputs": cases.TWO_OUTPUTS, "texts": cases.TEXTS,
    "pictures": cases.PICTURES, "series": cases.SERIES,
}  # fmt: skip


class Exported:
    """A trained run with the files of its model and its pipeline."""

    def __init__(self, case: str, folder: Path) -> None:
        self.folder = folder
        self.run = trained(CASES[case], folder)
        self.model = folder / f"model.{'h5' if case == 'prices' else 'keras'}"
        self.pipeline = folder / "pipeline.json"
        self.rows = folder / "pictures.npz" if case == "pictures" else write(folder, cases.rows(20, seed=9), "new.csv")
        export_run(self.run, self.model.suffix[1:], self.model, pipeline=self.pipeline)

    def contents(self) -> Any:
        return json.loads(self.pipeline.read_text(encoding="utf-8"))

    def imported(self, contents: Any = None, **options: Any) -> RunRecord:
        """Import the model with its pipeline, or with other contents of the pipeline file."""
        path = self.pipeline
        if contents is not None:
            path = write(self.folder, json.dumps(contents), "other.json")
        return import_model(self.model, runs_dir=self.folder / "elsewhere", pipeline=path, **options).record


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    return {case: Exported(case, tmp_path_factory.mktemp("run")) for case in CASES}


def predicted(run: RunRecord, rows: Path) -> Predictions:
    return predict_run(open_run(run, device="cpu"), str(rows))


def evaluated(run: RunRecord, rows: Path) -> tuple[object, ...]:
    opened = open_run(run, device="cpu")
    found = evaluate_rows(opened, rows_of(opened, str(rows), targets=True), "rows")
    return found.result.logs, [scores.matrix.tolist() for scores in found.class_scores], found.in_units


@pytest.mark.parametrize("case", CASES)
def test_a_model_and_its_pipeline_predict_and_evaluate_as_the_run_does(
    case: str, exported: dict[str, Exported]
) -> None:
    files = exported[case]
    again = files.imported()
    mine, other = predicted(files.run, files.rows), predicted(again, files.rows)
    assert list(mine.columns) == list(other.columns)
    for name, values in mine.columns.items():
        np.testing.assert_array_equal(values, other.columns[name], err_msg=name)
    assert evaluated(files.run, files.rows) == evaluated(again, files.rows)


@pytest.mark.parametrize("case", CASES)
def test_a_safetensors_file_and_its_pipeline_predict_as_the_run_does(
    case: str, exported: dict[str, Exported], tmp_path: Path
) -> None:
    files, model = exported[case], tmp_path / "model.safetensors"
    export_run(files.run, "safetensors", model, pipeline=tmp_path / "pipeline.json")
    again = import_model(model, runs_dir=tmp_path / "runs", pipeline=tmp_path / "pipeline.json").record
    mine, other = predicted(files.run, files.rows), predicted(again, files.rows)
    assert list(mine.columns) == list(other.columns)
    for name, values in mine.columns.items():
        np.testing.assert_array_equal(values, other.columns[name], err_msg=name)
    assert evaluated(files.run, files.rows)[1:] == evaluated(again, files.rows)[1:]


@pytest.mark.parametrize("case", CASES)
def test_a_pipeline_file_is_as_its_schema_says_and_names_no_folder(case: str, exported: dict[str, Exported]) -> None:
    files = exported[case]
    jsonschema.validate(files.contents(), PipelineFile.model_json_schema())
    text = files.pipeline.read_text(encoding="utf-8")
    assert str(files.folder) not in text
    assert "deep/" not in text


def test_the_schema_of_the_docs_is_that_of_the_program() -> None:
    path = Path(__file__).parents[2] / "docs" / "_static" / "pipeline.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == PipelineFile.model_json_schema()


def test_the_file_has_what_scikit_learn_learns_from_the_same_rows(exported: dict[str, Exported]) -> None:
    files = exported["fraud"]
    with (files.folder / "rows.csv").open() as file:
        lines = list(csv.DictReader(file))
    table = np.array(
        [[float(row[n]) if row[n] != "NA" else np.nan for n in ("amount", "hour", "age")] for row in lines]
    )
    imputer: Any = SimpleImputer(strategy="median")
    scaler: Any = StandardScaler()
    scaler.fit(imputer.fit_transform(table))
    impute, normalization = files.contents()["inputs"]["numbers"]["steps"]
    assert impute["learned"]["arrays"]["fill"] == {
        "dtype": "float64", "shape": [3], "values": imputer.statistics_.tolist()
    }  # fmt: skip
    arrays = normalization["learned"]["arrays"]
    np.testing.assert_allclose(arrays["mean"]["values"], scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(arrays["variance"]["values"], scaler.var_, rtol=1e-12)


def test_the_file_says_how_outputs_become_answers(exported: dict[str, Exported]) -> None:
    fraud = exported["fraud"].contents()["outputs"]["label"]
    assert (fraud["reads_as"], fraud["classes"], fraud["positive"]) == ("probability", ["ok", "fraud"], "fraud")
    price = exported["prices"].contents()["outputs"]["price"]
    assert (price["reads_as"], price["classes"], price["positive"]) == ("values", None, None)
    assert [next(iter(step)) if isinstance(step, dict) else step for step in price["inverse"]] == [
        "normalization", "log1p"
    ]  # fmt: skip
    kind = exported["two outputs"].contents()["outputs"]["kind"]
    assert (kind["reads_as"], kind["classes"], kind["positive"]) == ("logits", ["fraud", "ok"], None)


def test_without_a_loss_in_the_model_the_pipeline_file_has_it(exported: dict[str, Exported]) -> None:
    files = exported["prices"]
    again = files.imported(compiled=False)
    np.testing.assert_array_equal(
        predicted(again, files.rows).columns["price"], predicted(files.run, files.rows).columns["price"]
    )


def test_a_model_of_keras_takes_raw_rows_by_a_file_with_keras_s_names(tmp_path: Path) -> None:
    """Keras's name 'input' cannot be one of a config: the imported model calls it otherwise."""
    given, other = keras.Input((1,), name="input"), keras.Input((2,), name="other")
    joined = keras.layers.Concatenate()([given, other])
    kind = keras.layers.Dense(2, activation="softmax", name="dense")(joined)
    price = keras.layers.Dense(1, name="price")(given)
    model: Any = keras.Model([given, other], [kind, price])
    model.save(tmp_path / "named.keras")
    rows = write(tmp_path, cases.rows(), "rows.csv")

    def tensor(width: int) -> dict[str, Any]:
        return {"dtype": "float32", "shape": [width]}

    contents = {
        "format": "kerascli-pipeline", "version": 1, "source": None,
        "columns": {name: {"dtype": "float64", "shape": []} for name in ("amount", "hour", "price")}
        | {"label": {"dtype": "string", "shape": []}},
        "inputs": {
            "other": {"columns": ["hour", "price"], "stacked": True, "steps": [{"transform": {"rescaling": 0.001}}],
                      "tensor": tensor(2)},
            "input": {"columns": ["amount"], "stacked": True, "steps": [], "tensor": tensor(1)},
        },
        "targets": {
            "kind": {"columns": ["label"], "stacked": False, "tensor": {"dtype": "int64", "shape": []}, "steps": [
                {"transform": "string_lookup", "learned": {"facts": {"vocabulary": ["ok", "fraud"]}}}]},
        },
        "outputs": {"dense": {"target": "kind", "loss": "sparse_categorical_crossentropy", "reads_as": "probabilities",
                              "classes": ["ok", "fraud"], "positive": None, "inverse": []}},
    }  # fmt: skip
    path = write(tmp_path, json.dumps(contents), "named.json")
    run = import_model(tmp_path / "named.keras", runs_dir=tmp_path / "runs", pipeline=path).record
    with rows.open() as file:
        lines = [[float(row[name]) for name in ("amount", "hour", "price")] for row in csv.DictReader(file)]
    table = np.array(lines)
    wanted = model.predict([table[:, :1], table[:, 1:] * 0.001], verbose=0)
    found = predicted(run, rows)
    for mine, other in zip(found.outputs.values(), wanted, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)
    assert found.columns["dense.class"].tolist() == [("ok", "fraud")[n] for n in wanted[0].argmax(1)]


MISFITS = {
    "another input": (lambda c: c["inputs"].update(other=c["inputs"].pop("zip")), "its inputs are numbers, logs"),
    "a missing input": (lambda c: c["inputs"].pop("zip"), "those of the model are numbers, logs, bins, country, city"),
    "another shape": (
        lambda c: (c["inputs"]["zip"]["steps"][0]["transform"]["integer_lookup"].update(num_oov_indices=3),
                   c["inputs"]["zip"]["tensor"].update(shape=[7])),
        "its input 'zip' makes rows of shape (7,), the model takes (6,)",
    ),
    "another tensor than it says": (lambda c: c["inputs"]["logs"]["tensor"].update(dtype="int64"), "inputs.logs"),
    "other classes": (lambda c: c["outputs"]["label"].update(classes=["a", "b"]), "says classes: ['a', 'b']"),
    "a target without an output": (lambda c: c["outputs"].clear(), "the target 'label' has no output"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_a_pipeline_of_another_model_is_one_clear_error_and_no_run(case: str, exported: dict[str, Exported]) -> None:
    change, text = MISFITS[case]
    files = exported["fraud"]
    contents = files.contents()
    change(contents)
    before = sorted((files.folder / "elsewhere").glob("*"))
    with pytest.raises(FileRefused) as error:
        files.imported(contents)
    assert text in str(error.value)
    assert "pipeline file" in str(error.value)
    assert len(error.value.faults) == 1
    assert sorted((files.folder / "elsewhere").glob("*")) == before


def test_a_view_has_the_pipelines_of_its_own_inputs(tmp_path: Path) -> None:
    text = cases.TWO_OUTPUTS.replace(
        "  outputs: [kind, price]", "  outputs: [kind, price]\n  views: {code: {outputs: b}}"
    )
    run = trained(text, tmp_path)
    export_run(run, "keras", tmp_path / "code.keras", view="code", pipeline=tmp_path / "code.json")
    assert list(json.loads((tmp_path / "code.json").read_text())["inputs"]) == ["end"]
    again = import_model(tmp_path / "code.keras", runs_dir=tmp_path / "other", pipeline=tmp_path / "code.json").record
    wanted = predict_run(open_run(run, device="cpu"), str(tmp_path / "rows.csv"), "code").outputs["b"]
    (found,) = predicted(again, tmp_path / "rows.csv").outputs.values()
    np.testing.assert_array_equal(found, wanted)


def test_code_of_a_plugin_is_refused_by_name(
    exported: dict[str, Exported], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rescaling, "__module__", "my_plugin")
    with pytest.raises(ConfigError, match=r"'rescaling' \(data\.inputs\.logs\) is Python code of a plugin"):
        export_run(exported["fraud"].run, "keras", tmp_path / "m.keras", pipeline=tmp_path / "p.json")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileRefused, match="'rescaling' is Python code"):
        exported["fraud"].imported()


def test_the_commands_say_what_they_wrote_and_what_cannot_be(
    exported: dict[str, Exported], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(exported["prices"].folder)
    write(Path(), "{}", "mine.json")

    def said(*words: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["kerascli", *words])
        with pytest.raises(SystemExit) as end:
            program.main()
        found = capsys.readouterr()
        return end.value.code, found.out + found.err

    code, text = said("export", "latest", "-o", "a.keras", "--pipeline", "a.json")
    assert code == 0
    assert "a.json  (its pipeline)" in text
    assert "apply them to its inputs" not in text
    code, text = said("export", "latest", "-o", "a.keras", "--pipeline", "mine.json")
    assert code == 2
    assert "'mine.json' is not a pipeline file and is not replaced" in text
    code, text = said("export", "latest", "-o", "a.keras", "--pipeline", "a.keras")
    assert code == 2
    code, text = said("export", "latest", "--format", "h5", "--preprocessing")
    assert code == 2
    assert "only onnx holds preprocessing" in text
    code, text = said("import", "a.keras", "--pipeline", "a.json", "--data", "config.yaml")
    assert code == 2
    assert "--pipeline and --data cannot be given together" in text
    assert said("import", "a.keras", "--pipeline", "a.json", "--runs-dir", "third")[0] == 0
    for command in (["predict", "latest", "test"], ["evaluate", "latest", "test"], ["evaluate", "latest"]):
        code, text = said(*command, "--runs-dir", "third")
        assert code == 3
        assert "give files of rows" in text
