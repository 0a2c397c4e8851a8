"""Arrays may have Keras's names or kerascli's, and outputs can be written under Keras's names."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from kerascli.cli.predict import predict as predict_command
from kerascli.config.load import open_config
from kerascli.foundation.errors import ConfigError, DataError, FileRefused
from kerascli.report.predictions import Predictions, write_predictions
from kerascli.runs.checksums import sealed
from kerascli.runs.facts import read_facts
from kerascli.runs.record import RunRecord
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.interchange.importing import import_model, import_weights
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.predict import Form, predict_run
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.train import Options, resume, start
from tests.support.keras_import_harness import predicted, rows, save, shake

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # Keras's, in numpy 2
    pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict, all keys:UserWarning"),  # a wish of Keras's
]

ATOL = 1e-5
"""Tolerance for float32 sums of a few products in another order."""


def one() -> Any:
    """A model with names that are reserved in a config, and with dashes, which names cannot have."""
    x = keras.Input((4,), name="input")
    return keras.Model(x, L.Dense(3, name="my-output")(x))


def two() -> Any:
    """A model whose `input_2` in Keras is another input than kerascli's `input_2`."""
    a, b = keras.Input((4,), name="input"), keras.Input((4,), name="input_2")
    h = L.Subtract(name="first-difference")([a, b])
    return keras.Model([a, b], [L.Dense(2, name="left-side")(h), L.Dense(1, name="sum")(h)])


def by_key() -> Any:
    """A model whose inputs and outputs Keras names by the keys of a mapping."""
    x = {"first key": keras.Input((4,), name="x"), "y": keras.Input((4,), name="first_key")}
    return keras.Model(x, {"the sum": L.Add(name="a")(list(x.values())), "b": L.Dense(2, name="c")(x["y"])})


def nested() -> Any:
    """A model with a nested model's output: Keras names it after the nested model, kerascli after its last layer."""
    x = keras.Input((4,), name="x")
    head = keras.Sequential([keras.Input((4,)), L.Dense(2, name="last")], name="head")
    return keras.Model(x, [head(x), keras.ops.add(x, 1), x])


def same_name() -> Any:
    """A model in which Keras gives several outputs of one layer the same name."""
    x = keras.Input((3, 4), name="input")
    return keras.Model(x, L.LSTM(2, return_state=True, name="r")(x))


def imported(model: Any, folder: Path, **given: Any) -> LoadedRun:
    shake(model)
    return open_run(import_model(save(model, folder, ".keras"), runs_dir=folder / "runs", **given).record, device="cpu")


def npz(folder: Path, **arrays: np.ndarray) -> str:
    write_predictions(
        folder / "rows.npz", [Predictions({}, {}, arrays, 0, 0)]
    )  # numpy.savez takes no array named `file`
    return str(folder / "rows.npz")


def keras_rows(model: Any) -> dict[str, np.ndarray]:
    """Return rows by the names that Keras's predict expects in a mapping."""
    x, struct = rows(model), model._inputs_struct
    return {key: x[tensor.name] for key, tensor in struct.items()} if isinstance(struct, dict) else x


def ours(run: LoadedRun, model: Any) -> dict[str, np.ndarray]:
    names = [given.name for given in run.experiment.spec.model.inputs]
    return dict(zip(names, keras_rows(model).values(), strict=True))


def output_names(model: Any) -> list[str]:
    struct = model._outputs_struct
    return list(struct) if isinstance(struct, dict) else model.output_names


