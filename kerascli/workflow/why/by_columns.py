"""Reasons by raw columns: which places of a model's inputs depend on which columns, and how much worse a model becomes
if the values of a column are shuffled (Breiman, 2001)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerascli.data.batches.loader import BatchSource
from kerascli.data.batches.rows import MemorySplit, Split
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
from kerascli.workflow.why.methods import flat
from kerascli.workflow.why.score import must_have, predictions

_ROWS, _BYTES = 1024, 2**26
"""Maximum number, and approximate size, of the rows in which the values of a column are changed to see which places of
the inputs change."""
_BLOCKS, _RESAMPLES = 200, 500
"""Numbers of blocks of rows, and of their resamples, of an interval."""


Groups = Mapping[tuple[str, ...], Tensor]
"""Columns whose values one transform joins, so that they count as one (mostly a single column), with the mask of the
places of all inputs, as `flat` joins them, that depend on them."""


def table_of(rows: Split) -> Table:
    """Return the raw columns of rows. Raises ConfigError if there are none."""
    if rows.origin is None:
        raise ConfigError("these rows have no raw columns: they are arrays, or generated")
    return rows.origin.table


def input_columns(rows: Split) -> list[str]:
    """Return the raw columns that the inputs are computed from."""
    columns = {} if rows.origin is None else rows.origin.columns
    return list(dict.fromkeys(name for (section, _), each in columns.items() if section == "inputs" for name in each))


def prepared(run: LoadedRun, table: Table) -> Split:
    """Return the rows of a table of raw columns as the model's inputs, by the run's fitted pipelines."""
    assert run.data is not None
    return fitted_preparer(run.data, run.learned, targets=False).split(table)


def column_groups(run: LoadedRun, *splits: Split) -> Groups:
    """Return the groups of raw columns that the model's inputs are computed from, found by changing their values in the
    rows of splits.

    Two columns are in one group if a place of an input depends on both. A column whose values are all equal is in none.
    """
    most = [max(16, min(_ROWS, _BYTES * rows.rows // max(1, rows.nbytes))) for rows in splits]
    table = joined([table_of(rows).take(slice(0, count)) for rows, count in zip(splits, most, strict=True)])
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
    run: LoadedRun, rows: MemorySplit, attributions: Mapping[str, Tensor], reference: MemorySplit, steps: int | None
) -> list[Reason]:
    """Return the sums of attributions of the places of groups of columns, found by the rows and `reference` rows, with
    the columns' cells; of windows those of each step."""
    groups, values = column_groups(run, rows, reference), flat(attributions).double()
    names = [*map(" + ".join, groups)]
    sums = [(values * places).reshape(rows.rows, steps or 1, -1).sum(-1) for places in groups.values()]
    shares = torch.stack(sums, -1).numpy()
    if steps is not None:
        return [Reason(each, names) for each in shares]
    shown: list[dict[str, Any]] = [{"row": row} for row in range(1, rows.rows + 1)]
    add_cells(run, rows, shown, [name for group in groups for name in group])
    cells = [[", ".join(row["cells"].get(name, "...") for name in group) for group in groups] for row in shown]
    return [Reason(each[0], names, own) for each, own in zip(shares, cells, strict=True)]


def median_row(run: LoadedRun, rows: Split) -> MemorySplit:
    """Return one row as the model's inputs: the median of each column of numbers, or of each number of an array, and
    the most frequent of words."""
    table = table_of(rows)
    columns = {name: _middle(in_memory(table[name]))[None] for name in input_columns(rows)}
    return prepared(run, Table(columns, 1, name=table.name)).read(slice(0, 1))


def _middle(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "biuf":
        return np.array(Counter(values.tolist()).most_common(1)[0][0], values.dtype)
    median = np.nanmedian(values, axis=0)
    return (median if values.dtype.kind == "f" else np.floor(median)).astype(values.dtype)


def reference_rows(splits: Mapping[str, Split]) -> MemorySplit:
    """Return at most 1,000 of the training rows, at equal distances."""
    rows = splits["train"]
    return rows.read(np.unique(np.linspace(0, rows.rows - 1, min(1000, rows.rows)).astype(np.int64)))


def permutation_importance(run: LoadedRun, rows: Split, metric: str, repeats: int) -> Reasons:
    """Return the importance of each group of columns, the largest first: the increase of `metric` (`loss` or the name
    of a metric, whose decline counts if larger is better) over `repeats` shuffles.

    The interval covers shuffles and rows: it is that of resamples of blocks of rows. Raises ConfigError.
    """
    table, seed, compared = table_of(rows), run.experiment.spec.seed, evaluate_rows(run, rows, "rows").compared
    blocks = torch.arange(rows.rows).tensor_split(min(_BLOCKS, rows.rows))
    drawn = np.random.default_rng([seed, 1]).multinomial(len(blocks), [1 / len(blocks)] * len(blocks), _RESAMPLES)
    measure = _measure(compared, metric, blocks, np.concatenate([np.ones((1, len(blocks))), drawn]))
    groups, before = column_groups(run, rows), measure([y_pred for _, _, y_pred in compared])
    worse = np.zeros((len(groups), len(before)))
    for number, group in enumerate(groups):
        for repeat in range(repeats):
            order = np.random.default_rng([seed, number, repeat]).permutation(rows.rows)
            outputs = predictions(run, prepared(run, table.replaced(group, order)))
            worse[number] += (measure([outputs[pair.output] for pair, _, _ in compared]) - before) / repeats
    ends = np.nanquantile(worse[:, 1:], [0.025, 0.975], axis=1)
    columns = zip(map(" + ".join, groups), worse[:, 0].tolist(), *ends.tolist(), strict=True)
    note = f"how much worse '{metric}' of {rows.rows:,} rows is if a column is shuffled ({repeats} times)"
    constant = set(input_columns(rows)).difference(*groups)
    notes = [note, *([f"no effect on the inputs of the first rows: {', '.join(sorted(constant))}"] if constant else [])]
    return Reasons("permutation", "columns", (), notes, sorted(columns, key=lambda each: -each[1]))


def _measure(
    compared: Compared, metric: str, blocks: Sequence[Tensor], weights: np.ndarray
) -> Callable[[Sequence[Tensor]], np.ndarray]:
    """Return the function from predictions of each output to a value of each resample of blocks of rows, larger where
    the model is worse. `weights` are of shape (resamples, blocks). Raises ConfigError."""
    uses = {pair.prefix + name: (number, use, at) for number, (pair, _, _) in enumerate(compared)
            for use in pair.metrics for at, name in enumerate(use.columns)}  # fmt: skip
    if metric in uses:
        number, use, at = uses[metric]
        sign = -1 if use.metric.direction == "max" else 1
        return lambda outputs: sign * resampled(use, compared[number][1], outputs[number], blocks, weights)[:, at]
    must_have("--metric", metric, ["loss", *uses], "metric")
    if len(list(row_losses(compared))) < len(compared) or not compared:
        raise ConfigError("permutation: a loss has no value for each row", hint="--metric NAME takes a metric")

    def loss(outputs: Sequence[Tensor]) -> np.ndarray:
        own = [(pair, y_true, y_pred) for (pair, y_true, _), y_pred in zip(compared, outputs, strict=True)]
        total = torch.stack(list(row_losses(own))).sum(0)
        sums = [float(total[block].sum()) for block in blocks]
        return weights @ sums / (weights @ [len(block) for block in blocks])

    return loss
