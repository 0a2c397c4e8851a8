"""Evaluate a run: loss and metrics over a split or a file, and the scores of each class."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from kerascli.data.base import SPLITS, Context
from kerascli.data.batches.loader import Batch, BatchSource
from kerascli.data.batches.rows import Split
from kerascli.data.pipeline.prepare import prepare_rows
from kerascli.data.read import read_raw
from kerascli.errors import ConfigError, DataError, suggestion
from kerascli.events import Evaluated
from kerascli.files import missing_file
from kerascli.report.classes import ClassRow, class_rows, confusion
from kerascli.training.build import Experiment
from kerascli.training.checks.label_range_checks import check_values
from kerascli.training.classes import class_reading, is_classification_loss
from kerascli.training.evaluate import evaluate
from kerascli.training.objective import class_numbers
from kerascli.training.predict import predict
from kerascli.workflow.changed_data import load_again
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.interchange.keras_names import recorded_names
from kerascli.workflow.memory import memory_for_batches
from kerascli.workflow.opened import OpenedRun
from kerascli.workflow.raw_arrays import no_split, raw_rows


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Classification results of an output: confusion matrix (true, predicted), and the scores of each class."""

    output: str
    names: tuple[str, ...]
    matrix: np.ndarray
    rows: tuple[ClassRow, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    result: Evaluated
    class_scores: tuple[ClassScores, ...]


@memory_for_batches()
def evaluate_rows(run: OpenedRun, rows: Split, name: str) -> Evaluation:
    """Evaluate a run on prepared rows; `name` is the name of the result. Raises KerasCliError."""
    experiment, spec = run.experiment, run.experiment.spec
    if spec.training is None:
        raise ConfigError("the run has no 'compile' section: there is no loss to evaluate")
    check_values(spec.graphs, spec.compared(), {name: rows}, run.stages)
    started = time.monotonic()
    source = rows_in_order(experiment, rows)
    figures = _result_of(evaluate(experiment.module, source.epoch(0), seed=spec.seed))
    seconds = time.monotonic() - started
    return Evaluation(Evaluated(name, figures, rows.rows, seconds), tuple(_classify(run, source)))


def _reason_for_no_splits(run: OpenedRun) -> str:
    """Return the reason why a run has no splits."""
    if run.data is None:
        return "run has no data section"
    return f"{'view' if run.takes_arrays else 'model'} has inputs that the data does not provide"


def rows_of(run: OpenedRun, what: str, *, targets: bool) -> Split:
    """Return the prepared rows of a split or a file. Raises DataError, ConfigError."""
    takes_arrays = run.takes_arrays or (not targets and run.has_own_inputs)
    if takes_arrays and not Path(what).exists():
        raise no_split(what, _reason_for_no_splits(run)) if what in SPLITS else missing_file(Path(what), what)
    if takes_arrays:
        return raw_rows(run.experiment, Path(what), targets=targets, keras_names=recorded_names(run.record))
    assert run.data is not None
    if what in SPLITS and not Path(what).is_file():
        prepared = load_again(run)
        if what not in prepared.splits:
            known = ", ".join(prepared.splits)
            raise DataError(f"the run's data has no '{what}' split", hint=f"it has {known}")
        return prepared.splits[what]
    path = Path(what)
    if not path.exists():
        text = f"there is no file and no split '{what}'{suggestion(what, SPLITS)}"
        raise ConfigError(text, hint=f"splits: {', '.join(SPLITS)}")
    context = Context(folder=Path(), seed=run.experiment.spec.seed)
    return prepare_rows(run.data, run.learned, read_raw(run.data, path, context), targets=targets)


def _result_of(work: Iterator[object]) -> dict[str, float]:
    """Run a generator to its end and return its result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def _classify(run: OpenedRun, source: BatchSource) -> Iterator[ClassScores]:
    """Yield the classification results of every output that predicts classes."""
    experiment = run.experiment
    compiled = experiment.spec.compile
    pairs = [pair for pair in compiled.pairs if is_classification_loss(pair.loss)] if compiled is not None else []
    outputs = predict(experiment.module, source.epoch(0), seed=experiment.spec.seed) if pairs else {}
    for pair in pairs:
        reading = class_reading(outputs[pair.output], run.stages.facts.targets.get(pair.target), pair.loss)
        if reading is None:
            continue
        truth = torch.cat([class_numbers(t) for t in _targets(experiment, source.epoch(0), pair.target)])
        predicted = reading.numbers(outputs[pair.output])
        counted = pair.loss.counted(truth) if pair.loss is not None else None
        if counted is not None:  # a row that the loss masks out may hold a number that is no class
            truth, predicted = truth[counted], predicted[counted]
        matrix = confusion(truth.numpy(), predicted.numpy(), len(reading.names))
        yield ClassScores(pair.output, reading.names, matrix, tuple(class_rows(matrix, reading.names)))


def _targets(experiment: Experiment, batches: Iterator[Batch], name: str) -> Iterator[torch.Tensor]:
    for batch in batches:
        yield experiment.module.target_stage(batch.targets)[name].cpu()
