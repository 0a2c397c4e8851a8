import keras
import pytest
import torch
from keras.src.backend.common import dtypes


@pytest.fixture(autouse=True)
def _keras_in_float64(monkeypatch):
    """Keras on torch casts 64-bit types to 32 bits, unlike on TensorFlow; make it compute in float64."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")


@pytest.fixture
def keras_makes_float64():
    """Constants, variables and states that Keras creates are float64, too."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


@pytest.fixture
def graphs_compute_in_float64():
    """Set torch's default dtype, which float inputs of a graph are cast to, to float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