@pytest.mark.parametrize("make", [one, two, by_key, nested])
def test_arrays_under_either_names_give_what_keras_predicts_under_its_names(make: Any, tmp_path: Path) -> None:
    model = make()
    run = imported(model, tmp_path)
    theirs = predicted(model, rows(model))
    if not isinstance(model._outputs_struct, dict):
        theirs = dict(zip(output_names(model), theirs.values(), strict=True))
    for given in (keras_rows(model), ours(run, model)):
        found = predict_run(run, npz(tmp_path, **given), form=Form(keras_names=True))
        assert list(found.outputs) == output_names(model)
        for name, values in theirs.items():
            np.testing.assert_allclose(found.outputs[name], values, atol=ATOL)
        own = predict_run(run, npz(tmp_path, **given))
        assert list(own.outputs) == list(run.experiment.spec.model.outputs)
        for mine, other in zip(own.outputs.values(), found.outputs.values(), strict=True):
            np.testing.assert_array_equal(mine, other)


def test_names_are_not_mixed(tmp_path: Path) -> None:
    run = imported(two(), tmp_path)
    x = np.ones((2, 4), "float32")
    with pytest.raises(DataError, match=r"there is no array 'input_2_2' \(Keras's name: 'input_2'\)"):
        predict_run(run, npz(tmp_path, input=x, inputs_2=x))


@pytest.mark.parametrize(
    ("make", "names", "message", "hint"),
    [
        (
            one,
            ["input", "input_2"],
            "under kerascli's names and under Keras's",
            "leave out those of one kind",
        ),
        (
            two,
            ["input", "input_2", "input_2_2"],
            "under kerascli's names and under Keras's",
            "leave out those of one kind",
        ),
        (one, ["inputs"], r"there is no array 'input_2' \(Keras's name: 'input'\)", "it has inputs"),
        (two, ["input", "input_2_2"], "some arrays are there under kerascli's names, others under Keras's", "it has "),
        (two, ["input_2"], r"there is no array 'input_2_2' \(Keras's name: 'input_2'\)", "it has input_2"),
    ],
)
def test_what_is_missing_or_there_twice_is_one_error(
    make: Any, names: list[str], message: str, hint: str, tmp_path: Path
) -> None:
    run = imported(make(), tmp_path)
    path = npz(tmp_path, **dict.fromkeys(names, np.ones((2, 4), "float32")))
    with pytest.raises(DataError, match=message) as raised:
        predict_run(run, path)
    assert len(raised.value.faults) == 1
    assert hint in str(raised.value.faults[0].hint)


def test_other_errors_name_the_array_as_the_file_does(tmp_path: Path) -> None:
    run = imported(two(), tmp_path)
    with pytest.raises(DataError, match="'input': expected numbers of shape"):
        predict_run(run, npz(tmp_path, input=np.ones((2, 5)), input_2=np.ones((2, 4))))
    with pytest.raises(DataError, match="'input_2' has 3 rows, 'input' has 2"):
        predict_run(run, npz(tmp_path, input=np.ones((2, 4)), input_2=np.ones((3, 4))))


def test_evaluate_takes_the_names_of_inputs_and_outputs(tmp_path: Path) -> None:
    model = two()
    model.compile("sgd", loss={"left-side": "mse", "sum": "mae"})
    run = imported(model, tmp_path)
    x, generator = keras_rows(model), np.random.default_rng(4)
    y = {"left-side": generator.normal(size=(12, 2)), "sum": generator.normal(size=(12, 1))}
    wanted = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    targets = [pair.target for pair in run.experiment.spec.compile.pairs] if run.experiment.spec.compile else []
    assert targets == ["left_side", "sum"]
    for arrays in ({**x, **y}, {**ours(run, model), **dict(zip(targets, y.values(), strict=True))}):
        logs = evaluate_rows(run, rows_of(run, npz(tmp_path, **arrays), targets=True), "rows").result.logs
        assert logs["loss"] == pytest.approx(wanted, abs=ATOL)
        assert predict_run(run, npz(tmp_path, **arrays)).rows == 12
    with pytest.raises(DataError, match=r"no array 'left_side' \(Keras's name: 'left-side'\)"):
        rows_of(run, npz(tmp_path, **x, sum=y["sum"]), targets=True)


