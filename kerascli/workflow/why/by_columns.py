"""Reasons by raw columns: which places of a model's inputs depend on which columns, and how much worse a model becomes
if the values of a column are shuffled (Breiman, 2001)."""

from collections.abc import Callable, Mapping
from statistics import mode
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerascli.data.batches.loader import BatchSource
from kerascli.data.batches.rows import MemorySplit, Split, raw_table
from kerascli.data.pipeline.prepare import fitted_preparer
from kerascli.data.read import joined
from kerascli.data.storage.on_disk import in_memory
from kerascli.data.storage.table import Table
from kerascli.foundation.errors import ConfigError
from kerascli.report.reasons import Reason, Reasons
from kerascli.workflow.evaluate import Compared, evaluate_rows
from kerascli.workflow.evaluation.cells import add_cells
from kerascli.workflow.evaluation.facts import resampled, row_losses
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.predict import outputs_of
from kerascli.workflow.why.methods import flat
from kerascli.workflow.why.score import must_have

_ROWS, _BYTES = 1024, 2**26
"""Maximum number, and approximate size, of the rows in which the values of a column are changed to see which places of
the inputs change."""
_SHUFFLES, _BLOCKS, _RESAMPLES = 5, 200, 500
"""Numbers of shuffles of a column, of blocks of rows, and of their resamples, of an interval."""


def input_columns(rows: Split) -> list[str]:
    """Return the raw columns that the inputs are computed from."""
    columns = {} if rows.origin is None else rows.origin.columns
    return list(dict.fromkeys(name for (section, _), each in columns.items() if section == "inputs" for name in each))


def prepared(run: LoadedRun, table: Table) -> Split:
    """Return the rows of a table of raw columns as the model's inputs, by the run's fitted pipelines."""
    assert run.data is not None
    return fitted_preparer(run.data, run.learned, targets=False).split(table)


