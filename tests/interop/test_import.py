"""Models saved by Keras predict and train here as in Keras."""

import json
import re
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers as L

from kerascli.foundation.errors import ConfigError, DataError, FileRefused, Place
from kerascli.language.component import Invalid
from kerascli.layers.base import LAYERS
from kerascli.workflow.check import spec_of_run, summary_of
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from kerascli.workflow.rows.command_rows import rows_of
from kerascli.workflow.train import Options, resume
from tests.support.models import parse_model

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2

FORMATS = (".keras", ".h5")


def dense() -> Any:
    return keras.Sequential([
        keras.Input((6,)), L.Dense(5, activation="tanh", kernel_regularizer=keras.regularizers.L1L2(1e-3, 1e-2)),
        L.BatchNormalization(momentum=0.8), L.Dropout(0.2), L.Dense(3, kernel_initializer="he_normal", use_bias=False),
    ])  # fmt: skip


def cnn() -> Any:
    return keras.Sequential([
        keras.Input((9, 9, 2)), L.Conv2D(4, 3, padding="same", activation="relu"), L.MaxPooling2D(),
        L.Conv2D(3, (2, 3), strides=(1, 2), data_format="channels_last"), L.GlobalAveragePooling2D(), L.Dense(2),
    ])  # fmt: skip


def conv_1d() -> Any:
    return keras.Sequential([keras.Input((None, 3)), L.Conv1D(4, 2, padding="causal"), L.LSTM(2)])


def lstm() -> Any:
    return keras.Sequential([keras.Input((4, 3)), L.LSTM(5, return_sequences=True), L.LSTM(2, unit_forget_bias=False)])


def masked() -> Any:
    x = keras.Input((5,), dtype="int32", name="words")
    h = L.Embedding(7, 4, mask_zero=True)(x)
    return keras.Model(x, L.Dense(2)(L.LSTM(3)(h)))


def masking() -> Any:
    return keras.Sequential([keras.Input((5, 2)), L.Masking(0.5), L.LSTM(3)])


def states() -> Any:
    source, target = keras.Input((4, 2), name="source"), keras.Input((3, 2), name="target")
    _, h, c = L.LSTM(3, return_state=True, name="encoder")(source)
    return keras.Model([source, target], L.LSTM(3, name="decoder")(target, initial_state=[h, c]))


def several() -> Any:
    a, b = keras.Input((4,), name="left"), keras.Input((4,), name="2nd-input")
    joined = L.Concatenate(name="dense")([L.Dense(3, name="conv2d")(a), L.Dense(3, name="b-dense")(b), a])
    return keras.Model([a, b], [L.Dense(2, name="one")(joined), L.Add(name="two")([a, b])])


def mappings() -> Any:
    x = {"p": keras.Input((3,), name="p"), "q": keras.Input((3,), name="q")}
    shared = L.Multiply()([x["p"], x["q"]])
    return keras.Model(x, {"small": L.Dense(1)(shared), "wide": shared})


def nested() -> Any:
    x = keras.Input((4, 4, 1))
    inner = keras.Input((3,))
    head = keras.Model(inner, L.Dense(2)(L.BatchNormalization()(L.Dense(4)(inner))), name="head")
    tower = keras.Sequential([keras.Input((4, 4, 1)), L.Conv2D(2, 3), L.Flatten(), L.Dense(3), head], name="tower")
    return keras.Model(x, L.Dense(2)(tower(x)))


MODELS = [dense, cnn, conv_1d, lstm, masked, masking, states, several, mappings, nested]


def rows(model: Any, count: int = 12) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    found = {}
    for given in model.inputs:
        shape = (count, *(6 if size is None else size for size in given.shape[1:]))
        whole = str(given.dtype).startswith("int")
        found[given.name] = generator.integers(0, 5, shape) if whole else generator.normal(size=shape).astype("float32")
    if any(isinstance(layer, L.Masking) for layer in model.layers):
        found[model.inputs[0].name][:, -2:] = 0.5
    return found


