"""Random models are exported to Keras, imported, and exported again with the same values."""

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from benchmarks.keras_files.random_models import draw
from kerascli.foundation.errors import ConfigError
from kerascli.interop.example_inputs import sample_inputs
from kerascli.workflow.interchange.exporting import export_run
from tests.support.keras_export_harness import assert_equal_in_keras, experiment, outputs
from tests.support.keras_import_harness import both

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2


@pytest.mark.parametrize("seed", range(40))
def test_any_model_goes_to_keras_and_back_and_out_again(seed: int, tmp_path: Path) -> None:
    made = experiment(draw(seed))
    theirs = assert_equal_in_keras(made, tmp_path, tolerance=1e-4)
    x = {name: value.numpy() for name, value in sample_inputs(made.spec.model, 5).items()}
    found = both(theirs, tmp_path, x=x)
    assert found.imported.parameters == theirs.count_params()
    before = outputs(made, sample_inputs(made.spec.model, 5))
    for other, mine, own in zip(found.theirs.values(), found.ours.values(), before, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(mine, own, atol=1e-4, rtol=1e-4)
    assert export_run(found.record, "keras", tmp_path / "again.keras").difference is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again: Any = keras.models.load_model(tmp_path / "again.keras")
    arrays = list(x.values())
    predicted = again(arrays if len(arrays) > 1 else arrays[0], training=False)
    for other, value in zip(found.theirs.values(), keras.tree.flatten(predicted), strict=True):
        values: Any = keras.ops.convert_to_numpy(value)
        np.testing.assert_allclose(values, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seed", range(40, 50))
def test_any_model_goes_into_the_older_file_or_is_refused_by_name(seed: int, tmp_path: Path) -> None:
    made = experiment(draw(seed))
    formulas = any("expr" in str(node.layer.component_name) for node in made.spec.model.nodes)
    with pytest.raises(ConfigError, match="is an operation") if formulas else nullcontext():
        assert_equal_in_keras(made, tmp_path, ".h5", tolerance=1e-4)
