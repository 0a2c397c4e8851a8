"""Normalization layers: outputs, gradients and moving averages equal Keras's, also with masks."""

import pytest
import torch

from kerascli.foundation.shapes import TensorSpec
from tests.parity.layers import assert_same, mask_of
from tests.support import layer_harness as harness


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({}, (3, 5)),
        ({"epsilon": 0.1}, (3, 4, 5)),
        ({"axis": [1, 3], "scale": False}, (3, 4, 5, 6)),
        ({"axis": [2, 1]}, (3, 4, 5)),
        ({"center": False}, (3, 4, 5)),
        ({"rms_scaling": True}, (3, 4, 5)),
        ({"rms_scaling": True, "axis": [1, 3], "scale": False}, (3, 4, 5, 6)),
    ],
)
@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`:UserWarning")  # of Keras: it is deprecated there
def test_layer_normalization(config, shape):
    assert_same("LayerNormalization", config, shape)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({}, (6, 4)),
        ({}, (3, 5, 4)),
        ({}, (3, 5, 6, 4)),
        ({}, (1, 3)),
        ({"axis": 1}, (3, 4, 5, 6)),
        ({"axis": 2}, (3, 4, 5)),
        ({"momentum": 0.5, "epsilon": 0.1}, (6, 4)),
        ({"center": False}, (6, 4)),
        ({"scale": False}, (6, 5, 4)),
        ({"center": False, "scale": False}, (1, 4)),
        ({"trainable": False}, (6, 4)),
    ],
)
def test_batch_normalization(config, shape, training):
    assert_same("BatchNormalization", config, shape, training=training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("config", [{}, {"scale": False}])
def test_batch_normalization_with_a_mask(config, training):
    mask = mask_of("1110", "0111", "0000")
    assert_same("BatchNormalization", config, (3, 4, 5), training=training, mask=mask)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({}, (6, 4)),
        ({"scale": False, "renorm_momentum": 0.5}, (3, 5, 4)),
        ({"center": False, "axis": 1}, (3, 4, 5, 6)),
        ({"renorm_clipping": {"rmin": 0.75, "rmax": 1.25, "dmax": 0.25}}, (6, 4)),
        ({"renorm_clipping": {"dmax": 0.125}, "momentum": 0.7, "epsilon": 0.1}, (1, 4)),
    ],
)
def test_batch_renormalization(config, shape, training):
    assert_same("BatchNormalization", {"renorm": True, **config}, shape, training=training)


@pytest.mark.parametrize("training", [True, False])
def test_batch_renormalization_with_a_mask(training):
    mask = mask_of("1110", "0111", "0010")
    assert_same("BatchNormalization", {"renorm": True}, (3, 4, 5), training=training, mask=mask)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"groups": 3}, (2, 6)),
        ({"groups": 2}, (2, 5, 6)),
        ({"groups": 3, "epsilon": 0.1, "scale": False}, (2, 4, 5, 6)),
        ({"groups": 2, "axis": 1, "center": False}, (2, 6, 4, 5)),
        ({"groups": -1, "axis": -2}, (2, 4, 6, 3)),
        ({"groups": 1, "center": False, "scale": False}, (2, 4, 5, 6)),
        ({"groups": -1}, (1, 6)),  # groups of one value
        ({"groups": -1}, (1, 1, 1, 6)),
    ],
)
def test_group_normalization(config, shape):
    assert_same("GroupNormalization", config, shape)


@pytest.mark.parametrize("axis", [-1, 1])
def test_group_normalization_of_an_input_without_gradient(axis):
    """Covers a separate code path, because torch's fused backward fails there."""
    config = {"groups": 2, "axis": axis}
    module = harness.materialise(harness.make(harness.parse("group_normalization", config), TensorSpec((4, 6, 8))))
    results = []
    for wants in (True, False):
        module.zero_grad()
        y = module(torch.ones(2, 4, 6, 8).cumsum(2).cumsum(3).sin().requires_grad_(wants))
        (y * y.detach().cos()).sum().backward()
        results.append([y, *harness.gradients(module).values()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({}, (3, 5)),
        ({"epsilon": 0.1}, (3, 4, 5)),
        ({"axis": [1, 2]}, (3, 4, 5)),
        ({"axis": [2, 3]}, (3, 4, 5, 6)),
    ],
)
def test_rms_normalization(config, shape):
    assert_same("RMSNormalization", config, shape)


@pytest.mark.parametrize(
    ("config", "shape"),
    [({}, (3, 5)), ({"axis": 1}, (3, 4, 5)), ({"axis": [1, -1]}, (3, 4, 5, 6)), ({"axis": -2}, (3, 4, 5))],
)
def test_unit_normalization(config, shape):
    assert_same("UnitNormalization", config, shape)