def called(model: Any, x: dict[str, np.ndarray]) -> Any:
    struct = getattr(model, "_inputs_struct", None)
    if isinstance(struct, dict):
        return {key: x[tensor.name] for key, tensor in struct.items()}
    return [x[given.name] for given in model.inputs] if len(model.inputs) > 1 else x[model.inputs[0].name]


def save(model: keras.Model, folder: Path, suffix: str) -> Path:
    path = folder / f"model{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def shake(model: keras.Model) -> None:
    """Randomize all weights: initial zeros and ones would hide mistakes of order."""
    generator = np.random.default_rng(1)
    model.set_weights([generator.uniform(0.2, 0.9, w.shape).astype("float32") for w in model.get_weights()])


def arrays(run: Any, model: Any, x: dict[str, np.ndarray], path: Path) -> Path:
    ours = [given.name for given in run.experiment.spec.model.inputs]
    named: Any = dict(zip(ours, (x[given.name] for given in model.inputs), strict=True))
    np.savez(path, **named)
    return path


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_an_imported_model_predicts_what_keras_predicts(make: Callable[[], Any], suffix: str, tmp_path: Path) -> None:
    model = make()
    shake(model)
    x = rows(model)
    found = import_model(save(model, tmp_path, suffix), runs_dir=tmp_path / "runs")
    run = open_run(found.record, device="cpu")
    ours = list(predict_run(run, str(arrays(run, model, x, tmp_path / "x.npz"))).outputs.values())
    theirs = model.predict(called(model, x), verbose=0)
    theirs = list(theirs.values()) if isinstance(theirs, dict) else theirs if isinstance(theirs, list) else [theirs]
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    assert summary_of(spec_of_run(found.record)).total == model.count_params()


def test_names_and_mappings_are_kept_as_far_as_the_language_has_them(tmp_path: Path) -> None:
    found = import_model(save(several(), tmp_path, ".keras"), runs_dir=tmp_path / "runs")
    names = found.record.facts()["imported"]["names"]
    assert {"2nd-input", "b-dense", "conv2d", "dense"} <= set(names.values())
    assert all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in names)
    found = import_model(save(mappings(), tmp_path, ".keras"), runs_dir=tmp_path / "runs")
    model = open_run(found.record).experiment.spec.model
    assert [given.name for given in model.inputs] == ["p", "q"]
    assert model.outputs == ("small", "wide")


def test_a_config_says_only_what_is_not_the_default(tmp_path: Path) -> None:
    found = import_model(save(dense(), tmp_path, ".keras"), runs_dir=tmp_path / "runs")
    config = found.record.config()
    assert "l1_l2" in config
    assert "momentum: 0.8" in config
    for default in ("glorot", "epsilon", "bias_initializer", "linear", "trainable", "null", "data_format"):
        assert default not in config


SCHEDULE: Any = keras.optimizers.schedules.ExponentialDecay(0.02, 4, 0.5)
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "plain": lambda: keras.optimizers.SGD(0.05),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "adam_w": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1, clipnorm=1.0),
    "adagrad": lambda: keras.optimizers.Adagrad(0.05),
    "adadelta": lambda: keras.optimizers.Adadelta(0.5),
    "adamax": lambda: keras.optimizers.Adamax(0.01),
    "lion": lambda: keras.optimizers.Lion(0.01),
    "ftrl": lambda: keras.optimizers.Ftrl(0.05),
    "schedule": lambda: keras.optimizers.Adam(SCHEDULE),
    "average": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=2),
}


