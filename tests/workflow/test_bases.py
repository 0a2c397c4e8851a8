"""Bases: shared models with the layers and weights of a run, of a file of Keras, or of a published network."""

import os
import re
import shutil

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import torch
import yaml
from keras import layers as L
from keras.src.backend.common import dtypes
from keras.src.legacy.saving import legacy_h5_format
from safetensors.numpy import load

from kerascli.config.data import load_config_data
from kerascli.foundation.device import Choice
from kerascli.foundation.errors import ConfigError, FileRefused, KerasCliError
from kerascli.foundation.events import Note
from kerascli.model.freezing import trained_layers
from kerascli.runs.record import RunRecord
from kerascli.workflow.bases import open_config
from kerascli.workflow.check import check, spec_of
from kerascli.workflow.fitting.options import Options
from kerascli.workflow.fitting.phases import build_phase, make_phase
from kerascli.workflow.interchange.init_from import InitWeights
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support.fit_harness import prepare
from tests.support.runs_harness import command, edit_facts, go_on, outcome, train, write

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",  # Keras's, in numpy 2
    "ignore:You are saving",
)

DATA = """
seed: 3
data:
  source: {npz: rows.npz}
  inputs: {image: []}
  targets: {y: []}
"""
COMPILE = """
compile: {loss: sparse_categorical_crossentropy, optimizer: {sgd: 0.05}}
fit: {epochs: 2, batch_size: 16}
"""
TEACHER = f"""{DATA}
model:
  blocks:
    conv:
      parameters: {{filters: }}
      layers:
        - conv_2d: {{filters: $filters, kernel_size: 3, padding: same, use_bias: false}}
        - batch_normalization
        - relu
  layers:
    - conv: 4
    - max_pooling_2d: {{name: pool}}
    - conv: 6
    - global_average_pooling_2d: {{name: features}}
    - dropout: 0.2
    - dense: {{units: 3, activation: softmax, name: kind}}
    - add_loss: {{value: "0.01 * mean(features ** 2, axis=-1)"}}
{COMPILE}"""
STUDENT = f"""{DATA}
model:
  shared:
    base: BASE
  layers:
    - base: {{training: false}}
    - dense: {{units: 3, activation: softmax}}
{COMPILE}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with rows, and a trained run `teacher`."""
    folder = tmp_path_factory.mktemp("bases")
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, 64)
    np.savez(folder / "rows.npz", image=draw.normal(y[:, None, None, None], 1, (64, 8, 8, 3)).astype("float32"), y=y)
    train(write(folder, TEACHER, "teacher.yaml"), folder / "runs")
    return folder


def student(folder: Path, base: str, *, name: str = "student.yaml", text: str = STUDENT) -> Path:
    return write(folder, text.replace("BASE", base), name)


