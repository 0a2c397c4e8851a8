"""One model of Keras, there and back."""

import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.keras_files.models import KerasModel, Made
from kerascli.errors import KerasCliError
from kerascli.workflow.exporting import export_run
from kerascli.workflow.importing import import_model
from kerascli.workflow.opened import OpenedRun, open_run
from kerascli.workflow.predict import predict_run

ROWS = 3


@dataclass(frozen=True, slots=True)
class Result:
    """Result for one model: `same`, `differs`, `refused` (with the reason) or `failed` (a bug of ours, or Keras's)."""

    name: str
    outcome: str
    step: str = ""
    """Step that it came to: make, save, import, predict, export, open, again."""
    detail: str = ""
    gap: float | None = None
    """Largest relative difference of our predictions from Keras's."""
    gap_again: float | None = None
    """The same, of the exported model as Keras opens it."""


def round_trip(given: KerasModel, folder: Path) -> Result:
    """Make, save, import, predict, export, open again and predict; never raises."""
    step = "make"
    gap: float | None = None
    try:
        made = given.make()
        inputs = made.inputs if made.inputs is not None else drawn(made.model)
        theirs = predictions(made.model, inputs)
        step = "save"
        path = folder / "model.keras"
        _quietly(made.model.save, path)
        step = "import"
        imported = import_model(path, runs_dir=folder / "runs")
        run = open_run(imported.record, device="cpu")
        step = "predict"
        ours = list(predict_run(run, str(_arrays(run, made, inputs, folder / "x.npz"))).outputs.values())
        gap = largest_gap(ours, theirs)
        if not gap <= given.tolerance:
            return Result(given.name, "differs", step, _shapes(ours, theirs), gap)
        if not given.exports:
            return Result(given.name, "same", gap=gap)
        step = "export"
        export_run(imported.record, "keras", folder / "again.keras")
        step = "open"
        again = _quietly(keras.models.load_model, folder / "again.keras")
        step = "again"
        in_order = dict(zip((x.name for x in again.inputs), (inputs[x.name] for x in made.model.inputs), strict=True))
        found = predictions(again, in_order)
        gap_again = largest_gap(found, theirs)
        outcome = "same" if gap_again <= given.tolerance else "differs"
        return Result(given.name, outcome, "" if outcome == "same" else step, "", gap, gap_again)
    except KerasCliError as error:
        outcome = "failed" if error.exit_code == 1 else "refused"
        return Result(given.name, outcome, step, " ".join(str(error).split()), gap)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})".split())
        return Result(given.name, "failed", step, text[:400], gap)


def drawn(model: Any) -> dict[str, np.ndarray]:
    """Return rows for each input of a model, by the name of its tensor; unknown sizes are 6, integers below 5."""
    generator = np.random.default_rng(3)
    found = {}
    for given in model.inputs:
        shape = (ROWS, *(6 if size is None else size for size in given.shape[1:]))
        integers = str(given.dtype).startswith(("int", "uint"))
        values = generator.integers(0, 5, shape) if integers else generator.normal(size=shape)
        found[given.name] = values.astype("float32" if given.dtype == "bfloat16" else given.dtype)
    return found


def predictions(model: Any, inputs: Any) -> list[np.ndarray]:
    """Return what Keras predicts from zero states, output by output; the states are zero afterwards, too."""
    called_on = getattr(model, "_inputs_struct", model.inputs if len(model.inputs) > 1 else model.inputs[0])
    struct = keras.tree.map_structure(lambda tensor: inputs[tensor.name], called_on)
    _reset_states(model)
    found = keras.tree.flatten(_quietly(model.predict, struct, verbose=0, batch_size=ROWS))
    _reset_states(model)
    return [np.asarray(value, dtype="float64") for value in found]


def _reset_states(model: Any) -> None:
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            for state in keras.tree.flatten(getattr(layer, "states", None) or []):  # reset_state fails on stacks
                state.assign(keras.ops.zeros_like(state))


def largest_gap(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Return the largest difference, each output relative to its largest absolute value; inf where shapes differ."""
    if [value.shape for value in ours] != [value.shape for value in theirs]:
        return float("inf")
    gaps = [0.0]
    for mine, other in zip(ours, theirs, strict=True):
        if other.size:
            same = (mine == other) | (np.isnan(mine) & np.isnan(other))
            gap = np.where(same, 0.0, np.abs(mine.astype("float64") - other)).max()
            gaps.append(float(gap / max(1.0, np.abs(np.where(np.isfinite(other), other, 0)).max())))
    return float("inf") if np.isnan(gaps).any() else max(gaps)


def _arrays(run: OpenedRun, made: Made, inputs: Any, path: Path) -> Path:
    """Write the rows as a file, in the order of the inputs."""
    ours = [given.name for given in run.experiment.spec.model.inputs]
    in_order: Any = dict(zip(ours, (inputs[given.name] for given in made.model.inputs), strict=True))
    np.savez(path, **in_order)
    return path


def _shapes(ours: list[np.ndarray], theirs: list[np.ndarray]) -> str:
    a, b = ([value.shape for value in each] for each in (ours, theirs))
    return "" if a == b else f"shapes {a}, Keras {b}"


def _quietly(call: Any, *args: Any, **given: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **given)