def test_an_output_whose_name_in_keras_is_that_of_an_input_here_is_distinguished(tmp_path: Path) -> None:
    x = keras.Input((4,), name="input")
    model: Any = keras.Model(x, L.Dense(4, name="input_2")(x))
    model.compile("sgd", loss="mse")
    run = imported(model, tmp_path)
    given, y = rows(model)["input"], np.ones((12, 4), "float32")
    wanted = model.evaluate(given, y, verbose=0)
    path = npz(tmp_path, input=given, input_2=y)
    logs = evaluate_rows(run, rows_of(run, path, targets=True), "rows").result.logs
    assert logs["loss"] == pytest.approx(wanted, abs=ATOL)
    np.testing.assert_allclose(
        predict_run(run, path).outputs["input_2_2"], predicted(model, {"input": given})["0"], atol=ATOL
    )


def test_a_bare_array_is_taken(tmp_path: Path) -> None:
    model = one()
    run = imported(model, tmp_path)
    x = rows(model)["input"]
    np.save(tmp_path / "whatever.npy", x)
    (theirs,) = predicted(model, {"input": x}).values()
    found = predict_run(run, str(tmp_path / "whatever.npy"), form=Form(keras_names=True))
    np.testing.assert_allclose(found.outputs["my-output"], theirs, atol=ATOL)
    assert list(found.columns) == ["my-output[0]", "my-output[1]", "my-output[2]"]
    assert list(predict_run(run, str(tmp_path / "whatever.npy")).columns) == [f"my_output[{i}]" for i in range(3)]


def test_a_folder_of_arrays_is_taken(tmp_path: Path) -> None:
    x = keras.Input((1,), name="input")
    model = keras.Model(x, L.Dense(1, name="y")(x))
    run = imported(model, tmp_path)
    values = rows(model)["input"]
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "folder/input.npy", values)
    (theirs,) = predicted(model, {"input": values}).values()
    np.testing.assert_allclose(predict_run(run, str(tmp_path / "folder")).outputs["y"], theirs, atol=ATOL)


def test_outputs_of_one_name_are_refused_by_name_and_can_be_had_under_ours(tmp_path: Path) -> None:
    model = same_name()
    run = imported(model, tmp_path)
    path = npz(tmp_path, **rows(model))
    with pytest.raises(ConfigError, match="--keras-names: Keras calls 3 outputs 'r': r, r_1, r_2"):
        predict_run(run, path, form=Form(keras_names=True))
    assert list(predict_run(run, path).outputs) == ["r", "r_1", "r_2"]


def command(run: LoadedRun, path: str, folder: Path, output: Path | None = None, **given: Any) -> None:
    settings: dict[str, Any] = {"classes": False, "view": None, "checkpoint": None, "threads": None, **given}
    predict_command(
        str(run.record.path), [path], output=output, keras_names=True, device="cpu", runs_dir=folder, **settings
    )


def test_every_file_that_predict_writes_has_keras_s_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = two()
    run = imported(model, tmp_path)
    path = npz(tmp_path, **keras_rows(model))
    columns = ["left-side[0]", "left-side[1]", "sum"]
    command(run, path, tmp_path)
    assert next(csv.reader(io.StringIO(capsys.readouterr().out))) == columns
    command(run, path, tmp_path, tmp_path / "y.csv")
    assert next(csv.reader(io.StringIO((tmp_path / "y.csv").read_text()))) == columns
    command(run, path, tmp_path, tmp_path / "y.npz")
    with np.load(tmp_path / "y.npz") as found:
        assert list(found) == ["left-side", "sum"]
        for name, theirs in zip(found, predicted(model, rows(model)).values(), strict=True):
            np.testing.assert_allclose(found[name], theirs, atol=ATOL)


def test_columns_of_classes_begin_with_keras_s_name_where_there_are_several_outputs(tmp_path: Path) -> None:
    x = keras.Input((4,), name="input")
    heads = [L.Dense(2, activation="softmax", name=name)(x) for name in ("one-head", "other")]
    model = keras.Model(x, heads)
    model.compile("sgd", loss=["sparse_categorical_crossentropy"] * 2)
    run = imported(model, tmp_path)
    found = predict_run(run, npz(tmp_path, **rows(model)), form=Form(keras_names=True))
    assert list(found.columns)[:3] == ["one-head.class", "one-head.p(0)", "one-head.p(1)"]


