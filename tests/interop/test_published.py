"""Published networks beside Keras's: layers, names, and predictions with weights in the format of the published files.

One small case a family; `python -m benchmarks.keras_files --parts published` has all networks, sizes and arguments.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

from benchmarks.keras_files.applications import least_side
from benchmarks.keras_files.published import builder, by_name, keras_name, models
from benchmarks.keras_files.round_trip import round_trip
from kerascli.config.composition.applications import applications, find_application
from kerascli.config.yaml.document import Document
from kerascli.interop.weight_files import own_layers
from kerascli.model.runtime.graph import Graph
from kerascli.model.runtime.weights import lasting
from kerascli.workflow.check import spec_of, summary_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",  # Keras's, in numpy 2
    "ignore:You are saving",
)

CASES = [
    "convnext_tiny, top, 32 x 32", "densenet121, no top, 45 x 61", "efficientnet_b0, no top, 45 x 61",
    "efficientnet_v2_b0, top, 32 x 32", "inception_resnet_v2, no top, not pooled", "inception_v3, no top, not pooled",
    "mobilenet, alpha 0.25", "mobilenet_v2, alpha 0.35", "mobilenet_v3_large, alpha 1.25, minimalistic True",
    "nasnet_mobile, no top, 45 x 61", "resnet50, no top, 45 x 61", "resnet50_v2, top, 32 x 32", "vgg16, top, 32 x 32",
    "xception, no top, not pooled",
]  # fmt: skip
MODELS = {model.name: model for model in models()}
AUTOMATIC = re.compile(
    r"(activation|add|re_lu|dropout|flatten|rescaling|normalization|custom_scale_layer|input_layer|concatenate"
    r"|conv2d|batch_normalization|layer_normalization|(global_)?(average|max)_pooling2d|zero_padding2d|cropping2d)(_\d+)?"
)
"""Names that Keras makes itself."""
WITHOUT_COUNTERPART = re.compile(r".*(_pad(_.*)?|_identity|_se_reshape)")
"""Padding before strides (here `padding: same`), and layers that only reshape or return their input."""


@pytest.fixture(autouse=True)
def _types() -> Iterator[None]:
    yield
    keras.config.set_floatx("float32")  # a comparison in float64 sets both
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("case", CASES)
def test_predictions_and_parameters_are_keras(case: str, tmp_path: Path) -> None:
    result = round_trip(MODELS[case], tmp_path)
    assert result.outcome == "same", result


@pytest.mark.parametrize("name", [case.partition(",")[0] for case in CASES])
def test_layers_have_the_names_and_the_order_of_keras(name: str) -> None:
    network = find_application(name)
    keras.backend.clear_session()
    side = least_side(keras_name(network))
    theirs: Any = builder(keras_name(network))(weights=None, input_shape=(side, side, 3))
    spec = spec_of(alone(name, side))
    layers = own_layers(spec.model, spec.built.specs, lasting(Graph(spec.built).weights()))
    own = list(dict.fromkeys(layer.path[0] for layer in layers))  # a layer of layers is one of Keras's
    expected = [layer.name for layer in theirs.layers if layer.weights]
    if by_name(network):
        expected.remove("normalization")
    assert own == [each.replace("conv2d", "conv_2d") for each in expected]
    names = {name for node in spec.model.nodes for name in (node.name, *node.outputs)}
    given = {layer.name for layer in theirs.layers if not AUTOMATIC.fullmatch(layer.name)}
    missing = {each for each in given - names if not WITHOUT_COUNTERPART.fullmatch(each)}
    assert missing - set(own) == set()


@pytest.mark.parametrize("name", applications())
def test_the_table_has_the_number_of_parameters(name: str) -> None:
    network = find_application(name)
    assert summary_of(spec_of(alone(name, network.network.size))).total == network.network.parameters


def alone(name: str, side: int) -> Document:
    model = find_application(name).model({"weights": None})
    return Document({"model": {"inputs": {"image": [side, side, 3]}, **model}}, {}, name)
