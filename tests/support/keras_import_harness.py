"""Randomize, save and import Keras models, and compare the predictions of both sides."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers as L

from kerascli.runs.record import RunRecord
from kerascli.workflow.interchange.importing import Imported, import_model
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.predict import predict_run


@dataclass(frozen=True)
class Both:
    """Predictions of both sides by output, and the run."""

    ours: dict[str, np.ndarray]
    theirs: dict[str, np.ndarray]
    imported: Imported
    run: LoadedRun

    @property
    def record(self) -> RunRecord:
        return self.imported.record


def rows(model: Any, count: int = 12, high: int = 5) -> dict[str, np.ndarray]:
    """Return values for each input by Keras's names; the last steps are padding if something masks."""
    generator = np.random.default_rng(3)
    found = {}
    for given in model.inputs:
        shape = (count, *(6 if size is None else size for size in given.shape[1:]))
        whole = str(given.dtype).startswith(("int", "uint"))
        values = generator.integers(0, high, shape) if whole else generator.normal(size=shape).astype("float32")
        found[given.name] = values.astype(given.dtype)
    if any(isinstance(layer, L.Masking) for layer in model.layers):
        found[model.inputs[0].name][:, -2:] = 0.5
    return found


def called(model: Any, x: dict[str, np.ndarray]) -> Any:
    """Return the rows in the form in which the model is called."""
    struct = getattr(model, "_inputs_struct", None)
    if isinstance(struct, dict):
        return {key: x[tensor.name] for key, tensor in struct.items()}
    return [x[given.name] for given in model.inputs] if len(model.inputs) > 1 else x[model.inputs[0].name]


def save(model: keras.Model, folder: Path, suffix: str) -> Path:
    path = folder / f"model{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def shake(model: keras.Model, low: float = 0.2, high: float = 0.9) -> None:
    """Randomize all weights: initial zeros and ones would hide mistakes of order."""
    generator = np.random.default_rng(1)
    for weight in model.weights:
        if "seed_generator" not in weight.path and "count" not in weight.path:
            values = generator.uniform(low, high, weight.shape).astype("float32")
            weight.assign(abs(values) + 0.1 if "variance" in weight.path else values)


def arrays(run: LoadedRun, model: Any, x: dict[str, np.ndarray], path: Path) -> Path:
    """Write the rows to a file, by our names."""
    ours = [given.name for given in run.experiment.spec.model.inputs]
    in_order = dict(zip(ours, (x[given.name] for given in model.inputs), strict=True))
    named: Any = {name: x.get(name, in_order[name]) for name in ours}
    np.savez(path, **named)
    return path


def predicted(model: Any, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return Keras's predictions by Keras's names of the outputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = model.predict(called(model, x), verbose=0, batch_size=64)
    if isinstance(found, dict):
        return found
    return {str(i): value for i, value in enumerate(keras.tree.flatten(found))}


def both(model: Any, folder: Path, suffix: str = ".keras", x: dict[str, np.ndarray] | None = None) -> Both:
    x = rows(model) if x is None else x
    found = import_model(save(model, folder, suffix), runs_dir=folder / "runs")
    run = open_run(found.record, device="cpu")
    ours = predict_run(run, str(arrays(run, model, x, folder / "x.npz"))).outputs
    return Both(ours, predicted(model, x), found, run)


def assert_same(model: Any, folder: Path, suffix: str = ".keras", *, atol: float = 1e-5, **given: Any) -> Both:
    """Assert that the imported model predicts what Keras predicts, and has as many parameters."""
    found = both(model, folder, suffix, **given)
    assert len(found.ours) == len(found.theirs)
    for name, other in found.theirs.items():
        mine = found.ours[name] if name in found.ours else list(found.ours.values())[int(name)]
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, atol=atol, rtol=atol)
    return found
