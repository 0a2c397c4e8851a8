"""Recurrent layers give Keras's outputs, states and gradients, with masks, too."""

import pytest
import torch

from tests.parity.layers import assert_same, mask_of

LSTMS = [
    {},
    {"return_sequences": True},
    {"return_state": True},
    {"return_sequences": True, "return_state": True},
    {"go_backwards": True, "return_sequences": True, "return_state": True},
    {"use_bias": False, "return_sequences": True},
    {"activation": "relu", "return_sequences": True},
    {"recurrent_activation": "hard_sigmoid", "return_state": True},
    {"activation": None, "recurrent_activation": None},
    {"use_cudnn": False, "return_sequences": True, "return_state": True},
    {"unroll": True},
]


@pytest.mark.parametrize("config", LSTMS)
def test_lstm(config):
    assert_same("LSTM", {"units": 3, **config}, (4, 5, 2), training=False)


@pytest.mark.parametrize("config", LSTMS[:-1])
def test_lstm_with_masks_at_the_end_in_front_and_between(config):
    mask = mask_of("11100", "00111", "01011", "00000", "11111")
    assert_same("LSTM", {"units": 3, **config}, (5, 5, 2), training=False, mask=mask)


@pytest.mark.parametrize("config", [{}, {"activation": "relu"}])
@pytest.mark.parametrize("masked", [True, False])
def test_lstm_from_a_given_state(config, masked):
    state = [torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in (1, 2)]
    mask = mask_of("11100", "00111", "00000") if masked else None
    config = {"units": 4, "return_sequences": True, "return_state": True, **config}
    assert_same("LSTM", config, (3, 5, 2), training=False, initial_state=state, mask=mask)
