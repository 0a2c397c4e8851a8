"""Keras opens every exported layer that it has, and computes the same values."""

import inspect
from pathlib import Path
from typing import Any

import keras
import pytest
from site_pages.layer_examples import examples_of

from kerascli.foundation.errors import ConfigError
from kerascli.interop.keras.differences import NULLS
from kerascli.interop.keras_export.serialized import OF_NETWORKS
from kerascli.layers.base import LAYERS, Example
from tests.support.keras_export_harness import assert_equal_in_keras, experiment, of_example

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2

NOT_KERAS = {"locally_connected_1d", "locally_connected_2d", "selu", "thresholded_relu"}
"""Layers of Keras for R that Keras 3 lacks."""
NEED_TENSORFLOW = {"hashing", "hashed_crossing", "integer_lookup"}
"""Layers that need TensorFlow in Keras on any backend; ours are compared with their values elsewhere."""
NO_MODEL = {
    "add_loss", "add_metric", "expr", "weight", "update", "gru_cell", "lstm_cell", "simple_rnn_cell",
    "stacked_rnn_cells",
}  # fmt: skip
"""Layers that are not called by themselves: cells, which are in `rnn`, and expressions, which have their own tests."""
APART = {
    ("average_pooling_2d", 1): "Keras on torch counts padding that is not there",
    ("average_pooling_3d", 1): "the same",
    ("category_encoding", 2): "Keras counts over another axis",
    ("contrast_limited_adaptive_histogram_equalization", 0): "Keras returns integers for integers",
    ("equalization", 0): "Keras cannot open a graph whose layer returns its input",
    ("equalization", 1): "the same",
    ("layer_normalization", 2): "Keras on torch normalizes the last axes alone",
    ("random_crop", 0): "Keras does not crop in inference",
    ("random_crop", 1): "the same",
    ("pipeline", 0): "it has a random_crop",
    ("resizing", 3): "Keras on torch has no lanczos",
    ("up_sampling_2d", 2): "Keras on torch has no lanczos",
    ("rms_normalization", 1): "Keras on torch normalizes the last axes alone",
    ("separable_conv_1d", 1): "Keras has no such padding",
}
OTHERS = [cls for cls in LAYERS if cls.component_name not in NOT_KERAS | NO_MODEL | NEED_TENSORFLOW]
CASES = [
    pytest.param(cls.component_name, example, id=f"{cls.component_name}-{number}")
    for cls in OTHERS
    for number, example in enumerate(examples_of(cls))
    if (cls.component_name, number) not in APART
]
NOT_H5 = {"attention", "group_query_attention", *OF_NETWORKS}
FIRST = [
    pytest.param(cls.component_name, cls.examples[0], id=cls.component_name)
    for cls in OTHERS
    if (cls.component_name, 0) not in APART and cls.component_name not in NOT_H5
]


@pytest.mark.parametrize(("name", "example"), CASES)
def test_a_layer_computes_the_same_in_keras(name: str, example: Example, tmp_path: Path) -> None:
    assert_equal_in_keras(experiment(of_example(name, example)), tmp_path)


@pytest.mark.parametrize(("name", "example"), FIRST)
def test_a_layer_computes_the_same_from_an_h5_file(name: str, example: Example, tmp_path: Path) -> None:
    assert_equal_in_keras(experiment(of_example(name, example)), tmp_path, ".h5")


@pytest.mark.parametrize(
    ("name", "number", "suffix", "text"),
    [
        ("attention", 0, ".h5", "Keras cannot read Attention"),
        ("group_query_attention", 0, ".h5", "Keras cannot read GroupQueryAttention"),
        ("layer_scale", 0, ".h5", "Keras cannot read LayerScale"),
        ("stochastic_depth", 0, ".h5", "Keras cannot read StochasticDepth"),
        ("custom_scale_layer", 0, ".h5", "Keras cannot read CustomScaleLayer"),
        ("softmax", 2, ".h5", "reads only the first"),
        ("expr", 0, ".h5", "is an operation"),
        ("separable_conv_1d", 1, ".keras", "no causal padding"),
        ("hashed_crossing", 1, ".keras", "Keras 3 crosses two inputs, this node 3"),
    ],
)
def test_what_keras_would_refuse_or_read_otherwise_is_refused_before(
    name: str, number: int, suffix: str, text: str, tmp_path: Path
) -> None:
    cls: Any = LAYERS.find(name)
    with pytest.raises(ConfigError, match=text):
        assert_equal_in_keras(experiment(of_example(name, examples_of(cls)[number])), tmp_path, suffix)


