"""Weights files of Keras are imported into the model of a config."""

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import yaml
from keras import layers as L
from keras.src.legacy.saving import legacy_h5_format

from kerascli.foundation.errors import FileRefused
from kerascli.workflow.interchange.importing import import_weights
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support.keras_import_harness import shake
from tests.support.processes import forked_kerascli

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",  # Keras's, in numpy 2
    "ignore:You are saving",
)

LAYERS: list[Any] = [
    {"bidirectional": {"layer": {"lstm": 3}, "name": "read"}},
    {"dense": {"units": 4, "activation": "relu", "name": "hidden"}},
    "batch_normalization", {"dense": {"units": 2, "name": "end"}},
]  # fmt: skip
MODEL = {"inputs": {"x": [5, 3]}, "layers": LAYERS}


def model() -> Any:
    return keras.Sequential([
        keras.Input((5, 3)), L.Bidirectional(L.LSTM(3), name="read"), L.Dense(4, activation="relu", name="hidden"),
        L.BatchNormalization(name="normal"), L.Dense(2, name="end"),
    ])  # fmt: skip


def saved(model: Any, folder: Path, kind: str) -> Path:
    shake(model)
    path = folder / {"keras_3": "m.weights.h5", "keras_2": "m.h5", "whole": "m.keras", "whole_h5": "w.h5"}[kind]
    if kind == "keras_3":
        model.save_weights(path)
    elif kind == "keras_2":
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, model)
    else:
        keras.saving.save_model(model, path)
    return path


def config(folder: Path, section: Any = MODEL) -> Path:
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump({"model": section}))
    return path


def taken(weights: Path, section: Any = MODEL, *, by_name: bool = False) -> Any:
    folder = weights.parent
    return import_weights(weights, config(folder, section), runs_dir=folder / "runs", name=None, by_name=by_name)


def predicted(found: Any, x: np.ndarray, folder: Path) -> np.ndarray:
    np.save(folder / "x.npy", x)
    (values,) = predict_run(open_run(found.record, device="cpu"), str(folder / "x.npy")).outputs.values()
    return values