@pytest.mark.parametrize(
    ("kind", "suffix"), [*((kind, ".keras") for kind in OPTIMIZERS), ("adam", ".h5"), ("rmsprop", ".h5")]
)
def test_three_more_steps_are_those_of_keras(kind: str, suffix: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    x, y = rows(dense_plain())["x"], np.random.default_rng(5).normal(size=(12, 2)).astype("float32")
    model = dense_plain()
    model.compile(OPTIMIZERS[kind](), loss="mse", metrics=["mae"])
    fit = {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.fit(x, y, epochs=2, **fit)
    path = save(model, tmp_path, suffix)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    (tmp_path / "data.yaml").write_text(
        "data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}\n"
        "fit: {epochs: 1, batch_size: 4, shuffle: false}\n"
    )
    found = import_model(path, runs_dir=tmp_path / "runs", data=tmp_path / "data.yaml")
    assert found.notes == ()
    assert found.record.checkpoints.newest().step == 6
    assert found.record.facts()["threads"] is None  # where it is trained there may be more CPUs, or fewer
    for _ in resume(found.record, Options(runs_dir=tmp_path / "runs", device="cpu"), []):
        pass
    assert open_run(found.record, device="cpu").experiment.spec.name == found.record.name  # not that of config.yaml
    model.fit(x, y, epochs=1, **fit)
    after = open_run(found.record, device="cpu").experiment.weights
    for ours, theirs in zip(after, model.weights, strict=True):
        np.testing.assert_allclose(ours.keras().numpy(), theirs.value.detach().numpy(), atol=1e-5, err_msg=kind)


@pytest.mark.parametrize("fitted", [True, False])
def test_a_layer_that_is_frozen_for_further_training_stays_as_in_keras(fitted: bool, tmp_path: Path) -> None:
    """Keras compiles anew then, with a new optimizer."""
    keras.utils.set_random_seed(1)
    x, y = rows(dense_plain())["x"], np.random.default_rng(5).normal(size=(12, 2)).astype("float32")
    model, fit = dense_plain(), {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.compile(keras.optimizers.Adam(0.01), loss="mse")
    if fitted:
        model.fit(x, y, epochs=2, **fit)
    path = save(model, tmp_path, ".keras")
    np.savez(tmp_path / "data.npz", x=x, y=y)
    frozen = model.layers[1].name
    (tmp_path / "data.yaml").write_text(
        "data: {source: {npz: {path: data.npz}}, inputs: {x: []}, targets: {y: []}}\n"
        f"fit: {{epochs: 1, batch_size: 4, shuffle: false, trainable: {{{frozen}: false}}}}\n"
    )
    found = import_model(path, runs_dir=tmp_path / "runs", data=tmp_path / "data.yaml")
    assert any("the optimizer starts anew" in note for note in found.notes)
    list(resume(found.record, Options(runs_dir=tmp_path / "runs", device="cpu"), []))
    model.layers[1].trainable = False
    model.compile(keras.optimizers.Adam(0.01), loss="mse")
    model.fit(x, y, epochs=1, **fit)
    for ours, theirs in zip(open_run(found.record, device="cpu").experiment.weights, model.weights, strict=True):
        np.testing.assert_allclose(ours.keras().numpy(), theirs.value.detach().numpy(), atol=1e-5)


def test_a_run_without_data_says_how_to_go_on(tmp_path: Path) -> None:
    model = dense_plain()
    model.compile("adam", loss="mse")
    found = import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs")
    with pytest.raises(ConfigError, match="imported without data") as refused:
        list(resume(found.record, Options(runs_dir=tmp_path / "runs", device="cpu"), []))
    assert "--data" in (refused.value.faults[0].hint or "")


def test_the_optimizer_of_keras_2_starts_anew_and_that_is_reported(tmp_path: Path) -> None:
    model = dense_plain()
    model.compile("adam", loss="mse")
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    path = save(model, tmp_path, ".h5")
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = "2.9.0"
    found = import_model(path, runs_dir=tmp_path / "runs")
    assert "starts anew" in found.notes[0]
    assert found.record.checkpoints.newest().step == 0


def dense_plain() -> Any:
    return keras.Sequential([keras.Input((4,), name="x"), L.Dense(5, activation="tanh"), L.Dense(2, name="y")])


def test_metrics_of_an_imported_model_are_those_of_keras(tmp_path: Path) -> None:
    model = dense_plain()
    model.compile("sgd", loss=keras.losses.Huber(), metrics=["mae", keras.metrics.RootMeanSquaredError(name="off")])
    x, y = rows(model)["x"], np.random.default_rng(5).normal(size=(12, 2)).astype("float32")
    wanted = model.evaluate(x, y, verbose=0, return_dict=True)
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    run = open_run(import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record, device="cpu")
    logs = evaluate_rows(run, rows_of(run, str(tmp_path / "rows.npz"), targets=True), "rows").result.logs
    assert logs == pytest.approx(wanted, abs=1e-5)


def test_frozen_layers_stay_frozen(tmp_path: Path) -> None:
    model = dense_plain()
    model.layers[0].trainable = False
    found = import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs")
    assert [w.trainable for w in open_run(found.record).experiment.weights] == [False, False, True, True]


def test_the_json_of_a_model_is_a_model_without_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(dense_plain().to_json())
    found = import_model(path, runs_dir=tmp_path / "runs")
    assert any("no weights" in note for note in found.notes)
    assert found.parameters == dense_plain().count_params()


def test_the_model_of_keras_2_is_read(tmp_path: Path) -> None:
    """Keras 2's forms: lists for calls, batch_input_shape, arguments that no longer exist."""
    layers = [
        {"class_name": "InputLayer", "name": "in/put", "inbound_nodes": [],
         "config": {"batch_input_shape": [None, 4], "dtype": "float32", "sparse": False, "name": "in/put"}},
        {"class_name": "Dense", "name": "d", "inbound_nodes": [[["in/put", 0, 0, {}]]],
         "config": {"name": "d", "trainable": True, "units": 4, "activation": "relu",
                    "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}}}},
        {"class_name": "LeakyReLU", "name": "l", "inbound_nodes": [[["d", 0, 0, {}]]],
         "config": {"name": "l", "alpha": 0.25}},
        {"class_name": "Dropout", "name": "o", "inbound_nodes": [[["l", 0, 0, {"training": True}]]],
         "config": {"name": "o", "rate": 0.5}},
        {"class_name": "Add", "name": "s", "inbound_nodes": [[["o", 0, 0, {}], ["in/put", 0, 0, {}]]],
         "config": {"name": "s"}},
    ]  # fmt: skip
    config = {"name": "m", "layers": layers, "input_layers": [["in/put", 0, 0]], "output_layers": [["s", 0, 0]]}
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"class_name": "Functional", "config": config, "keras_version": "2.9.0"}))
    found = import_model(path, runs_dir=tmp_path / "runs")
    config_text = found.record.config()
    assert "negative_slope" not in config_text or "0.25" in config_text
    assert "training: true" in config_text
    assert found.record.facts()["imported"]["names"]["in_put"] == "in/put"


def test_all_unknown_classes_are_named_at_once(tmp_path: Path) -> None:
    class Mine(L.Layer):
        pass

    class Yours(L.Layer):
        pass

    model = keras.Sequential([keras.Input((3,)), Mine(), Yours(), L.Dense(1)])
    with pytest.raises(FileRefused, match=r"(?s)Mine.*Yours"):
        import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*"))


def test_settings_of_a_training_can_be_left_out(tmp_path: Path) -> None:
    def odd(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(y_pred - y_true)

    model = dense_plain()
    model.compile("sgd", loss=odd)
    path = save(model, tmp_path, ".keras")
    with pytest.raises(FileRefused, match="odd") as refused:
        import_model(path, runs_dir=tmp_path / "runs")
    assert "--no-compile" in str(refused.value)
    run = open_run(import_model(path, runs_dir=tmp_path / "runs", compiled=False).record)
    with pytest.raises(ConfigError, match="no 'compile' section"):
        evaluate_rows(run, rows_of(run, str(arrays(run, model, rows(model), tmp_path / "x.npz")), targets=True), "x")


def test_an_operation_between_layers_is_an_expr_or_named_in_a_refusal(tmp_path: Path) -> None:
    x = keras.Input((4,))
    path = save(keras.Model(x, L.Dense(2)(keras.ops.multiply(keras.ops.tanh(x), 2.0))), tmp_path, ".keras")
    if LAYERS.find("expr") is None:
        with pytest.raises(FileRefused, match=r"operation Tanh of keras\.ops, operation Multiply"):
            import_model(path, runs_dir=tmp_path / "runs")
        return
    assert "tanh(" in import_model(path, runs_dir=tmp_path / "runs").record.config()


def _shares() -> bool:
    section = {"inputs": {"x": [2]}, "shared": {"s": {"dense": 2}}, "layers": [{"s": {"inputs": "x"}}]}
    try:
        parse_model(section, {})
    except Invalid:
        return False
    return True


def test_what_is_called_twice_is_shared_or_refused(tmp_path: Path) -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    tower = keras.Sequential([keras.Input((4,)), L.Dense(3), L.BatchNormalization()], name="tower")
    score = L.Dense(2, name="score")
    model: Any = keras.Model([a, b], L.Add()([score(tower(a)), score(tower(b))]))
    shake(model)
    path = save(model, tmp_path, ".keras")
    if not _shares():
        with pytest.raises(FileRefused, match="shared"):
            import_model(path, runs_dir=tmp_path / "runs")
        return
    run = open_run(import_model(path, runs_dir=tmp_path / "runs").record, device="cpu")
    x = rows(model)
    (ours,) = predict_run(run, str(arrays(run, model, x, tmp_path / "x.npz"))).outputs.values()
    np.testing.assert_allclose(ours, model.predict(called(model, x), verbose=0), atol=1e-5)


@pytest.mark.parametrize("times", [1, 2])
def test_results_of_a_nested_model_that_nobody_uses_are_left_out(times: int, tmp_path: Path) -> None:
    inner = keras.Input((4,))
    base = L.Dense(3, name="a")(inner)
    heads = [L.Dense(2, name=name)(base) for name in "bcd"]
    nested: Any = keras.Model(inner, [base, *heads], name="inner")
    given = [keras.Input((4,), name=name) for name in "xy"[:times]]
    found = [nested(x)[2 - number] for number, x in enumerate(given)]  # c, then b: d leads nowhere
    model: Any = keras.Model(given, L.Dense(1)(found[0] if times == 1 else L.Concatenate()(found)))
    shake(model)
    x = rows(model)
    run = open_run(import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record, device="cpu")
    (ours,) = predict_run(run, str(arrays(run, model, x, tmp_path / "x.npz"))).outputs.values()
    np.testing.assert_allclose(ours, model.predict(called(model, x), verbose=0), atol=1e-5)
    owners = {weight.name.split("/")[-2].removeprefix("inner_") for weight in run.experiment.weights}
    assert owners & set("abcd") == ({"a", "c"} if times == 1 else {"a", "b", "c"})


def test_a_result_that_a_nested_model_does_not_have_is_refused(tmp_path: Path) -> None:
    inner = keras.Sequential([keras.Input((4,)), L.Dense(3)], name="inner")
    x = keras.Input((4,))
    path = save(keras.Model(x, L.Dense(1)(inner(x))), tmp_path, ".keras")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = members["config.json"].replace(b'"inner", 0, 0', b'"inner", 0, 9')
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(FileRefused, match="there is no node"):
        import_model(path, runs_dir=tmp_path / "runs")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_model_on_every_step_is_shared(suffix: str, tmp_path: Path) -> None:
    one = keras.Input((6, 6, 1), name="image")
    y = L.BatchNormalization(name="n")(L.Conv2D(2, 3, name="c")(one))
    tower = keras.Model(
        one, L.Add(name="a")([L.GlobalMaxPooling2D(name="m")(y), L.GlobalAveragePooling2D(name="g")(y)])
    )
    frames = keras.Input((4, 6, 6, 1), name="frames")
    model: Any = keras.Model(frames, L.Dense(2, name="out")(L.LSTM(3)(L.TimeDistributed(tower, name="steps")(frames))))
    shake(model)
    x = rows(model)
    found = import_model(save(model, tmp_path, suffix), runs_dir=tmp_path / "runs")
    run = open_run(found.record, device="cpu")
    (ours,) = predict_run(run, str(arrays(run, model, x, tmp_path / "x.npz"))).outputs.values()
    np.testing.assert_allclose(ours, model.predict(called(model, x), verbose=0), atol=1e-5)
    assert summary_of(spec_of_run(found.record)).total == model.count_params()


def test_data_is_asked_for_by_the_names_of_inputs_and_outputs(tmp_path: Path) -> None:
    run = open_run(import_model(save(dense_plain(), tmp_path, ".keras"), runs_dir=tmp_path / "runs").record)
    np.savez(tmp_path / "wrong.npz", z=np.ones((3, 4)))
    with pytest.raises(Exception, match="there is no array 'x'"):
        predict_run(run, str(tmp_path / "wrong.npz"))
    with pytest.raises(ConfigError, match="no data section"):
        predict_run(run, "test")
    with pytest.raises(DataError, match=r"no such file '.*wrnog.npz'; did you mean '.*wrong.npz'"):
        predict_run(run, str(tmp_path / "wrnog.npz"))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("rows.csv", "x[0],x[1],x[2],x[3]\n1,2,3,4\n", "arrays of its own: .npz and .npy files"),
        ("rows.parquet", "no rows", "arrays of its own: .npz and .npy files"),
    ],
)
def test_a_file_without_the_arrays_says_what_is_expected(name: str, text: str, says: str, tmp_path: Path) -> None:
    run = open_run(import_model(save(dense_plain(), tmp_path, ".keras"), runs_dir=tmp_path / "runs").record)
    (tmp_path / name).write_text(text)
    with pytest.raises((DataError, FileRefused)) as caught:
        predict_run(run, str(tmp_path / name))
    (fault,) = caught.value.faults
    assert says in f"{fault.text} {fault.hint}"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (np.eye(3), "'y': 'sparse_categorical_crossentropy' needs integer class labels"),
        (np.ones((3, 7)), "'y': 'sparse_categorical_crossentropy' needs integer class labels"),
        (np.ones((3, 1), complex), "'y': expected numbers with an axis of rows, got complex128"),
    ],
)
def test_targets_that_do_not_fit_the_loss_are_reported_by_file_and_name(
    wrong: np.ndarray, text: str, tmp_path: Path
) -> None:
    model = keras.Sequential([keras.Input((4,), name="x"), L.Dense(3, activation="softmax", name="y")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    run = open_run(import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record, device="cpu")
    np.savez(tmp_path / "rows.npz", x=np.ones((3, 4)), y=wrong)
    with pytest.raises(DataError, match=re.escape(text)) as caught:
        rows_of(run, str(tmp_path / "rows.npz"), targets=True)
    assert caught.value.faults[0].place == Place(str(tmp_path / "rows.npz"))


_MEASURED = """
import sys
from pathlib import Path
from kerascli.workflow.interchange.importing import import_model

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

small, large = map(Path, sys.argv[1:])
import_model(small, runs_dir=small.parent / "runs")
Path("/proc/self/clear_refs").write_text("5")
before = peak()
import_model(large, runs_dir=small.parent / "runs")
print((peak() - before) * 1024 / large.stat().st_size)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured by Linux's own count")
def test_a_large_file_is_never_twice_in_memory(tmp_path: Path) -> None:
    save(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), tmp_path, ".keras").rename(tmp_path / "s.keras")
    hidden = [keras.layers.Dense(1500) for _ in range(6)]
    large = save(keras.Sequential([keras.Input((1500,)), *hidden]), tmp_path, ".keras")
    command = [sys.executable, "-c", _MEASURED, str(tmp_path / "s.keras"), str(large)]
    runs = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2))
    assert any(float(run.stdout) < 2.0 for run in runs)  # what the garbage collector has not freed yet may add to one