def begun(path: Path, runs: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Return a config's model with its initial weights, and these by name."""
    config = open_config(path, runs_dir=runs)
    experiment = build_phase(make_phase(config, load_config_data(config)), Choice("cpu", "a test"))
    InitWeights().load(experiment, config, Options(runs))
    return experiment, {weight.name: weight.keras().numpy().copy() for weight in experiment.weights}


def begin_with(folder: Path, base: str) -> dict[str, np.ndarray]:
    return begun(student(folder, base), folder / "runs")[1]


def teacher_of(folder: Path) -> RunRecord:
    [path] = (folder / "runs").glob("*-teacher")
    return RunRecord(path)


def test_a_run_until_a_node_is_a_base_and_its_run_needs_nothing_else(folder: Path, tmp_path: Path) -> None:
    run, events = train(student(folder, "{run: teacher, until: features, trainable: false}"), folder / "runs")
    theirs, ours = load(teacher_of(folder).weights()), load(run.weights())
    kept = {name for name in theirs if not name.startswith("kind/")}
    assert {name for name in ours if name.startswith("base/")} == {f"base/{name}" for name in kept}
    for name in kept:
        np.testing.assert_array_equal(ours[f"base/{name}"], theirs[name])
    facts = run.facts()["bases"]["base"]
    assert facts["sha256"] == teacher_of(folder).facts()["files"]["model.safetensors"]
    assert f"base: 10 of 10 weights from {teacher_of(folder).path}" in [e.text for e in events if isinstance(e, Note)]
    model = yaml.safe_load(run.resolved())["model"]["shared"]["base"]
    assert model["init_from"]["run"] == f"../{teacher_of(folder).path.name}"
    assert [next(iter(layer)) for layer in model["layers"]][-1] == "global_average_pooling_2d"
    shutil.copytree(run.path, tmp_path / "alone")
    assert open_run(RunRecord(tmp_path / "alone")).experiment.spec.model.outputs == ("dense",)


def test_a_run_in_phases_is_the_base_that_its_last_phase_trained(tmp_path: Path) -> None:
    """Its predictions for the rows are the oracle of the base's."""
    data = "seed: 1\ndata: {source: {blobs: {rows: 60, features: 6, classes: 3}}, inputs: {x: []}, targets: {y: []}}"
    compiled = "compile: {loss: sparse_categorical_crossentropy, optimizer: {adam: 0.01}}"
    phases = "[{trainable: {low: false}}, {flags: {act: tanh}, trainable: {low: true, mid: {lora: {rank: 2}}}}]"
    source = f"""
{data}
flags: {{act: relu}}
model:
  layers:
    - dense: {{units: 4, name: low}}
    - dense: {{units: 5, activation: $act, name: mid}}
    - dense: {{units: 3, activation: softmax, name: out}}
  views: {{v: {{outputs: mid}}}}
{compiled}
fit: {{phases: {phases}}}
"""
    run, _ = train(write(tmp_path, source), tmp_path / "runs", ["fit.epochs=1"])
    based = f"""
{data}
model:
  shared: {{base: {{run: "{run.path}", until: mid}}}}
  layers: [{{base: {{name: b}}}}, {{dense: {{units: 3, activation: softmax, name: out}}}}]
  views: {{v: {{outputs: b}}}}
{compiled}
fit: {{epochs: 1, trainable: {{base: false}}}}
"""
    other, _ = train(write(tmp_path, based, "b.yaml"), tmp_path / "other")
    ours, theirs = (
        predict_run(open_run(each, whole=True).view("v"), "train").outputs[name]
        for each, name in ((run, "mid"), (other, "b"))
    )
    np.testing.assert_allclose(theirs, ours, rtol=1e-6)
    model = spec_of(
        open_config(tmp_path / "b.yaml", sets=["fit.trainable=null"]).document, flags=[], runs_dir=tmp_path
    ).model
    assert trained_layers(model) == {"base/low": True, "base/mid": True, "out": True}


def test_the_weights_of_a_run_that_has_not_ended_are_those_of_its_resumption(tmp_path: Path) -> None:
    text = """
data: {source: {blobs: {rows: 20, features: 6, classes: 3}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: 3, name: out}}]}
compile: {loss: {sparse_categorical_crossentropy: {from_logits: true}}}
"""
    run, _ = train(write(tmp_path, text), tmp_path / "runs", ["fit.epochs=1"])
    (run.path / "model.safetensors").unlink()
    edit_facts(run.path, status="interrupted")
    based = f"""
data: {{source: {{blobs: {{rows: 20, features: 6, classes: 3}}}}, inputs: {{x: []}}, targets: {{y: []}}}}
model: {{shared: {{base: {{run: "{run.path}"}}}}, layers: [base]}}
compile: {{loss: {{sparse_categorical_crossentropy: {{from_logits: true}}}}}}
"""
    with pytest.raises(FileRefused, match="has no final weights: it is interrupted") as error:
        train(write(tmp_path, based, "b.yaml"), tmp_path / "other")
    assert "--resume" in str(error.value.faults[0].hint)


def test_settings_of_a_base_are_searched(tmp_path: Path) -> None:
    text = """
flags: {width: 0.35}
data: {source: {npz: d.npz}, inputs: {image: []}, targets: {y: []}}
model:
  shared: {base: {application: mobilenet_v2, alpha: $width, weights: null, include_top: false, pooling: avg}}
  layers: [base, {dense: {units: 2, activation: softmax}}]
compile: {loss: sparse_categorical_crossentropy}
fit: {epochs: 1}
tune:
  sampler: grid
  objective: loss
  flags: {width: [0.35, 0.5]}
  set: {model.shared.base.until: [Conv_1, LAST]}
"""
    np.savez(tmp_path / "d.npz", image=np.zeros((4, 32, 32, 3), np.float32), y=np.arange(4) % 2)
    end = text.replace("pooling: avg", "until: Conv_1").replace("layers: [base, ", "layers: [base, flatten, ")
    assert "tune: " in str(check(write(tmp_path, end.replace("LAST", "out_relu")), sets=(), flags=()).lines)
    with pytest.raises(
        ConfigError, match=r"at model.shared.base.until nothing: until: mobilenet_v2 has no node 'nothing'"
    ):
        check(write(tmp_path, end.replace("LAST", "nothing")), sets=(), flags=())


def test_nodes_of_blocks_and_several_nodes_can_be_the_end(folder: Path) -> None:
    text = STUDENT.replace(
        "- base: {training: false}",
        "- base: {outputs: [large, small]}\n    - expr: mean(large) + mean(small, axis=[1, 2])",
    )
    path = student(folder, "{run: teacher, until: [relu_1, pool]}", text=text)
    spec = spec_of(path, runs_dir=folder / "runs")
    assert spec.built.specs["small"].shape == (4, 4, 4)
    (base,) = spec.model.shared
    assert len(base.outputs) == 2


def test_a_base_called_twice_has_one_set_of_weights(folder: Path) -> None:
    layers = "- base: {name: a}\n    - base: {inputs: image, name: b}\n    - add: [a, b]\n"
    text = STUDENT.replace("- base: {training: false}\n", layers)
    _, weights = begun(student(folder, "{run: teacher, until: features}", text=text), folder / "runs")
    assert len(weights) == 12


def test_a_trial_or_any_run_by_its_path_is_a_base(folder: Path) -> None:
    path = f"runs/{teacher_of(folder).path.name}"
    text = STUDENT.replace("training: false}", "training: false}\n    - flatten")
    _, by_path = begun(student(folder, f"{{run: {path}, until: pool}}", text=text), folder)
    assert {name.split("/")[1] for name in by_path if name.startswith("base/")} == {"conv_2d", "batch_normalization"}


def keras_model() -> Any:
    image = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(4, 3, padding="same", name="first")(image)
    x = L.BatchNormalization(name="norm")(x)
    features = L.GlobalAveragePooling2D(name="features")(x)
    model: Any = keras.Model(image, L.Dense(7, name="head")(features))
    draw = np.random.default_rng(1)
    model.set_weights([np.abs(draw.normal(size=w.shape)) + 0.1 for w in model.get_weights()])
    return model


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_model_of_keras_until_a_layer_is_a_base(folder: Path, suffix: str) -> None:
    theirs = keras_model()
    theirs.save(folder / f"theirs{suffix}")
    experiment, weights = begun(student(folder, f"{{file: theirs{suffix}, until: features}}"), folder)
    np.testing.assert_array_equal(weights["base/first/kernel"], theirs.get_layer("first").get_weights()[0])
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    experiment.graph.eval()
    with torch.no_grad():
        ours = experiment.graph({"image": torch.from_numpy(x)})
    dense = [weights["dense/kernel"], weights["dense/bias"]]
    features = keras.Model(theirs.input, theirs.get_layer("features").output).predict(x, verbose=0)  # pyright: ignore[reportArgumentType]
    expected = torch.softmax(torch.from_numpy(features @ dense[0] + dense[1]), -1)
    torch.testing.assert_close(ours.outputs["dense"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["keras_2", "keras_3"])
def test_a_file_with_weights_alone_fills_a_shared_model(folder: Path, kind: str) -> None:
    theirs = keras_model()
    path = folder / {"keras_2": "only.h5", "keras_3": "only.weights.h5"}[kind]
    if kind == "keras_2":
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, theirs)
    else:
        theirs.save_weights(path)
    layers = (
        "{layers: [{conv_2d: {filters: 4, kernel_size: 3, padding: same, name: first}}, "
        f"{{batch_normalization: {{name: norm}}}}, global_average_pooling_2d], init_from: {{file: {path.name}, BY}}}}"
    )
    weights = begin_with(folder, layers.replace("BY", "by_name: true"))
    for name, array in zip(("gamma", "beta"), theirs.get_layer("norm").get_weights(), strict=False):
        np.testing.assert_array_equal(weights[f"base/norm/{name}"], array)
    with pytest.raises(FileRefused, match="the model has 2 layers with weights"):
        begin_with(folder, layers.replace(", BY", ""))


def test_a_shared_model_takes_the_weights_of_a_file_by_class_and_number(folder: Path) -> None:
    theirs = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3), L.Conv2D(2, 1), L.GlobalAveragePooling2D()])
    theirs.save_weights(folder / "other_names.weights.h5")
    first, second = (
        "{conv_2d: {filters: 4, kernel_size: 3, name: a}}",
        "{conv_2d: {filters: 2, kernel_size: 1, name: b}}",
    )
    layers = f"[{first}, {second}, global_average_pooling_2d]"
    weights = begin_with(folder, f"{{layers: {layers}, init_from: {{file: other_names.weights.h5}}}}")
    for layer, name in zip(theirs.layers, ("a", "b"), strict=False):
        np.testing.assert_array_equal(weights[f"base/{name}/kernel"], layer.get_weights()[0])


