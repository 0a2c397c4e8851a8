"""One model of Keras, there and back."""

import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch

from kerascli.foundation.errors import KerasCliError
from kerascli.workflow.check import spec_of_run, summary_of
from kerascli.workflow.interchange.exporting import export_run
from kerascli.workflow.interchange.importing import Imported, import_model
from kerascli.workflow.loaded import LoadedRun, open_run
from kerascli.workflow.predict import predict_run


class NotMade(Exception):
    """Keras makes no such model."""


@dataclass(frozen=True, slots=True)
class Made:
    """A Keras model, and inputs to call it on by the names of its input tensors (None: drawn by their shapes)."""

    model: Any
    inputs: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True, slots=True)
class KerasModel:
    """One model of the corpus. `make` is called in the process that checks it."""

    name: str
    make: Callable[[], Made]
    tolerance: float = 1e-4
    """Largest accepted difference, relative to the largest absolute value of the output (at least 1)."""
    least_spread: float = 0.01
    """Least difference between the outputs for different rows, relative as the tolerance is; with less, equality of
    predictions would show nothing. 0 for a model whose output does not depend on its input, or is small beside 1."""
    exact: Callable[[Made], Any] | None = None
    """Make the same Keras model in float64. Where predictions differ by more than the tolerance, those of both programs
    in float64 decide: deep networks multiply errors of rounding."""
    exports: bool = True
    """False: the model has something that only the import knows, such as an operation that no file can be made of."""
    steps: "Callable[[KerasModel, Path, Result], Iterator[Result]] | None" = None
    """Function that tests the model in place of the steps of `round_trip`; None: those steps."""
    kind: str = ""
    """The row of the report that counts this model, within its part."""


ROWS = 3
_IN_FLOAT64 = 1e-8
"""Largest accepted difference of predictions in float64, which errors of rounding in float32 exceed."""


@dataclass(frozen=True, slots=True)
class Result:
    """Result for one model: `same`, `differs`, `refused` (with the reason), `failed`, or `not made` (by Keras)."""

    name: str
    outcome: str
    step: str = ""
    """Step that it came to: make, save, import, summary, predict, export, open, again."""
    detail: str = ""
    gap: float | None = None
    """Largest relative difference of our predictions from Keras's."""
    gap_again: float | None = None
    """The same, of the exported model as Keras opens it."""
    spread: float | None = None
    """Largest relative difference of Keras's predictions for different rows, of the output where it is least."""


def round_trip(given: KerasModel, folder: Path) -> Result:
    """Make, save, import, summarize, predict, export, open again and predict; never raises."""
    result = Result(given.name, "same", "make")
    try:
        for found in (given.steps or _steps)(given, folder, result):
            result = found
            if result.outcome != "same":
                return result
        return replace(result, step="")
    except KerasCliError as error:
        outcome = "failed" if error.exit_code == 1 else "refused"
        return replace(result, outcome=outcome, detail=" ".join(str(error).split()))
    except NotMade as error:
        return replace(result, outcome="not made", detail=" ".join(str(error).split())[:400])
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1]
        if result.step == "make" and any("/keras/" in frame.filename for frame in frames):
            return replace(result, outcome="not made", detail=" ".join(f"Keras: {error}".split())[:400])
        text = " ".join(f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})".split())
        return replace(result, outcome="failed", detail=text[:400])


def _steps(given: KerasModel, folder: Path, result: Result) -> Iterator[Result]:
    """Yield what is known before each step, and after the last; a result that is not `same` ends it."""
    made = given.make()
    inputs = made.inputs if made.inputs is not None else drawn(made.model)
    theirs = predictions(made.model, inputs)
    result = replace(result, spread=spread(theirs))
    if spread(theirs) < given.least_spread:
        yield replace(result, outcome="failed", detail="outputs do not depend on the input")
    yield (result := replace(result, step="save"))
    path = folder / "model.keras"
    quietly(made.model.save, path)
    yield (result := replace(result, step="import"))
    imported = import_model(path, runs_dir=folder / "runs")
    yield (result := replace(result, step="summary"))
    if wrong := wrong_counts(imported, made.model):
        yield replace(result, outcome="differs", detail=wrong)
    yield (result := replace(result, step="predict"))
    result = judged(result, given, made, inputs, partial(predicted, imported, made, inputs, folder / "x.npz"), theirs)
    if result.outcome != "same":
        yield result
    if not given.exports:
        yield result
        return
    yield (result := replace(result, step="export"))
    export_run(imported.record, "keras", folder / "again.keras")
    yield (result := replace(result, step="open"))
    again = quietly(keras.models.load_model, folder / "again.keras")
    yield (result := replace(result, step="again"))
    gap = largest_gap(predictions(again, _in_order(again, made.model, inputs)), theirs)
    yield replace(result, gap_again=gap, outcome="same" if gap <= given.tolerance else "differs")


