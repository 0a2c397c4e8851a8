import keras
import pytest
import torch
from keras.src.backend.common import dtypes


@pytest.fixture(autouse=True)
def _keras_in_float64(monkeypatch):
    """On torch Keras computes 64-bit types in 32 bits; with TensorFlow it does not, and here it does not either."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")


@pytest.fixture
def keras_makes_float64():
    """What Keras makes by itself (constants, variables, states) is float64, too."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


@pytest.fixture
def graphs_compute_in_float64():
    """Floats that a graph is given are cast to torch's default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
