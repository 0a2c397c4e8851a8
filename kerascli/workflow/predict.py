"""Predict with a run: outputs for rows as named columns, with the names of classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kerascli.data.batches.rows import Split
from kerascli.training.checks.label_range_checks import check_values
from kerascli.training.classes import class_reading
from kerascli.training.predict import predict
from kerascli.workflow.evaluate import rows_of
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.interchange.keras_names import keras_output_names
from kerascli.workflow.memory import memory_for_batches
from kerascli.workflow.opened import OpenedRun


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions for each row: named columns, and the raw outputs as arrays."""

    columns: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    rows: int
    non_finite_rows: int

    @property
    def class_columns(self) -> Sequence[str]:
        """Names of the columns that hold class names."""
        return [name for name, values in self.columns.items() if values.dtype == object]


def predict_run(run: OpenedRun, what: str, view: str | None = None, *, keras_names: bool = False) -> Predictions:
    """Predict the rows of a file, in the format of the run's source, or of a split, with the model or a view of it.

    With `keras_names` the outputs have Keras's names. Raises KerasCliError.
    """
    run = run if view is None else run.view(view)
    renamed = keras_output_names(run.record, run.experiment.spec.model.outputs) if keras_names else None
    return predict_rows(run, rows_of(run, what, targets=False), renamed)


@memory_for_batches()
def predict_rows(run: OpenedRun, rows: Split, renamed: Mapping[str, str] | None = None) -> Predictions:
    """Predict prepared rows; `renamed` maps outputs to the names to use for them."""
    spec = run.experiment.spec
    check_values(spec.graphs, spec.compared(), {"data": rows}, run.stages)
    experiment = run.experiment
    outputs = predict(experiment.module, rows_in_order(experiment, rows, figures=False).epoch(0), seed=spec.seed)
    pairs = {pair.output: pair for pair in (spec.compile.pairs if spec.compile else ())}
    columns: dict[str, np.ndarray] = {}
    for name, output in outputs.items():
        called = name if renamed is None else renamed[name]
        prefix = f"{called}." if len(outputs) > 1 else ""
        pair = pairs.get(name)
        field = run.stages.facts.targets.get(pair.target) if pair is not None else None
        reading = class_reading(output, field, pair.loss if pair is not None else None)
        if reading is None:
            label = pair.target if pair is not None and len(outputs) == 1 and renamed is None else called
            columns.update(_plain_columns(label, output))
            continue
        names = np.array(reading.names, dtype=object)
        columns[f"{prefix}class"] = names[reading.numbers(output).numpy()]
        probabilities = reading.probabilities(output).numpy()
        columns.update({f"{prefix}p({n})": probabilities[:, i] for i, n in enumerate(reading.names)})
    finite = torch.stack([torch.isfinite(o).reshape(len(o), -1).all(1) for o in outputs.values()]).all(0)
    arrays = {name if renamed is None else renamed[name]: output.numpy() for name, output in outputs.items()}
    return Predictions(columns, arrays, rows.rows, int((~finite).sum()))


def _plain_columns(name: str, output: torch.Tensor) -> dict[str, np.ndarray]:
    """Return one column for each number of an output; those of several are named `name[i]`, `name[i,j]`."""
    values = output.reshape(len(output), -1).numpy()
    if values.shape[1] == 1:
        return {name: values[:, 0]}
    index = np.ndindex(*output.shape[1:])
    return {f"{name}[{','.join(map(str, place))}]": values[:, i] for i, place in enumerate(index)}