def test_null_is_written_only_where_keras_takes_it() -> None:
    nulls: dict[str, dict[str, Any]] = {}
    for cls in (cls for cls in LAYERS if cls.component_name not in NOT_KERAS | NO_MODEL | OF_NETWORKS.keys()):
        known = inspect.signature(getattr(keras.layers, cls.__name__)).parameters
        for setting, field in cls.model_fields.items():
            theirs = known[setting].default if setting in known else None
            if field.default is None and theirs not in (None, inspect.Parameter.empty):
                nulls.setdefault(cls.component_name, {})[setting] = theirs
    assert nulls == NULLS


@pytest.mark.parametrize("name", sorted(NOT_KERAS))
def test_a_layer_that_keras_has_not_is_refused_by_name(name: str, tmp_path: Path) -> None:
    cls: Any = LAYERS.find(name)
    with pytest.raises(ConfigError, match=f"Keras 3 has no '{name}'"):
        assert_equal_in_keras(experiment(of_example(name, cls.examples[0])), tmp_path)


def test_what_is_shared_on_every_step_is_refused_by_name(tmp_path: Path) -> None:
    shared = {"tower": {"layers": [{"dense": 4}]}}
    section = {"inputs": {"x": [3, 4]}, "shared": shared, "layers": [{"time_distributed": "tower"}]}
    with pytest.raises(ConfigError, match="'tower': a shared model in time_distributed"):
        assert_equal_in_keras(experiment(section), tmp_path)


CELLS = {"rnn": {"cell": {"stacked_rnn_cells": [{"gru_cell": 3}, {"gru_cell": 3}]}}}
CHAIN = {"pipeline": {"layers": [{"dense": 3}, {"pipeline": [{"dense": 3}, {"dense": 2}]}, {"dense": 3}]}}
NESTED: list[dict[str, Any]] = [
    CELLS, CHAIN, {"time_distributed": {"layer": CHAIN}}, {"bidirectional": {"layer": CELLS}},
    {"pipeline": {"layers": [{"dense": 4}, {"time_distributed": {"layer": CHAIN}}, {"spatial_dropout_1d": 0.5}]}},
]  # fmt: skip


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("trainable", [True, False])
@pytest.mark.parametrize("layer", NESTED, ids=lambda layer: str(next(iter(layer))))
def test_layers_in_layers_keep_their_weights_apart_and_frozen(
    layer: dict[str, Any], trainable: bool, suffix: str, tmp_path: Path
) -> None:
    (kind, settings), *_ = layer.items()
    nodes = [{kind: {**settings, "trainable": trainable, "name": "all"}}, {"dense": 2}]
    theirs = assert_equal_in_keras(experiment({"inputs": {"x": [6, 3]}, "layers": nodes}), tmp_path, suffix)
    paths = [weight.path for weight in theirs.weights]  # Keras on torch tells weights apart by them
    assert len(paths) == len(set(paths))
    assert (len(theirs.trainable_weights) == 2) is not trainable


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("equation", "sizes"), [("abcd,de->abce", [None, None, 3]), ("...d,de->...e", 3), ("...cd,de->...ce", [None, 3])]
)
def test_the_shape_of_einsum_dense_is_written_out(equation: str, sizes: Any, suffix: str, tmp_path: Path) -> None:
    einsum = {"einsum_dense": {"equation": equation, "output_shape": sizes, "bias_axes": "e"}}
    layers = [einsum, {"permute": [2, 3, 1]}, {"dense": 2}]
    assert_equal_in_keras(experiment({"inputs": {"x": [2, 5, 4]}, "layers": layers}), tmp_path, suffix)


@pytest.mark.parametrize("settings", [{}, {"mask": False}])
def test_softmax_of_masked_steps_is_refused_by_name(settings: dict[str, Any], tmp_path: Path) -> None:
    layers = ["masking", {"softmax": {"name": "shares", **settings}}, "flatten"]
    with pytest.raises(ConfigError, match="'shares': Keras cannot apply softmax under a mask of steps"):
        assert_equal_in_keras(experiment({"inputs": {"x": [5, 4]}, "layers": layers}), tmp_path)
