"""Advice checks of targets: a single class, labels sorted by class, and class shares that differ in test rows."""

from collections.abc import Iterable, Iterator

import numpy as np

from kerascli.data.batches.rows import MemorySplit
from kerascli.data.storage.blocks import unique_inverse
from kerascli.data.storage.on_disk import Values
from kerascli.data.storage.table import Table
from kerascli.data.storage.tokens import is_ragged
from kerascli.foundation.errors import Fault, Path, safe_text
from kerascli.workflow.advice.case import Case, is_split, predicts_classes, warning

_RATIO = 1.5
"""Ratio of two shares of a class from which on they differ much."""
_DEVIATIONS = 4.0
"""Difference of two shares in standard deviations, which 1 of 16,000 random splits exceeds."""
_FEWEST = 5
"""Minimum number of rows of a class that the test is expected to have; below, the deviation is no measure."""
_MOST_CLASSES = 100_000
"""Maximum number of distinct values of a column that is taken for class labels."""
_FEWEST_ROWS = 10


def constant_targets(case: Case) -> Iterator[Fault]:
    """Yield a warning for each target whose training rows are all of one class."""
    train = None if case.prepared is None else case.prepared.splits.get("train")
    if not isinstance(train, MemorySplit):
        return
    for pair in case.spec.pairs:
        values = train.targets.get(pair.target)
        if values is None or len(values) < 2 or pair.loss is None or not predicts_classes(pair.loss):
            continue
        if bool((values == values[0]).all()):
            text = f"the target '{pair.target}' is constant in the {len(values):,} training rows"
            hint = "check the column, data.where, and how the rows were selected"
            yield warning(f"{text}: they are all of one class", ("data", "targets", pair.target), hint)


def class_shares(case: Case) -> Iterator[Fault]:
    """Yield a warning for each target whose classes have other shares in the test rows than in the training rows.

    The warning has both shares of the class for which they differ most.
    """
    for path, column in _class_columns(case):
        values = case.train_and_test(column)
        if values is not None and (text := _difference_of_shares(*values)):
            name = safe_text(column, 60)
            yield warning(f"the classes of '{name}' have other shares: {text}", path, _shares_hint(case, name))


def _class_columns(case: Case) -> Iterator[tuple[Path, str]]:
    """Yield (config path, column) of each target of class labels that is one column, whose values are not split."""
    labels = {pair.target for pair in case.spec.pairs if pair.loss and predicts_classes(pair.loss)}
    for path, pipeline in case.targets():
        if path[-1] in labels and len(pipeline.columns) == 1 and not is_split(pipeline):
            yield path, pipeline.columns[0]


def _shares_hint(case: Case, name: str) -> str:
    split = None if case.data is None else case.data.split
    if split is None or not split.test:
        return "check how the rows of the test were chosen"
    if split.order is not None:
        return "the shares change with time: metrics of the test and of new rows may differ as much"
    return f"data: {{split: {{stratify: {name}}}}} gives all parts the same shares"


def _difference_of_shares(train: np.ndarray, test: np.ndarray) -> str:
    """Return the shares of the class whose shares have the largest ratio, as text; '' if none differ much."""
    if train.dtype.kind == "f" and not (train == np.floor(train)).all():
        return ""
    words, numbers = unique_inverse(np.concatenate([train, test]))
    counts = [np.bincount(part, minlength=len(words)) for part in (numbers[: len(train)], numbers[len(train) :])]
    shares = np.stack([counts[0] / len(train), counts[1] / len(test)])
    pooled = sum(counts) / len(numbers)
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / len(train) + 1 / len(test)))
    differs = np.abs(shares[0] - shares[1]) > _DEVIATIONS * deviation
    differs &= (shares.max(0) > _RATIO * shares.min(0)) & (pooled * min(len(train), len(test)) >= _FEWEST)
    if not differs.any():
        return ""
    worst = int(np.argmin(np.where(differs, shares.min(0) / shares.max(0), 1)))
    word = safe_text(str(words[worst]), 40)
    return f"'{word}' is {shares[0, worst]:.1%} of the training rows and {shares[1, worst]:.1%} of the test rows"


def sorted_labels(case: Case) -> Iterator[Fault]:
    """Yield a warning for each target whose rows seem sorted by class, if `validation_split` takes the last rows.

    Training and validation rows then have different classes.
    """
    head, tail = case.tables.get("train"), case.tables.get("validation")
    if case.config.validation_split <= 0 or head is None or tail is None:
        return
    hint = "data: {split: {validation: 0.2}} draws the rows at random"
    for _, column in _class_columns(case):
        if _has_classes(head.column(column)) and (text := _difference_of_classes(column, head, tail)):
            yield warning(f"validation_split takes the last rows, {text}", ("fit", "validation_split"), hint)


def _difference_of_classes(column: str, head: Table, tail: Table) -> str:
    most = min(max(20, head.rows // 10), _MOST_CLASSES)
    values = [each.column(column) for each in (head, tail)]
    classes, validated = (set(unique_inverse(each)[0].tolist()) for each in values)
    if len(classes | validated) > most:
        return ""
    new = sorted(validated - classes)
    if new:
        text = f"and they have classes of '{column}' that the training rows lack: {_quoted(new)}"
        return f"{text}{', ...' if len(new) > 5 else ''}; the rows seem to be sorted"
    if len(classes) > 1 and head.rows + tail.rows >= _FEWEST_ROWS and _is_sorted(*values):
        return f"and the rows are sorted by '{column}': the validation rows are all of {_quoted(sorted(validated))}"
    return ""


def _quoted(names: Iterable[object]) -> str:
    return ", ".join(f"'{safe_text(str(name), 40)}'" for name in [*names][:5])


def _has_classes(values: Values) -> bool:
    """Return True if a column holds classes: one string or integer per row (integers may be stored as floats)."""
    if values.ndim != 1 or is_ragged(values):
        return False
    if values.dtype.kind != "f":
        return True
    # a missing value is nan: no class
    return isinstance(values, np.ndarray) and bool((values == np.floor(values)).all())


def _is_sorted(head: Values, tail: Values) -> bool:
    if not isinstance(head, np.ndarray) or not isinstance(tail, np.ndarray):
        return False
    values = np.concatenate([head, tail])
    return bool((values[1:] >= values[:-1]).all() or (values[1:] <= values[:-1]).all())
