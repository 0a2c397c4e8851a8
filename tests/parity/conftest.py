import pytest


@pytest.fixture(autouse=True)
def _keras_in_float64(monkeypatch):
    """On torch Keras computes 64-bit types in 32 bits; with TensorFlow it does not, and here it does not either."""
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
