"""Import of safetensors files that `export` wrote: what is refused, and that no file leads to a traceback."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from kerascli.foundation.errors import ConfigError, KerasCliError
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.interchange.importing import import_model
from kerascli.workflow.loaded import open_run
from kerascli.workflow.predict import predict_run
from tests.support.runs_harness import command, train, write

CONFIG = """
seed: 1
data: {source: {blobs: {features: 4, classes: 3}}, inputs: {x: []}, targets: {y: []}}
model: {layers: [{dense: {units: 5, activation: relu}}, batch_normalization, {dense: {units: 3, activation: softmax}}]}
compile: {loss: sparse_categorical_crossentropy}
fit: {epochs: 1}
"""
DENSE: dict[str, Any] = {"inputs": {"x": {"shape": [4]}}, "layers": [{"dense": {"units": 2, "name": "d"}}]}
WEIGHTS = {"d/kernel": np.zeros((4, 2), np.float32), "d/bias": np.zeros(2, np.float32)}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    run = train(write(folder, CONFIG), folder / "runs")[0]
    export_run(run, "safetensors", folder / "model.safetensors")
    return folder / "model.safetensors"


def test_without_a_pipeline_the_run_takes_arrays(file: Path, tmp_path: Path) -> None:
    (original,) = (file.parent / "runs").glob("*-config")
    made = import_model(file, runs_dir=tmp_path)
    assert made.notes == ("the file has no loss: the run can predict, but cannot be evaluated or trained",)
    rows = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=rows)
    (found,) = predict_run(open_run(made.record), str(tmp_path / "rows.npz")).outputs.values()
    (expected,) = predict_run(open_run(type(made.record).open(original)), str(tmp_path / "rows.npz")).outputs.values()
    np.testing.assert_array_equal(found, expected)
    assert load(made.record.weights()).keys() == load(file.read_bytes()).keys()


@pytest.mark.parametrize(
    ("model", "weights", "said"),
    [
        (None, WEIGHTS, "has weights without a model"),
        ({**DENSE, "init_from": {"file": "/etc/passwd"}}, WEIGHTS, "names other files"),
        ({**DENSE, "layers": [{"dense": {"units": 2, "name": "e"}}]}, WEIGHTS, "of another model: 'd/bias'"),
        ({**DENSE, "layers": [{"dense": {"units": 10**8, "name": "d"}}]}, WEIGHTS, "has shape .* there"),
        ({**DENSE, "layers": [{"denze": {"units": 2}}]}, WEIGHTS, "cannot be imported: there is no layer 'denze'"),
        ({"layers": json.loads("[" * 900 + "]" * 900)}, WEIGHTS, "nested deeper than"),
        (DENSE, {**WEIGHTS, "d/bias": np.zeros(2, np.int64)}, "the weight 'd/bias' is int64, the model's is float32"),
        (DENSE, {**WEIGHTS, "d/bias": np.zeros(2, bool)}, "the weight 'd/bias' is bool, the model's is float32"),
        (DENSE, {"d/kernel": WEIGHTS["d/kernel"]}, "of another model: 'd/bias' has shape None there"),
    ],
)
def test_what_is_not_a_model_with_its_weights_is_refused(
    model: Any, weights: Mapping[str, np.ndarray], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(save(dict(weights), None if model is None else {"model": json.dumps(model)}))
    with pytest.raises(KerasCliError, match=said):
        import_model(path, runs_dir=tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*-m"))


@pytest.mark.parametrize("bias", [np.array([0, np.nan], np.float32), np.array([1e300, 0])])
def test_weights_that_are_not_finite_are_noted(bias: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(save({**WEIGHTS, "d/bias": bias}, {"model": json.dumps(DENSE)}))
    assert import_model(path, runs_dir=tmp_path).notes[-1] == "nan or infinite values in the weight 'd/bias'"


@pytest.mark.parametrize("option", ["--data", "--no-compile"])
def test_options_of_whole_keras_files_are_refused(option: str, file: Path) -> None:
    value = ["config.yaml"] if option == "--data" else []
    with pytest.raises(ConfigError, match=f"{option}: a .safetensors file has a model and weights"):
        command("import", file, option, *value)


def test_spoilt_files_are_reported(file: Path, tmp_path: Path) -> None:
    whole, draw = file.read_bytes(), random.Random(3)
    refused = 0
    for number in range(120):
        data = bytearray(whole)
        if number % 3 == 0:
            del data[draw.randrange(len(data)) :]
        for _ in range(draw.randrange(1, 4)):
            if data:
                data[draw.randrange(min(len(data), len(whole) // 2))] = draw.randrange(256)
        path = tmp_path / "spoilt.safetensors"
        path.write_bytes(bytes(data))
        try:
            import_model(path, runs_dir=tmp_path / "runs", name=f"n{number}")
        except KerasCliError:
            refused += 1
    assert refused > 60
