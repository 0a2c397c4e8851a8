"""Shared layers and models are exported as Keras layers and models that are called several times."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerascli.interop.example_inputs import sample_inputs
from kerascli.interop.keras_export.keras_graph import keras_graph
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.interchange.importing import import_model
from tests.interop.test_models import given_rows
from tests.support.keras_export_harness import assert_equal_in_keras, experiment, opened, outputs
from tests.support.keras_import_harness import called, rows, save, shake
from tests.support.keras_models import SHARED, siamese

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2

SECTIONS: dict[str, dict[str, Any]] = {
    "a tower on two inputs": {
        "inputs": {"left": [8, 8, 1], "right": [8, 8, 1]},
        "shared": {
            "tower": {"layers": [{"conv_2d": {"filters": 3, "kernel_size": 3}}, "batch_normalization", "flatten",
                                 {"dense": 4}]},
            "score": {"dense": {"units": 1, "activation": "sigmoid"}},
        },
        "layers": [{"tower": {"inputs": "left", "name": "a"}}, {"tower": {"inputs": "right", "name": "b"}},
                   {"subtract": ["a", "b"]}, "score"],
    },
    "a layer at unlike depths": {
        "inputs": {"x": [4], "y": [4]},
        "shared": {"step": {"dense": {"units": 4, "activation": "tanh"}}},
        "layers": [
            {"dense": {"units": 4, "inputs": "y", "name": "other"}}, {"step": {"inputs": "x", "name": "one"}},
            {"dense": {"units": 4, "name": "between"}}, {"step": {"name": "two"}}, {"step": {"name": "three"}},
            {"dense": {"units": 4, "inputs": "other", "name": "more"}}, {"add": ["three", "more"]},
        ],
    },
    "tensors inside of a call": {
        "inputs": {"x": [4], "y": [4]},
        "shared": {"tower": {"layers": [{"dense": {"units": 3, "name": "low"}}, {"dense": {"units": 2, "name": "mid"}},
                                        {"dense": 3}]}},
        "layers": [{"tower": {"inputs": "x", "name": "a"}}, {"tower": {"inputs": "y", "name": "b"}},
                   {"concatenate": ["a", "a.low", "b.mid"]}],
        "outputs": ["concatenate", "b"],
    },
    "models inside of models": {
        "inputs": {"x": [4], "y": [4]},
        "shared": {
            "outer": {
                "inputs": ["p", "q"],
                "shared": {"inner": {"layers": [{"dense": {"units": 4, "activation": "relu"}}, {"dense": 4}]},
                           "scale": {"dense": {"units": 4, "use_bias": False}}},
                "layers": [{"inner": {"inputs": "p", "name": "u"}}, {"inner": {"inputs": "q", "name": "v"}},
                           {"scale": "u"}, {"add": ["scale", "v"]}, {"scale": {"name": "end"}}],
                "outputs": ["end", "v"],
            },
        },
        "layers": [{"outer": {"inputs": ["x", "y"], "name": "one", "outputs": ["c", "d"]}},
                   {"outer": {"inputs": ["d", "c"], "name": "two", "outputs": ["e", "_"]}}, {"dense": 2}],
    },
    "several outputs of one layer": {
        "inputs": {"x": [4], "y": [4]},
        "shared": {"score": {"dense": 2}},
        "layers": [{"score": {"inputs": "x", "name": "of_x"}}, {"score": {"inputs": "y", "name": "of_y"}}],
        "outputs": ["of_y", "of_x"],
    },
    "masks": {
        "inputs": {"a": {"shape": [7], "dtype": "int64"}, "b": {"shape": [5], "dtype": "int64"}},
        "shared": {"words": {"embedding": {"input_dim": 9, "output_dim": 4, "mask_zero": True}},
                   "read": {"bidirectional": {"layer": {"lstm": 3}}}},
        "layers": [{"words": {"inputs": "a", "name": "wa"}}, {"read": {"name": "ra"}},
                   {"words": {"inputs": "b", "name": "wb"}}, {"read": {"name": "rb"}}, {"concatenate": ["ra", "rb"]}],
    },
    "a model with masks inside": {
        "inputs": {"a": {"shape": [7], "dtype": "int64"}, "b": {"shape": [7], "dtype": "int64"}},
        "shared": {"read": {"layers": [{"embedding": {"input_dim": 9, "output_dim": 4, "mask_zero": True}},
                                       {"gru": {"units": 3, "return_sequences": True}}, {"lstm": 3}]}},
        "layers": [{"read": {"inputs": "a", "name": "ra"}}, {"read": {"inputs": "b", "name": "rb"}},
                   {"add": ["ra", "rb"]}],
    },
    "sequences of unlike length": {
        "inputs": {"a": [7, 3], "b": [None, 3]},
        "shared": {"read": {"layers": [{"conv_1d": {"filters": 3, "kernel_size": 2}}, "global_max_pooling_1d"]}},
        "layers": [{"read": {"inputs": "a", "name": "ra"}}, {"read": {"inputs": "b", "name": "rb"}},
                   {"add": ["ra", "rb"]}],
    },
    "states": {
        "inputs": {"a": [4, 3], "b": [5, 3]},
        "shared": {"read": {"lstm": {"units": 3, "return_state": True}}},
        "layers": [
            {"read": {"inputs": "a", "name": "ra", "outputs": ["_", "h", "c"]}},
            {"read": {"inputs": "b", "initial_state": ["h", "c"], "name": "rb", "outputs": ["end", "_", "_"]}},
        ],
        "outputs": "end",
    },
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("section", SECTIONS.values(), ids=list(SECTIONS))
def test_what_is_shared_computes_the_same_in_keras(section: dict[str, Any], suffix: str, tmp_path: Path) -> None:
    assert_equal_in_keras(experiment(section), tmp_path, suffix)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_of_what_is_shared_a_view_may_take_an_inner_tensor_alone(suffix: str, tmp_path: Path) -> None:
    tower = {"layers": [{"dense": {"units": 3, "name": "low"}}, {"dense": {"units": 2, "name": "high"}}]}
    section = {
        "inputs": {"x": [4]}, "shared": {"tower": tower}, "layers": [{"tower": {"name": "seen"}}, {"dense": 2}],
        "views": {"inner": {"outputs": "seen.low"}, "both": {"outputs": ["seen.low", "seen"]}},
    }  # fmt: skip
    made = experiment(section)
    x = sample_inputs(made.spec.model, 5)
    for view in ("inner", "both"):
        found = opened(made.view(view), tmp_path, suffix)(x["x"].numpy(), training=False)
        for mine, theirs in zip(outputs(made.view(view), x), found if view == "both" else [found], strict=True):
            value: Any = keras.ops.convert_to_numpy(theirs)
            np.testing.assert_allclose(value, mine, rtol=1e-5)


def test_outputs_keep_their_names_where_one_layer_has_several(tmp_path: Path) -> None:
    theirs = assert_equal_in_keras(experiment(SECTIONS["several outputs of one layer"]), tmp_path)
    assert theirs.output_names == ["of_y", "of_x"]


@pytest.mark.parametrize("where", ["layer", "model"])
def test_what_does_not_learn_does_not_in_keras_either(where: str, tmp_path: Path) -> None:
    inner: dict[str, Any] = {"layers": [{"dense": {"units": 3, "trainable": where != "layer"}}, {"dense": 2}]}
    shared = {"tower": {**inner, "trainable": where != "model"}}
    layers = [{"tower": {"inputs": "x", "name": "a"}}, {"dense": {"units": 2, "trainable": False}}, {"dense": 2}]
    made = experiment({"inputs": {"x": [4]}, "shared": shared, "layers": layers})
    theirs = assert_equal_in_keras(made, tmp_path)
    wanted = [tuple(weight.spec.shape) for weight in made.weights if weight.trainable]
    assert [tuple(weight.shape) for weight in theirs.trainable_weights] == wanted


@pytest.mark.parametrize("make", SHARED, ids=lambda make: make.__name__)
def test_a_model_of_keras_that_shares_comes_back_to_keras_unchanged(make: Callable[[], Any], tmp_path: Path) -> None:
    model = make()
    shake(model, -0.3, 0.5)
    x = given_rows(model)
    record = import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record
    export_run(record, "keras", tmp_path / "back.keras")
    back: Any = keras.models.load_model(tmp_path / "back.keras", compile=False)
    found, wanted = (keras.tree.flatten(each.predict(called(model, x), verbose=0)) for each in (back, model))
    for mine, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
    assert back.count_params() == model.count_params()


def test_keras_goes_on_training_what_is_shared(tmp_path: Path) -> None:
    model = siamese()
    shake(model, -0.3, 0.5)
    x, y = list(rows(model).values()), np.random.default_rng(5).integers(0, 2, (12, 1)).astype("float32")
    model.compile("adam", loss="binary_crossentropy")
    fit: dict[str, Any] = {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.fit(x, y, epochs=2, **fit)
    record = import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record
    assert export_run(record, "keras", tmp_path / "back.keras").notes == ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        back: Any = keras.models.load_model(tmp_path / "back.keras")
    for each in (model, back):
        each.fit(x, y, epochs=1, **fit)
    for mine, other in zip(sorted(_sums(back)), sorted(_sums(model)), strict=True):
        assert mine == pytest.approx(other, abs=1e-4)


def _sums(model: Any) -> list[float]:
    return [float(np.sum(values)) for values in model.get_weights()]


def test_losses_and_metrics_inside_of_a_model_are_left_out_and_said() -> None:
    loss = {"add_loss": {"value": "mean(square(a), axis=-1)", "name": "size"}}
    shared = {"tower": {"layers": [{"dense": {"units": 3, "name": "a"}}, loss]}}
    layers = [{"tower": {"inputs": "x", "name": "one"}}, {"tower": {"name": "two"}}]
    made = experiment({"inputs": {"x": [3]}, "shared": shared, "layers": layers})
    graph = keras_graph(made.spec.model, made.graph.specs, name="m", names={}, precision="float32")
    assert graph.notes == ("'size' (add_loss) is not exported: Keras's files cannot store it",)
