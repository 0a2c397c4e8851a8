"""Activations over several values, such as softmax, use the same axis as Keras."""

import pytest
import torch

from kerascli.layers.base import LAYERS
from tests.parity.layers import assert_same

GRIDS = {1: (6, 4), 2: (5, 6, 4), 3: (4, 3, 5, 4)}
FILTERS = {"filters": 3, "kernel_size": 2}
CASES = {
    "Dense": ({"units": 3}, (2, 4)),
    "EinsumDense": ({"equation": "ab,bc->ac", "output_shape": 3, "bias_axes": "c"}, (2, 4)),
    **{f"Conv{rank}D": (FILTERS, (2, *grid)) for rank, grid in GRIDS.items()},
    **{f"Conv{rank}DTranspose": (FILTERS, (2, *grid)) for rank, grid in GRIDS.items()},
    **{f"SeparableConv{rank}D": (FILTERS, (2, *GRIDS[rank])) for rank in (1, 2)},
    **{f"DepthwiseConv{rank}D": ({"kernel_size": 2}, (2, *GRIDS[rank])) for rank in (1, 2)},
    **{f"ConvLSTM{rank}D": (FILTERS | {"return_sequences": True}, (2, 3, *grid)) for rank, grid in GRIDS.items()},
    **{name: ({"units": 3, "return_sequences": True}, (2, 3, 4)) for name in ("LSTM", "GRU", "SimpleRNN")},
    **{name: ({"units": 3}, (2, 4)) for name in ("LSTMCell", "GRUCell", "SimpleRNNCell")},
}
STATES = {"LSTMCell": 2, "GRUCell": 1, "SimpleRNNCell": 1}
LEFT_OUT = {"Activation", "LocallyConnected1D", "LocallyConnected2D"}
"""Layers without a comparison: `activation` itself, and layers that Keras 3 no longer has."""
FIELDS = ("activation", "recurrent_activation")
SETTINGS = [
    (layer.__name__, field, data_format)
    for layer in LAYERS
    for field in FIELDS
    for data_format in (["channels_last", "channels_first"] if "data_format" in layer.model_fields else [None])
    if field in layer.model_fields and layer.__name__ not in LEFT_OUT
]


@pytest.mark.parametrize(("name", "field", "data_format"), SETTINGS)
def test_softmax_is_over_the_last_axis(name: str, field: str, data_format: str | None) -> None:
    config, shape = CASES[name]
    more = {} if data_format is None else {"data_format": data_format}
    given = {"states": [torch.full((2, 3), 0.5, dtype=torch.float64)] * STATES[name]} if name in STATES else {}
    assert_same(name, {**config, field: "softmax", **more}, shape, training=False, **given)
