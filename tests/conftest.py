"""Before anything is imported: Keras computes with torch, pictures need no screen."""

import os
import sys

import pytest

os.environ["KERAS_BACKEND"] = "torch"
os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(autouse=True)
def _keras_forgets_its_policy() -> None:
    """Keras keeps the dtype policy of the first layer that a test made, whatever `floatx` another test sets."""
    if "keras" in sys.modules:
        from keras.src.backend.common import global_state

        global_state.set_global_attribute("dtype_policy", None)