def test_arrays_may_have_names_that_numpy_s_own_function_stumbles_on(tmp_path: Path) -> None:
    x = keras.Input((4,), name="file")
    model = keras.Model(x, L.Dense(2, name="allow_pickle")(x))
    run = imported(model, tmp_path)
    command(run, npz(tmp_path, **rows(model)), tmp_path, tmp_path / "y.npz")
    with np.load(tmp_path / "y.npz") as found:
        assert list(found) == ["allow_pickle"]


def test_the_record_survives_further_training(tmp_path: Path) -> None:
    model = one()
    model.compile("sgd", loss="mse")
    np.savez(tmp_path / "train.npz", a=np.ones((8, 4), "float32"), b=np.ones((8, 3), "float32"))
    (tmp_path / "data.yaml").write_text(
        "data: {source: {npz: train.npz},\n"
        "  inputs: {input_2: [{columns: a}]}, targets: {price: [{columns: b}]}}\n"
        "fit: {epochs: 1, batch_size: 4}\n"
    )
    record = imported(model, tmp_path, data=tmp_path / "data.yaml").record
    before = record.facts()["imported"]
    for _ in resume(record, Options(runs_dir=tmp_path / "runs", device="cpu"), []):
        pass
    assert record.facts()["imported"] == before
    run = open_run(record, device="cpu")
    assert list(predict_run(run, "train", form=Form(keras_names=True)).outputs) == ["my-output"]
    assert next(iter(predict_run(run, "train", form=Form(keras_names=True)).columns)) == "my-output[0]"
    assert next(iter(predict_run(run, "train").columns)) == "price[0]"


def test_a_run_that_was_not_imported_has_no_names_of_keras(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "data: {source: {blobs: {rows: 20}}, inputs: {x: []}, targets: {y: []}}\nmodel: {layers: [{dense: 3}]}\n"
        "compile: {loss: {sparse_categorical_crossentropy: {from_logits: true}}}\nfit: {epochs: 1}\n"
    )
    for _ in start(open_config(tmp_path / "config.yaml"), Options(runs_dir=tmp_path / "runs", device="cpu")):
        pass
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    run = open_run(RunRecord.open(folder), device="cpu")
    with pytest.raises(ConfigError, match=r"--keras-names: the run .* has no names of a Keras file"):
        predict_run(run, "train", form=Form(keras_names=True))


