"""Merging layers: outputs, gradients and masks equal Keras's."""

import pytest
import torch

from kerascli.layers.base import LAYERS, MergeLayer
from tests.parity.layers import assert_same, keras_layer, mask_of


@pytest.mark.parametrize("name", ["Add", "Multiply", "Average", "Maximum", "Minimum"])
@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((2, 4, 3), (2, 3), (2, 1, 3))])
def test_merges_value_by_value(name, shapes):
    assert_same(name, {}, *shapes)


def test_subtract():
    assert_same("Subtract", {}, (2, 4, 3), (2, 3))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    ("axes", "shapes"),
    [
        (1, ((2, 3), (2, 3))),
        (-1, ((2, 4, 3), (2, 3))),
        ([1, 2], ((2, 3, 4), (2, 5, 3))),
        ([2, 1], ((2, 3, 4), (2, 4))),
        ([1, 3], ((2, 4), (2, 3, 5, 4))),
        ([3, 1], ((2, 3, 5, 4), (2, 4, 6))),
    ],
)
def test_dot(axes, normalize, shapes):
    assert_same("Dot", {"axes": axes, "normalize": normalize}, *shapes)


@pytest.mark.parametrize(
    ("config", "shapes"), [({}, ((2, 3), (2, 4))), ({"axis": 1}, ((2, 3, 4), (2, 1, 4), (2, 2, 4)))]
)
def test_concatenate(config, shapes):
    assert_same("Concatenate", config, *shapes)


@pytest.mark.parametrize(
    ("name", "config", "shapes"),
    [
        ("Add", {}, ((2, 3, 4), (2, 3, 4))),
        ("Concatenate", {}, ((2, 3, 4), (2, 3, 4))),
        ("Concatenate", {"axis": 1}, ((2, 3, 4), (2, 3, 4))),
    ],
)
@pytest.mark.parametrize("rows", [(["110", "011"], ["100", "001"]), (["110", "011"], None), (None, None)])
def test_masks_of_merged_inputs(name, config, shapes, rows):
    xs = [torch.zeros(shape) for shape in shapes]
    masks = [None if row is None else mask_of(*row) for row in rows]
    layer = LAYERS.parse({name: config} if config else name)
    assert isinstance(layer, MergeLayer)
    expected = keras_layer(name, config).compute_mask(xs, masks)
    got = layer.merge_masks(masks, xs)
    if expected is None or got is None:
        assert got is expected
    else:
        assert got.tolist() == expected.tolist()
