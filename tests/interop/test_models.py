"""Whole models of Keras walk in and predict what they predicted there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.interop.harness import arrays, assert_same, predicted, rows, save, shake
from tests.interop.models import SHARED, WHOLE
from tests.runs_harness import kerascli

AS_H5 = WHOLE[::4]


def given_rows(model: Any) -> dict[str, np.ndarray]:
    x = rows(model, count=6)
    for name, values in x.items():
        if values.dtype == bool:  # the first step counts in each
            x[name] = np.arange(values.shape[1]) < np.arange(1, 7)[:, None]
    return x


@pytest.mark.parametrize(
    ("make", "suffix"),
    [*((make, ".keras") for make in WHOLE), *((make, ".h5") for make in AS_H5)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_whole_model_predicts_what_keras_predicts(make: Callable[[], Any], suffix: str, tmp_path: Path) -> None:
    model = make()
    shake(model, -0.3, 0.5)
    assert_same(model, tmp_path, suffix, x=given_rows(model))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("make", SHARED, ids=lambda make: make.__name__)
def test_what_is_called_several_times_is_shared(make: Callable[[], Any], suffix: str, tmp_path: Path) -> None:
    model = make()
    shake(model, -0.3, 0.5)
    found = assert_same(model, tmp_path, suffix, x=given_rows(model))
    assert "shared:" in found.record.config()
    assert found.imported.parameters == model.count_params()