def column_groups(run: LoadedRun, *splits: Split) -> dict[tuple[str, ...], Tensor]:
    """Return the groups of raw columns that the model's inputs are computed from, each with a boolean mask (values,).

    The mask has an element for each value of a row of all inputs, flattened and joined in their order: True where the
    value depends on the group. Two columns are in one group if a value depends on both; most groups have one column.
    They are found by changing values in the rows of `splits`; a column whose values are all equal is in none.
    """
    most = [max(16, min(_ROWS, _BYTES * rows.rows // max(1, rows.nbytes))) for rows in splits]
    table = joined([raw_table(rows, "why").take(slice(0, at)) for rows, at in zip(splits, most, strict=True)])
    before, groups = flat(staged_inputs(run, prepared(run, table))), dict[tuple[str, ...], Tensor]()
    for name in input_columns(splits[0]):
        after = flat(staged_inputs(run, prepared(run, table.replaced([name], np.roll(np.arange(table.rows), 1)))))
        is_number = ~(before.isnan() & after.isnan())
        columns, places = (name,), ((before != after) & is_number).any(0)
        for other in [each for each in groups if (groups[each] & places).any()]:
            columns, places = (*other, *columns), groups.pop(other) | places
        if places.any():
            groups[columns] = places
    if not groups:
        raise ConfigError("why: these rows are all equal: there is no column to tell them by")
    return groups


def staged_inputs(run: LoadedRun, rows: Split) -> dict[str, Tensor]:
    """Return the model's inputs of rows, with the preprocessing that runs per batch."""
    (batch,) = BatchSource(rows, rows.rows, run.experiment.device).epoch(0)
    stage = run.experiment.module.input_stage
    return {name: values.cpu() for name, values in stage(dict(batch.inputs)).items()}


def reasons_by_column(
    run: LoadedRun, rows: MemorySplit, others: MemorySplit, attributions: Mapping[str, Tensor], *, windows: bool
) -> list[Reason]:
    """Return the sums of attributions of the places of groups of columns, found by the rows and by other ones, with the
    columns' cells; of windows those of each step."""
    groups, values = column_groups(run, rows, others), flat(attributions).double()
    names, steps = [*map(" + ".join, groups)], next(iter(attributions.values())).shape[1] if windows else 1
    sums = [(values * places).reshape(rows.rows, steps, -1).sum(-1) for places in groups.values()]
    shares = torch.stack(sums, -1).numpy()
    if windows:
        return [Reason(each, names) for each in shares]
    shown: list[dict[str, Any]] = [{"row": row} for row in range(1, rows.rows + 1)]
    add_cells(run, rows, shown, [name for group in groups for name in group])
    cells = [[", ".join(row["cells"].get(name, "...") for name in group) for group in groups] for row in shown]
    return [Reason(each[0], names, own) for each, own in zip(shares, cells, strict=True)]


def median_row(run: LoadedRun, rows: Split) -> MemorySplit:
    """Return one row as the model's inputs: the median of each column of numbers, or of each number of an array, and
    the most frequent of words."""
    table, raw = raw_table(rows, "why"), {}
    for name in input_columns(rows):
        field = run.raw_fields.get(name)
        raw[name] = table.text(name) if field is not None and field.is_text else in_memory(table[name])
    columns = {name: _middle(values)[None] for name, values in raw.items()}
    return prepared(run, Table(columns, 1, name=table.name)).read(slice(0, 1))


def _middle(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "biuf":  # of windows the most frequent text of each step
        columns = values.reshape(len(values), -1).T.tolist()
        return np.array(list(map(mode, columns)), values.dtype).reshape(values.shape[1:])
    median = np.nanmedian(values, axis=0)
    return (median if values.dtype.kind == "f" else np.floor(median)).astype(values.dtype)


def permutation_importance(run: LoadedRun, rows: Split, metric: str | None) -> Reasons:
    """Return the importance of each group of columns, the largest first: the increase of `metric` (the name of one,
    whose decline counts if larger is better; None: the loss) over some shuffles.

    The interval covers shuffles and rows: it is that of resamples of blocks of rows. Raises ConfigError.
    """
    metric = metric or "loss"
    table, seed, compared = raw_table(rows, "why"), run.experiment.spec.seed, evaluate_rows(run, rows, "rows").compared
    measure = _measure(compared, metric, rows.rows, seed)
    groups, before = column_groups(run, rows), measure({pair.output: y_pred for pair, _, y_pred, _ in compared})
    worse = np.zeros((len(groups), len(before)))
    for number, group in enumerate(groups):
        for repeat in range(_SHUFFLES):
            order = np.random.default_rng([seed, number, repeat]).permutation(rows.rows)
            worse[number] += measure(outputs_of(run, prepared(run, table.replaced(group, order)))) - before
    worse /= _SHUFFLES
    ends = np.nanquantile(worse[:, 1:], [0.025, 0.975], axis=1)
    columns = zip(map(" + ".join, groups), worse[:, 0].tolist(), *ends.tolist(), strict=True)
    notes = [f"how much worse '{metric}' of {rows.rows:,} rows is if a column is shuffled ({_SHUFFLES} times)"]
    if constant := set(input_columns(rows)).difference(*groups):
        notes.append(f"no effect on the inputs of the first rows: {', '.join(sorted(constant))}")
    if len(groups) == 1:
        notes.append("there is one column: --method integrated_gradients shows the shares of its values")
    return Reasons("permutation", "columns", (), notes, sorted(columns, key=lambda each: -each[1]))


def _measure(compared: Compared, metric: str, rows: int, seed: int) -> Callable[[Mapping[str, Tensor]], np.ndarray]:
    """Return the function from predictions by output to values of `metric`, larger where the model is worse: of all
    rows, then of each resample of blocks of rows. Raises ConfigError."""
    uses = {pair.prefix + name: (pair.output, y_true, use, at) for pair, y_true, *_ in compared
            for use in pair.metrics for at, name in enumerate(use.columns)}  # fmt: skip
    must_have("--metric", metric, ["loss", *uses], "metric")
    blocks = torch.arange(rows).tensor_split(min(_BLOCKS, rows))
    drawn = np.random.default_rng([seed, 1]).multinomial(len(blocks), [1 / len(blocks)] * len(blocks), _RESAMPLES)
    weights = np.concatenate([np.ones((1, len(blocks))), drawn])
    if metric in uses:
        output, targets, use, at = uses[metric]
        sign = -1 if use.metric.direction == "max" else 1
        return lambda outputs: sign * resampled(use, targets, outputs[output], blocks, weights)[:, at]
    if len(list(row_losses(compared))) < len(compared) or not compared:
        raise ConfigError("permutation: a loss has no value for each row", hint="--metric NAME takes a metric")

    def loss(outputs: Mapping[str, Tensor]) -> np.ndarray:
        changed = [(pair, y_true, outputs[pair.output], mask) for pair, y_true, _, mask in compared]
        losses = torch.stack([*row_losses(changed)])
        sums = [float(losses[:, block].sum()) for block in blocks]
        return weights @ sums / (weights @ list(map(len, blocks)))

    return loss
