"""Make the training plan (batches, steps, validations) from the `fit` section of a config and its data."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice

import numpy as np
import torch

from kerascli.config.run import RunSpec
from kerascli.data.batches.loader import Batch, BatchSource
from kerascli.data.batches.rows import Split
from kerascli.data.pipeline.prepare import PreparedData
from kerascli.foundation.errors import DataError
from kerascli.training.build import Experiment
from kerascli.training.checks.row_independence import rows_at_once
from kerascli.training.classes import class_numbers
from kerascli.training.loop import Plan
from kerascli.training.strategies.base import Strategy


def rows_in_order(experiment: Experiment, rows: Split, *, metrics: bool = True) -> BatchSource:
    """Return a source of batches of a split, in the order of its rows, to evaluate or to predict.

    The function chooses the batch size. With `metrics`, the batches are for evaluation, else for prediction. Raises
    DataError if a stateful model would get a smaller last batch.
    """
    spec, fit = experiment.spec, experiment.spec.fit
    size = fit.validation_batch_size
    is_stateful = any(node.layer.keeps_states() for node in spec.model.nodes)
    if is_stateful or (size is None and metrics and fit.validation_steps is not None):
        size = fit.batch_size
    elif size is None:
        pairs = None if spec.compile is None else spec.compile.pairs
        size = rows_at_once(spec.built, pairs, fit.batch_size, metrics=metrics)
    source = BatchSource(rows, size, experiment.device)
    _refuse_part(experiment, source)
    return source


def _refuse_part(experiment: Experiment, source: BatchSource) -> None:
    """Raise DataError if the last batch would be smaller than others, which a stateful model cannot take."""
    size, left = source.batch_size, source.rows % source.batch_size
    if left and any(weight.spec.is_state for weight in experiment.weights):
        text = f"a stateful model needs batches of {size} rows, but {source.rows} rows leave a last batch of {left}"
        raise DataError(text, hint="remove rows, or choose a batch_size that divides their number")


def make_plan(
    experiment: Experiment,
    prepared: PreparedData,
    limits: Mapping[str, int],
    *,
    phase: int | None = None,
    first: int = 0,
    strategy: Strategy | None = None,
) -> Plan:
    """Return the training plan (epochs, steps, batches, validations, callbacks) of a config's `fit` section.

    `limits` are upper limits of `epochs`, `steps_per_epoch` and `validation_steps`, for a smoke test. `phase` is the
    number of the training phase (None: there is only one), before which `first` epochs were trained. With `strategy`,
    batches are divided among processes.
    """
    spec, fit = experiment.spec, experiment.spec.fit
    rows, device, strategy = prepared.splits["train"], experiment.device, strategy or Strategy()
    source = BatchSource(rows, fit.batch_size, device, shuffle=fit.shuffle, seed=spec.seed, portion=strategy.portion)
    _refuse_part(experiment, source)
    steps = fit.steps_per_epoch or source.steps
    steps = min(steps, limits.get("steps_per_epoch", steps))
    held_out = None
    if fit.validates():
        held_out = rows_in_order(experiment, prepared.splits[fit.validation_data or "validation"])
    limit = min((n for n in (fit.validation_steps, limits.get("validation_steps")) if n), default=None)
    frequency = fit.validation_freq
    epochs = min(fit.epochs, fit.initial_epoch + limits["epochs"]) if "epochs" in limits else fit.epochs
    return Plan(
        epochs=first + epochs,
        steps=steps,
        batches=lambda epoch, number: _batches(source, steps, epoch, number, first + fit.initial_epoch),
        validation=None if held_out is None else lambda: strategy.evaluated(held_out, limit),
        validates=lambda epoch: epoch in frequency if isinstance(frequency, tuple) else epoch % frequency == 0,
        callbacks=fit.callbacks,
        directions=spec.log_names(),
        resets_states=fit.reset_states == "epoch",
        phase=phase,
    )


def _batches(source: BatchSource, steps: int, epoch: int, first_batch: int, first_epoch: int) -> Iterator[Batch]:
    """Yield the batches of an epoch, from number `first_batch` up to the `steps` of the epoch.

    An epoch with `steps_per_epoch` continues where the last one ended. The first epoch of a training or a phase begins
    with the first row; a phase shuffles in orders that no earlier epoch had.
    """
    number, end = (epoch - first_epoch) * steps + first_batch, (epoch - first_epoch + 1) * steps
    while number < end:
        passes, position = divmod(number, source.steps)
        for batch in islice(source.epoch(first_epoch + passes, position), end - number):
            yield batch
            number += 1


def with_class_weights(spec: RunSpec, prepared: PreparedData) -> RunSpec:
    """Return the RunSpec (parsed config) with the weights of `class_weight: balanced` computed from training rows.

    The weight of a class is rows / (classes * rows of the class), as in scikit-learn; a class without a training row
    has none. A RunSpec with another `class_weight` is returned unchanged.
    """
    if spec.fit.class_weight != "balanced" or spec.compile is None:
        return spec
    pair = spec.compile.pairs[0]
    target, axes = pair.target, 1 + spec.built.specs[pair.output].rank
    counts: Counter[int] = Counter()
    for values, _ in prepared.splits["train"].targets_in_blocks(target):
        finished = prepared.target_stage({target: torch.from_numpy(values)})[target]
        numbers, rows = np.unique(class_numbers(finished, axes).numpy(), return_counts=True)
        counts.update(dict(zip(numbers.tolist(), rows.tolist(), strict=True)))
    rows_of = {number: counts[number] for number in sorted(counts) if number >= 0}  # below 0: classes that are ignored
    names = prepared.facts.targets[target].classes or tuple(map(str, range(max(rows_of) + 1)))
    weights = {names[number]: sum(rows_of.values()) / (len(rows_of) * rows) for number, rows in rows_of.items()}
    return replace(spec, fit=spec.fit.model_copy(update={"class_weight": weights}))