KINDS = ["keras_3", "keras_2", "whole", "whole_h5"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_with_the_weights_of_a_file_predicts_what_keras_predicts(kind: str, tmp_path: Path) -> None:
    theirs = model()
    x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    found = taken(saved(theirs, tmp_path, kind))
    assert found.parameters == theirs.count_params()
    np.testing.assert_allclose(predicted(found, x, tmp_path), theirs.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize("kind", ["keras_3", "keras_2"])
def test_branches_are_numbered_as_keras_numbers_them(kind: str, tmp_path: Path) -> None:
    given = keras.Input((4,))
    short = L.Dense(4)(given)
    x = given
    for _ in range(3):
        x = L.Dense(4)(x)
    theirs: Any = keras.Model(given, L.Dense(2)(L.Concatenate()([short, x])))
    layers = [
        {"dense": {"units": 4, "inputs": "x", "name": "short"}}, {"dense": {"units": 4, "inputs": "x", "name": "long"}},
        {"dense": 4}, {"dense": {"units": 4, "name": "last"}}, {"concatenate": ["short", "last"]}, {"dense": 2},
    ]  # fmt: skip
    rows = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    found = taken(saved(theirs, tmp_path, kind), {"inputs": {"x": [4]}, "layers": layers})
    np.testing.assert_allclose(predicted(found, rows, tmp_path), theirs.predict(rows, verbose=0), atol=1e-5)


@pytest.mark.parametrize("kind", ["keras_3", "keras_2"])
def test_a_model_that_is_called_twice_takes_its_weights_once(kind: str, tmp_path: Path) -> None:
    tower = keras.Sequential([keras.Input((4,)), L.Dense(4), L.BatchNormalization(), L.Dense(4)], name="tower")
    given = keras.Input((4,))
    theirs: Any = keras.Model(given, L.Dense(2)(tower(tower(given))))
    shared = {"tower": {"layers": [{"dense": 4}, "batch_normalization", {"dense": 4}]}}
    section = {"inputs": {"x": [4]}, "shared": shared, "layers": ["tower", {"tower": {"name": "again"}}, {"dense": 2}]}
    rows = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    found = taken(saved(theirs, tmp_path, kind), section)
    np.testing.assert_allclose(predicted(found, rows, tmp_path), theirs.predict(rows, verbose=0), atol=1e-4)


@pytest.mark.parametrize("kind", ["keras_3", "keras_2", "whole"])
def test_by_name_only_layers_that_both_have_are_taken_and_the_others_are_reported(kind: str, tmp_path: Path) -> None:
    theirs = model()
    layers = [*LAYERS[:2], {"dense": {"units": 7, "name": "new"}}]
    found = taken(saved(theirs, tmp_path, kind), {"inputs": {"x": [5, 3]}, "layers": layers}, by_name=True)
    assert found.notes == ("not in the file: new; newly initialized",)
    weights = {weight.name: weight.keras().numpy() for weight in open_run(found.record).experiment.weights}
    np.testing.assert_array_equal(weights["hidden/kernel"], theirs.get_layer("hidden").get_weights()[0])


@pytest.mark.parametrize("kind", ["keras_3", "keras_2"])
@pytest.mark.parametrize(
    ("layers", "by_name", "said"),
    [
        (LAYERS[:3], False, r"the model has 3 layers with weights \(read, hidden, batch_normalization\), the file 4"),
        ([*LAYERS[:3], {"dense": 7}], False, r"weight 'dense/kernel' has shape \(4, 7\), but \(4, 2\) in the file"),
        ([{"lstm": {"units": 3, "name": "read"}}, *LAYERS[1:]], True, "the file|in the file"),
        ([{"flatten": {}}, {"dense": {"units": 7, "name": "hiden"}}], True, "no layer of the model .* 'hidden'"),
        ([*LAYERS[:3], {"dense": {"units": 2, "use_bias": False}}], False, "has 1 weights, but .* in the file has 2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_words(
    kind: str, layers: Any, by_name: bool, said: str, tmp_path: Path
) -> None:
    path = saved(model(), tmp_path, kind)
    with pytest.raises(FileRefused, match=said):
        taken(path, {"inputs": {"x": [5, 3]}, "layers": layers}, by_name=by_name)
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.parametrize("by_name", [False, True])
def test_a_file_without_weights_of_layers_is_refused(by_name: bool, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file.create_group("layers")
    with pytest.raises(FileRefused, match="contains no weights of layers"):
        taken(tmp_path / "m.weights.h5", by_name=by_name)


def test_the_command_takes_weights_and_says_how_its_options_belong_together(tmp_path: Path) -> None:
    saved(model(), tmp_path, "keras_3")
    config(tmp_path)
    np.save(tmp_path / "x.npy", np.ones((2, 5, 3), "float32"))
    run = forked_kerascli("import", "m.weights.h5", "--config", "model.yaml", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert forked_kerascli("predict", "latest", "x.npy", "-o", "y.npy", cwd=tmp_path).returncode == 0
    alone = forked_kerascli("import", "m.weights.h5", cwd=tmp_path)
    assert alone.returncode == 4
    assert "--config CONFIG" in alone.stderr
    assert forked_kerascli("import", "m.weights.h5", "--by-name", cwd=tmp_path).returncode == 2


def test_weights_fill_a_config_in_phases(tmp_path: Path) -> None:
    theirs = model()
    weights = saved(theirs, tmp_path, "keras_3")
    x = np.random.default_rng(2).normal(size=(3, 5, 3)).astype("float32")
    path = tmp_path / "phases.yaml"
    phases = [{"trainable": {"hidden": False}}, {"trainable": {"hidden": True}}]
    path.write_text(yaml.safe_dump({"model": MODEL, "fit": {"phases": phases}}))
    found = import_weights(weights, path, runs_dir=tmp_path / "runs", name=None, by_name=False)
    np.testing.assert_allclose(predicted(found, x, tmp_path), theirs.predict(x, verbose=0), atol=1e-5)