def judged(
    result: Result,
    given: KerasModel,
    made: Made,
    inputs: Any,
    predict: Callable[[], list[np.ndarray]],
    theirs: list[np.ndarray],
) -> Result:
    """Return the result with the gap between Keras's predictions and those of `predict`, and whether it is too large.

    In float64 both must agree; the detail has their distances from it in float32, too (see `median_gap`).
    """
    ours = predict()
    result = replace(result, gap=largest_gap(ours, theirs))
    if largest_gap(ours, theirs) <= given.tolerance:
        return result
    if given.exact is None or _shapes(ours, theirs):
        return replace(result, outcome="differs", detail=_shapes(ours, theirs))
    model = given.exact(made)
    exact = predictions(model, _in_order(model, made.model, inputs))
    torch.set_default_dtype(torch.float64)
    apart = largest_gap(predict(), exact)
    torch.set_default_dtype(torch.float32)
    detail = (
        f"{median_gap(ours, exact):.1e} from float64, Keras {median_gap(theirs, exact):.1e}; {apart:.1e} in float64"
    )
    return replace(result, outcome="same" if apart <= _IN_FLOAT64 else "differs", detail=detail)


def predicted(imported: Imported, made: Made, inputs: Any, path: Path) -> list[np.ndarray]:
    """Return the predictions of an imported run for the inputs, which are written to a file at `path`."""
    run = open_run(imported.record, device="cpu")
    return list(predict_run(run, str(rows_file(run, made, inputs, path))).outputs.values())


def _in_order(model: Any, like: Any, inputs: Any) -> dict[str, np.ndarray]:
    """Return the inputs of one model under the names of another's."""
    return dict(zip((x.name for x in model.inputs), (inputs[x.name] for x in like.inputs), strict=True))


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
    found = keras.tree.flatten(quietly(model.predict, struct, verbose=0, batch_size=ROWS))
    _reset_states(model)
    return [np.asarray(value, dtype="float64") for value in found]


def spread(outputs: list[np.ndarray]) -> float:
    """Return how far rows are apart, as `largest_gap` measures it: of the output where that is least."""
    return min((largest_gap([np.broadcast_to(x[:1], x.shape)], [x]) for x in outputs if x.size), default=0.0)


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


def median_gap(outputs: list[np.ndarray], exact: list[np.ndarray]) -> float:
    """Return the median over rows of a row's largest difference, relative as in `largest_gap`; of the output where that
    is largest. The largest difference of all rows depends on one or two of them, whose errors a network multiplies."""
    gaps = [np.abs(mine - other).reshape(len(other), -1).max(1) for mine, other in zip(outputs, exact, strict=True)]
    scales = [max(1.0, float(np.abs(other).max())) for other in exact]
    return max(float(np.median(gap)) / scale for gap, scale in zip(gaps, scales, strict=True))


def wrong_counts(imported: Imported, model: Any) -> str:
    """Return how the counts of parameters in the summary differ from Keras's, or nothing.

    What a normalization has learned from data is a setting of the layer here, not a weight; LoRA is merged.
    """
    if any("lora" in weight.path for weight in model.weights):
        return ""
    learned = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Normalization)]
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    total = model.count_params() - sum(layer.count_params() for layer in learned)
    summary = summary_of(spec_of_run(imported.record))
    found, wanted = (summary.total, summary.trainable), (total, trainable)
    if found != wanted:
        return "summary: {:,} parameters, {:,} trainable".format(*found) + ", Keras {:,}, {:,}".format(*wanted)
    return "" if f"{total:,}" in imported.record.summary() else "the written summary has another total"


def rows_file(run: LoadedRun, made: Made, inputs: Any, path: Path) -> Path:
    """Write the rows as a file, in the order of the inputs."""
    ours = [given.name for given in run.experiment.spec.model.inputs]
    in_order: Any = dict(zip(ours, (inputs[given.name] for given in made.model.inputs), strict=True))
    np.savez(path, **in_order)
    return path


def _shapes(ours: list[np.ndarray], theirs: list[np.ndarray]) -> str:
    a, b = ([value.shape for value in each] for each in (ours, theirs))
    return "" if a == b else f"shapes {a}, Keras {b}"


def quietly(call: Any, *args: Any, **given: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **given)