def test_layers_of_shared_models_are_found_by_name_in_an_import(folder: Path) -> None:
    with h5py.File(folder / "named.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, keras_model())
    base = "{layers: [{conv_2d: {filters: 4, kernel_size: 3, name: first}}, global_average_pooling_2d]}"
    config = student(folder, base)
    command("import", folder / "named.h5", "--config", config, "--by-name", "--runs-dir", folder / "imported")
    [run] = (folder / "imported").glob("*-student")
    kernel = load(RunRecord(run).weights())["base/first/kernel"]
    np.testing.assert_array_equal(kernel, keras_model().get_layer("first").get_weights()[0])


@pytest.mark.parametrize(
    ("base", "error", "text"),
    [
        ("{run: teacher, until: feature}", ConfigError, "has no node 'feature'; did you mean 'features'?"),
        ("{run: teachers}", ConfigError, "no run 'teachers' in"),
        ("{run: teacher, file: a.keras}", ConfigError, "a base has one source: 'application', 'run' or 'file'"),
        ("{run: teacher, untl: features}", ConfigError, "unknown key 'untl' in a base; did you mean 'until'?"),
        ("{file: none.keras}", KerasCliError, "no such file"),
        ("{file: weights.pt}", FileRefused, "expected .keras or .h5"),
        ("{run: $targets.y.num_classes}", ConfigError, "targets.y.num_classes"),
        ("{application: zebra}", ConfigError, "there is no application 'zebra'"),
        ("{layers: [flatten], init_from: {run: teacher, map: {a: b}}}", ConfigError, "map cannot be used"),
        ("{layers: [flatten, inner], shared: {inner: {layers: [{dense: 2}], init_from: {run: a}}}}", ConfigError,
         "only a model of model.shared takes weights"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_base_is_an_error_at_its_place(
    folder: Path, base: str, error: type[KerasCliError], text: str
) -> None:
    path = student(folder, base)
    with pytest.raises(error, match=re.escape(text)) as refused:
        spec_of(path, runs_dir=folder / "runs")
    places = [fault.place for fault in refused.value.faults]
    assert all(place is not None and place.line == 10 for place in places), places


def test_a_run_with_plugins_is_refused_by_name(folder: Path) -> None:
    write(folder, "from kerascli.layers.base import Layer\n", "layer.py")
    with_plugin, _ = train(write(folder, f"plugins: [layer.py]\n{TEACHER}", "plug.yaml"), folder / "plugged")
    with pytest.raises(ConfigError, match=r"plug' has plugins \(\[plugins/layer.py\]\): it cannot be a base"):
        begin_with(folder, f"{{run: plugged/{with_plugin.path.name}, until: features}}")


def test_other_weights_than_at_the_start_are_refused_on_resume(folder: Path) -> None:
    path = student(folder, "{run: teacher, until: features}", name="early.yaml")
    run, _ = train(path, folder / "runs")
    whole = outcome(run)
    shutil.rmtree(run.path / "checkpoints")
    for part in ("history.csv", "model.safetensors"):
        (run.path / part).unlink()
    before = run.facts()
    changed = {"base": {**before["bases"]["base"], "sha256": "0" * 64}}
    edit_facts(run.path, status="running", bases=changed)
    with pytest.raises(FileRefused, match="have changed since the run began"):
        go_on(RunRecord(run.path))
    edit_facts(run.path, status="running", bases=before["bases"])
    go_on(RunRecord(run.path))
    assert outcome(RunRecord(run.path)) == whole


def test_a_run_that_is_trained_on_takes_all_weights_from_itself(folder: Path) -> None:
    run, _ = train(student(folder, "{run: teacher, until: features}", name="first.yaml"), folder / "runs")
    command("train", run.path, "--epochs", 1, "--runs-dir", folder / "further", "-q")
    [again] = (folder / "further").glob("*-first")
    assert "bases" not in RunRecord(again).facts()
    assert "init_from" not in yaml.safe_load(RunRecord(again).resolved())["model"]["shared"]["base"]


class Called(keras.Model):
    """Model of Keras that calls a base with an argument `training`, which its functional models would replace."""

    def __init__(self, base: Any, head: Any, training: bool | None) -> None:
        super().__init__()
        self.base, self.head, self.mode = base, head, training

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.head(self.base(x, training=training if self.mode is None else self.mode))


@pytest.fixture
def _in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx("float32")
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_in_float64")
@pytest.mark.parametrize("way", ["frozen", "training: false", "released"])
def test_batch_normalization_of_a_base_is_keras_s_over_three_steps(way: str, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    data = {"x": draw.integers(-3, 5, (24, 5)) / 4, "y": draw.integers(-4, 5, (24, 1)) / 4}
    trainable = {"frozen": "{base: false}", "training: false": "{}", "released": "{base: false, base.norm: true}"}[way]
    call = "{training: false}" if way == "training: false" else "{}"
    config = f"""
data: {{source: {{npz: data.npz}}, inputs: {{x: []}}, targets: {{y: []}}}}
model:
  shared: {{base: {{layers: [{{dense: {{units: 4, name: first}}}}, {{batch_normalization: {{name: norm}}}}]}}}}
  layers: [{{base: {call}}}, {{dense: {{units: 1, name: out}}}}]
compile: {{loss: mse, optimizer: {{sgd: 0.0625}}}}
fit: {{epochs: 1, batch_size: 8, trainable: {trainable}}}
"""
    inner = keras.Input((5,))
    base: Any = keras.Model(inner, L.BatchNormalization(name="norm")(L.Dense(4, name="first")(inner)), name="base")
    base.trainable = way != "frozen"
    base.get_layer("first").trainable = way == "training: false"
    model = Called(base, L.Dense(1, name="out"), False if way == "training: false" else None)
    model(data["x"][:8])
    model.set_weights([draw.uniform(0.1, 0.6, size=w.shape) for w in model.get_weights()])
    model.compile(loss="mse", optimizer=keras.optimizers.SGD(0.0625), jit_compile=False)  # pyright: ignore[reportArgumentType]
    ours = prepare(tmp_path, data, config)
    theirs = {f"base/{layer.name}": layer for layer in base.layers} | {"out": model.head}
    values = {f"{name}/{weight.name}": weight for name, layer in theirs.items() for weight in layer.weights}
    for weight in ours.experiment.weights:
        weight.assign(values[weight.name].value.detach().clone())
    trained = ours.train()
    model.fit(data["x"], data["y"], epochs=1, batch_size=8, shuffle=False, verbose=0)  # pyright: ignore[reportArgumentType]
    for name, weight in values.items():
        np.testing.assert_allclose(trained.weights[name], weight.value.detach().numpy(), rtol=1e-9, atol=1e-12)