def test_weights_alone_bring_no_names(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    model.save_weights(tmp_path / "m.weights.h5")
    (tmp_path / "config.yaml").write_text("model: {inputs: {x: [4]}, layers: [{dense: 2}]}\n")
    found = import_weights(
        tmp_path / "m.weights.h5", tmp_path / "config.yaml", runs_dir=tmp_path / "runs", name=None, by_name=False
    )
    run = open_run(found.record, device="cpu")
    path = npz(tmp_path, x=np.ones((2, 4), "float32"))
    assert predict_run(run, path).rows == 2
    with pytest.raises(ConfigError, match="has no names of a Keras file"):
        predict_run(run, path, form=Form(keras_names=True))


def test_a_run_from_before_names_were_recorded_predicts_under_our_names(tmp_path: Path) -> None:
    model = one()
    run = imported(model, tmp_path)
    file = run.record.path / "run.json"
    facts = read_facts(file)
    for key in ("inputs", "outputs"):
        del facts["imported"][key]
    file.write_bytes(sealed(facts))
    path = npz(tmp_path, **ours(run, model))
    assert predict_run(run, path).rows == 12
    with pytest.raises(ConfigError, match="has no names of a Keras file"):
        predict_run(run, path, form=Form(keras_names=True))
    with pytest.raises(DataError, match="there is no array 'input_2'"):
        predict_run(run, npz(tmp_path, **rows(model)))


@pytest.mark.parametrize("name", ["../up", "a\x1b[2J", ""])
def test_names_of_inputs_that_are_paths_or_escapes_are_refused(name: str, tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    model = keras.Model({"first": x}, {"second": L.Dense(2)(x)})
    for key in ("first", "second"):
        text = model.to_json().replace(f'"{key}"', json.dumps(name))
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(FileRefused, match="invalid name of an input or output"):
            import_model(tmp_path / "model.json", runs_dir=tmp_path / "runs")


VIEWS = """
model:
  views:
    difference: {outputs: first_difference}
    right: {outputs: second_code}
    decode: {inputs: {second_code: [4]}, layers: [{expr: {value: 2 * second_code, name: twice}}]}
"""


def with_views(folder: Path) -> tuple[Any, LoadedRun]:
    a, b = keras.Input((4,), name="input"), keras.Input((4,), name="input_2")
    code = L.Dense(3, name="second-code")(b)
    difference = L.Subtract(name="first-difference")([a, b])
    model = keras.Model([a, b], [L.Dense(2, name="left-side")(difference), L.Dense(2, name="y")(code)])
    (folder / "views.yaml").write_text(VIEWS)
    return model, imported(model, folder, data=folder / "views.yaml")


def test_views_take_and_give_the_names_of_keras(tmp_path: Path) -> None:
    model, run = with_views(tmp_path)
    x = rows(model)
    for given in (keras_rows(model), ours(run, model)):
        found = predict_run(run.view("difference"), npz(tmp_path, **given), form=Form(keras_names=True)).outputs
        assert list(found) == ["first-difference"]
        np.testing.assert_allclose(found["first-difference"], x["input"] - x["input_2"], atol=ATOL)
    coder: Any = keras.Model(model.inputs, model.get_layer("second-code").output)
    code = coder.predict(x, verbose=0)
    for given in (keras_rows(model), ours(run, model), {"input_2": x["input_2"]}, {"input_2_2": x["input_2"]}):
        found = predict_run(run.view("right"), npz(tmp_path, **given)).outputs
        np.testing.assert_allclose(found["second_code"], code, atol=ATOL)
    for name in ("second-code", "second_code"):
        found = predict_run(
            run.view("decode"), npz(tmp_path, **{name: x["input"]}), form=Form(keras_names=True)
        ).outputs
        np.testing.assert_array_equal(found["twice"], 2 * x["input"])


def test_a_model_of_weights_and_a_config_without_data_predicts_with_its_views(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), L.Dense(2), L.Dense(4)])
    model.save_weights(tmp_path / "m.weights.h5")
    (tmp_path / "config.yaml").write_text(
        "model: {inputs: {x: [4]}, layers: [{dense: {units: 2, name: code}}, {dense: 4}],"
        " views: {encode: {outputs: code}}}\n"
    )
    found = import_weights(
        tmp_path / "m.weights.h5", tmp_path / "config.yaml", runs_dir=tmp_path / "runs", name=None, by_name=False
    )
    x = np.ones((2, 4), "float32")
    codes = predict_run(open_run(found.record, device="cpu").view("encode"), npz(tmp_path, x=x)).outputs["code"]
    np.testing.assert_allclose(codes, model.layers[0](x).detach(), atol=ATOL)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {views: {a: {outputs: y}}, layers: [{dense: 2}]}\n", "'model' comes from the imported file"),
        ("model: {}\n", "'model' comes from the imported file"),
        ("model: {views: {a: {outputs: z}}}\n", "z"),
        ("fit: {epochs: 2}\n", "there is no 'data' section"),
    ],
)
def test_a_config_beside_a_file_says_nothing_that_the_file_says(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "beside.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        imported(one(), tmp_path, data=tmp_path / "beside.yaml")
    assert not [path for path in (tmp_path / "runs").glob("*") if path.is_dir()]
