"""Whole Keras models predict the same values after import."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

from benchmarks.keras_files.applications import make as make_application
from kerascli.foundation.errors import FileRefused
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from tests.support.keras_import_harness import assert_same, both, predicted, rows, save, shake
from tests.support.keras_models import SHARED, WHOLE, frozen_base, tickets
from tests.support.processes import forked_kerascli

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


@pytest.mark.parametrize(
    "name",
    ["ResNet50", "EfficientNetB0", "ConvNeXtTiny"],  # benchmarks/keras_files has all of them
)
def test_a_model_of_keras_applications_can_be_imported(name: str, tmp_path: Path) -> None:
    made = make_application(name, (32, 32, 3), include_top=True)
    assert made.inputs is not None
    found = both(made.model, tmp_path, x=dict(made.inputs))
    (ours,), (theirs,) = found.ours.values(), found.theirs.values()
    largest = float(abs(theirs).max())
    assert float(abs(theirs - theirs[:1]).max()) > 0.1 * largest  # it depends on the image
    # Keras's own predictions in float32 are up to 1e-3 from those in float64 with such weights
    np.testing.assert_allclose(ours, theirs, atol=2e-3 * largest)
    learned = sum(layer.count_params() for layer in made.model.layers if isinstance(layer, keras.layers.Normalization))
    assert found.imported.parameters == made.model.count_params() - learned


def test_a_network_for_images_of_any_size_can_be_exported_again(tmp_path: Path) -> None:
    """A small image leaves nothing for the last window, so the check of the export has to draw larger ones."""
    convolutions = [L.Conv2D(3, 3, strides=2, activation="elu") for _ in range(4)]
    model = keras.Sequential([keras.Input((None, None, 3)), *convolutions, L.GlobalAveragePooling2D()])
    shake(model, -0.3, 0.5)
    record = import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs").record
    export_run(record, "keras", tmp_path / "again.keras")
    again: Any = keras.models.load_model(tmp_path / "again.keras")
    x = np.random.default_rng(0).normal(size=(2, 48, 40, 3)).astype("float32")
    found, wanted = (predicted(each, {each.inputs[0].name: x})["0"] for each in (again, model))
    np.testing.assert_array_equal(found, wanted)


def test_the_commands_write_each_output_under_its_name(tmp_path: Path) -> None:
    model = tickets()
    shake(model, -0.3, 0.5)
    save(model, tmp_path, ".keras")
    x: Any = given_rows(model)
    np.savez(tmp_path / "inputs.npz", **x)
    assert forked_kerascli("import", "model.keras", cwd=tmp_path).returncode == 0
    assert forked_kerascli("predict", "latest", "inputs.npz", "-o", "out.npz", cwd=tmp_path).returncode == 0
    theirs = dict(zip(("priority", "department"), predicted(model, x).values(), strict=True))
    with np.load(tmp_path / "out.npz") as ours:
        assert set(ours) == set(theirs)
        for name, values in theirs.items():
            np.testing.assert_allclose(ours[name], values, atol=1e-5)


def test_layers_that_do_not_learn_still_do_not(tmp_path: Path) -> None:
    model = frozen_base()
    found = import_model(save(model, tmp_path, ".keras"), runs_dir=tmp_path / "runs")
    weights = open_run(found.record, device="cpu").experiment.weights
    assert (
        [w.spec.shape for w in weights if w.trainable] == [(4, 2), (2,)] == [w.shape for w in model.trainable_weights]
    )


def test_a_constant_that_no_expression_holds_is_refused_by_name(tmp_path: Path) -> None:
    x = keras.Input((4000,))
    ones: Any = np.ones(4000, "float32")
    with pytest.raises(FileRefused, match=r"Add of keras\.ops has a constant that is too long"):
        import_model(save(keras.Model(x, x + ones), tmp_path, ".keras"), runs_dir=tmp_path / "runs")
