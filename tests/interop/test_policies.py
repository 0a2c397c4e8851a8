"""Keras files with layers of several dtypes, with LoRA, or quantized."""

import io
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import torch
from keras import layers as L

from kerascli.foundation.errors import FileRefused
from kerascli.workflow.interchange.importing import Imported, import_model
from kerascli.workflow.loaded import open_run
from tests.support.keras_import_harness import assert_same, both, save, shake

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, in numpy 2

TYPES = {"bfloat16": 2**-8, "float16": 2**-11, "float64": 2**-24}
"""Relative rounding error by dtype: half a unit in the last place; float64's is float32's."""


def imported(model: keras.Model, folder: Path) -> Imported:
    return import_model(save(model, folder, ".keras"), runs_dir=folder / "runs")


def dense(**settings: Any) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), L.Dense(3, name="head", **settings)])


@pytest.mark.parametrize("dtype", TYPES)
def test_weights_of_any_floating_type_are_read_to_the_bit(dtype: str, tmp_path: Path) -> None:
    model = dense(dtype=dtype)
    shake(model)
    found = imported(model, tmp_path)
    assert found.notes[0] == f"the file's layers compute in {dtype}; here all layers compute in float32"
    weights = open_run(found.record, device="cpu").experiment.weights
    for ours, theirs in zip(weights, model.weights, strict=True):
        value: Any = theirs.value
        assert torch.equal(ours.keras(), value.detach().to(torch.float32))


@pytest.mark.parametrize("dtype", TYPES)
def test_a_model_of_another_type_predicts_what_keras_predicts(dtype: str, tmp_path: Path) -> None:
    model = dense(dtype=dtype)
    shake(model)
    found = both(model, tmp_path)
    (ours,), (theirs,) = found.ours.values(), found.theirs.values()
    rounding = 6 * TYPES[dtype]  # of inputs and of sums of four products and a bias
    np.testing.assert_allclose(ours, theirs.astype("float64"), rtol=rounding, atol=rounding * 4)


def test_layers_of_different_types_compute_in_float32(tmp_path: Path) -> None:
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="float16"),
            L.Dense(3, dtype="float32"),
            L.Dense(2, dtype="mixed_bfloat16"),
            L.Activation("softmax", dtype="float32"),
        ]
    )
    shake(model)
    found = both(model, tmp_path)
    types = "float32 and mixed_bfloat16"
    assert found.imported.notes[0] == f"the file's layers compute in {types}; here all layers compute in float32"
    (ours,), (theirs,) = found.ours.values(), found.theirs.values()
    np.testing.assert_allclose(ours, theirs, atol=0.02)  # probabilities after a layer in bfloat16


def with_lora() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6,), dtype="int64"),
            L.Embedding(10, 4, lora_rank=2),
            L.Conv1D(5, 2, lora_rank=2, lora_alpha=4),
            L.EinsumDense("abc,cd->abd", output_shape=(None, 3), lora_rank=1),
            L.Dense(2, lora_rank=2, name="head"),
        ]
    )


def test_a_model_with_lora_has_the_merged_kernels(tmp_path: Path) -> None:
    model = with_lora()
    shake(model, -0.5, 0.5)
    assert any("lora" in weight.path for weight in model.weights)
    found = assert_same(model, tmp_path).imported
    assert found.notes[0] == "LoRA of 4 layers is merged into the kernels; further training updates the whole kernels"
    plain = keras.Sequential(
        [
            keras.Input((6,), dtype="int64"),
            L.Embedding(10, 4),
            L.Conv1D(5, 2),
            L.EinsumDense("abc,cd->abd", output_shape=(None, 3)),
            L.Dense(2),
        ]
    )
    assert found.parameters == plain.count_params()


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_quantized_layer_is_refused_by_name(mode: str, tmp_path: Path) -> None:
    model = dense()
    model.layers[0].quantize(mode)
    with pytest.raises(FileRefused, match=rf"^head \(Dense\) is quantized \({mode}[^)]*\), which is not supported$"):
        imported(model, tmp_path)


def test_a_setting_that_is_missing_here_is_refused_with_the_reason(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2, 3)), L.Flatten(activity_regularizer="l2", name="flat"), L.Dense(2)])
    with pytest.raises(FileRefused, match=r"^flat \(Flatten\): .*'activity_regularizer'.* adds the same penalty"):
        imported(model, tmp_path)


def test_a_quantized_layer_inside_of_another_is_refused_by_name(tmp_path: Path) -> None:
    inner = L.Dense(3)
    inner.build((None, 4))
    inner.quantize("int8")
    model = keras.Sequential([keras.Input((5, 4)), L.TimeDistributed(inner, name="each")])
    with pytest.raises(FileRefused, match=r"each \(TimeDistributed\) is quantized \(int8\)"):
        imported(model, tmp_path)


@pytest.mark.parametrize("mark", [None, "float8_e4m3fn", b"bfloat16", 7])
def test_bytes_that_do_not_say_that_they_are_numbers_are_refused(mark: Any, tmp_path: Path) -> None:
    model = dense(dtype="bfloat16")
    path = save(model, tmp_path, ".keras")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(files["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        kernel = file["layers/dense/vars/0"]
        del kernel.attrs["dtype"]
        if mark is not None:
            kernel.attrs["dtype"] = [mark] if mark == b"bfloat16" else mark
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**files, "model.weights.h5": weights.getvalue()}.items():
            archive.writestr(name, data)
    with pytest.raises(FileRefused, match="contains no plain numbers"):
        import_model(path, runs_dir=tmp_path / "runs")
