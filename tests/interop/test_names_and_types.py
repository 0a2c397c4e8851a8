"""Names, dtypes and shapes of inputs and outputs that import and export print, and what can be typed next."""

import os
import shlex

os.environ["KERAS_BACKEND"] = "torch"

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
from keras import layers
from typer.testing import CliRunner

from kerascli.cli.commands import app
from kerascli.foundation.shapes import TensorSpec
from kerascli.runs.index import find_run
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support import pipeline_harness as cases
from tests.support.pipeline_harness import trained
from tests.support.runs_harness import write

pytestmark = pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict", "ignore:__array__ implementation")

NUMPY = {"float": "float32", "double": "float64"}
ROWS = """
data:
  source: {csv: {path: rows.csv}}
  inputs:
    counts: [{columns: [a, b, c, d]}]
    sizes: [{columns: [a, b, c]}]
    input_2: [{columns: [a, b, c, d, e]}]
  targets: {score: [{columns: s}], kind: [{columns: k}, string_lookup]}
fit: {epochs: 2, validation_split: 0.2}
"""


def saved(folder: Path) -> Path:
    """Save a model of three inputs, one of them with a name that the language has taken."""
    counts, sizes = keras.Input((4,), dtype="int64", name="counts"), keras.Input((3,), name="sizes")
    tokens = keras.Input((5,), dtype="int32", name="input")
    joined: Any = layers.Concatenate()(
        [layers.Rescaling(0.5)(counts), sizes, layers.Flatten()(layers.Embedding(9, 2)(tokens))]
    )
    heads = [layers.Dense(1, name="score")(joined), layers.Dense(3, "softmax", name="kind")(joined)]
    model: Any = keras.Model([counts, sizes, tokens], heads)
    model.compile("adam", ["mse", "sparse_categorical_crossentropy"])
    model.save(folder / "model.keras")
    lines = [f"{n % 9},{n % 7},{n % 5},{n % 3},{n % 2},0.{n},{'xyz'[n % 3]}" for n in range(40)]
    write(folder, "\n".join(["a,b,c,d,e,s,k", *lines, ""]), "rows.csv")
    write(folder, ROWS, "data.yaml")
    return folder / "model.keras"


def typed(line: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def table(text: str) -> list[list[str]]:
    return [line.split(maxsplit=3) for line in text.splitlines() if line.startswith(("input ", "output "))]


IN_THE_FILE = [
    ["input", "counts", "int64", "(None, 4)"],
    ["input", "sizes", "float32", "(None, 3)"],
    ["input", "input_2", "int32", "(None, 5)"],
    ["output", "score", "float32", "(None, 1)"],
    ["output", "kind", "float32", "(None, 3)"],
]


def test_import_says_how_inputs_are_called_and_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model: Any = keras.models.load_model(saved(tmp_path), compile=False)
    out, err = typed("kerascli import model.keras")
    assert table(out) == IN_THE_FILE
    arrays = {"counts": np.ones((2, 4), "int64"), "sizes": np.ones((2, 3), "f4"), "input_2": np.ones((2, 5), "int32")}
    np.savez("inputs.npz", **arrays)  # pyright: ignore[reportArgumentType]
    predicted, _ = typed(f"{err.rpartition('next: ')[2].strip()} --json")
    expected = model.predict(list(arrays.values()), verbose=0)
    assert predicted.count("\n") == 2
    np.testing.assert_allclose(
        predict_run(open_run(find_run("latest", Path("runs"))), "inputs.npz").outputs["score"], expected[0], rtol=1e-5
    )


def test_a_fresh_import_is_trained_in_place_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path)
    changed = "the input 'sizes' is int64, as its data is, and was float32 in the imported file"
    out, err = typed("kerascli import model.keras --data data.yaml")
    assert table(out) == IN_THE_FILE
    assert changed in err
    run = find_run("latest", Path("runs"))
    assert err.endswith(f"next: kerascli train {run.path}\n")
    _, err = typed(err.rpartition("next: ")[2])
    assert f"{run.path} was imported and not trained yet: it is trained in place\n" in err
    assert find_run("latest", Path("runs")).path == run.path
    assert len(run.history()) == 2
    _, err = typed(f"kerascli train {run.path} --epochs 1")
    new = find_run("latest", Path("runs"))
    assert f"new run with the config and the weights of {run.path}; the optimizer starts anew\n" in err
    assert (len(new.history()), len(run.history())) == (1, 2)
    out, err = typed("kerascli export latest -o again.keras")
    assert changed in err
    model: Any = keras.models.load_model("again.keras")
    rows = {name: (dtype, shape) for _, name, dtype, shape in table(out)}
    assert {each.name: (each.dtype, str(each.shape)) for each in model.inputs} == {
        name: rows[name] for name in ("counts", "sizes", "input")
    }
    assert rows["sizes"][0] == "int64"


def test_other_settings_start_a_new_run_from_a_fresh_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path)
    typed("kerascli import model.keras --data data.yaml")
    run = find_run("latest", Path("runs"))
    for option in ("--batch-size 8", "--name other", "--data rows.csv"):
        _, err = typed(f"kerascli train {run.path} --epochs 1 {option}")
        assert f"new run with the config and the weights of {run.path}" in err
        assert not run.history()
    predicted, _ = typed("kerascli predict latest rows.csv --keras-names")  # the new run has the names in Keras, too
    assert predicted.startswith("score,kind.class,kind.p(x)")


@pytest.mark.parametrize("case", ["FRAUD", "PRICES", "DATES"])
@pytest.mark.parametrize("preprocessing", [True, False])
def test_an_onnx_file_has_the_tensors_that_export_prints(tmp_path: Path, case: str, preprocessing: bool) -> None:
    run = trained(getattr(cases, case), tmp_path)
    inputs, outputs = export_run(run, "onnx", tmp_path / "m.onnx", preprocessing=preprocessing).tensors
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    for printed, tensors in ((inputs, session.get_inputs()), (outputs, session.get_outputs())):
        assert [*printed] == [each.name for each in tensors]
        for each in tensors:
            kind = each.type.removeprefix("tensor(").removesuffix(")")
            shape = tuple(size if isinstance(size, int) else None for size in each.shape[1:])
            assert printed[each.name] == TensorSpec(shape, NUMPY.get(kind) or kind)
