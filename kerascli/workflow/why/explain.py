"""Find the reasons for a model's predictions by the method that fits its inputs: columns, pixels, words, time steps."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from kerascli.data.base import SPLITS
from kerascli.data.batches.rows import MemorySplit, Split
from kerascli.data.storage.on_disk import in_memory
from kerascli.foundation.errors import ConfigError
from kerascli.report.reasons import Kind, Method, Reasons
from kerascli.training.evaluate import predict
from kerascli.workflow.evaluate import evaluate_rows
from kerascli.workflow.fitting.plan import rows_in_order
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.memory import memory_for_batches
from kerascli.workflow.rows.command_rows import load_again, rows_of
from kerascli.workflow.why.column_groups import (
    by_column,
    column_groups,
    median_row,
    reference_rows,
    staged_inputs,
    table_of,
)
from kerascli.workflow.why.grad_cam import grad_cam, resized
from kerascli.workflow.why.gradients import integrated_gradients
from kerascli.workflow.why.occlusion import occluded_pictures, occluded_words
from kerascli.workflow.why.permutation import permutation_importance
from kerascli.workflow.why.question import Question
from kerascli.workflow.why.score import Score, score_of


@memory_for_batches()
def explain(run: LoadedRun, question: Question) -> Reasons:
    """Return the reasons for a run's predictions. Raises KerasCliError; what has no answer is refused by name."""
    if any(weight.spec.is_state for weight in run.experiment.weights):
        raise ConfigError("why: the model is stateful: a row's prediction depends on the rows before it")
    kind, name = _kind(run)
    what = question.what
    if not what and not question.texts:
        what = next(([name] for name in reversed(SPLITS) if run.data and name in load_again(run).splits), ["test"])
    of_split = len(what) == 1 and what[0] in SPLITS
    method = question.method or _default(kind, of_split=of_split)
    allowed = {"columns": ("permutation", "integrated_gradients"), "series": ("permutation", "integrated_gradients"),
               "picture": ("grad_cam", "occlusion", "integrated_gradients", "permutation"),
               "text": ("occlusion", "integrated_gradients", "permutation")}[kind]  # fmt: skip
    if method not in allowed:
        what = {"columns": "tables and models of several inputs", "picture": "pictures"}.get(kind, f"a {kind}")
        raise ConfigError(f"--method {method}: not for {what}", hint=f"one of {', '.join(allowed)}")
    question.refuse_idle(method)
    rows = rows_of(run, *what, targets=method == "permutation", texts=question.texts)
    if method == "permutation":
        return _permuted(run, rows, question)
    few = rows.read(question.first_rows)
    outputs = predict(run.experiment.module, run.shared_batches(rows_in_order(run.experiment, few, metrics=False)),
                      seed=run.experiment.spec.seed)  # fmt: skip
    score = score_of(run, outputs, question.output, question.class_name)
    left = rows.rows - few.rows
    notes = (f"the first {few.rows} of {rows.rows:,} rows; --rows N explains more",) if left else ()
    if kind == "picture":
        return _of_pictures(run, few, name, score, method, question, notes)
    if method == "occlusion":
        return _of_words(run, few, score, notes)
    return _of_gradients(run, few, score, kind, name, question, notes)


def _default(kind: Kind, *, of_split: bool) -> Method:
    if kind == "picture":
        return "grad_cam"
    if kind == "text":
        return "occlusion"
    return "permutation" if of_split else "integrated_gradients"


def _kind(run: LoadedRun) -> tuple[Kind, str]:
    """Return (kind of a run's inputs, name of its first input); models of several inputs are explained by columns."""
    if not run.experiment.spec.model.inputs:
        raise ConfigError("why: a model of weights alone has no inputs to explain an answer by")
    (first, spec), *others = ((each.name, each.spec) for each in run.experiment.spec.model.inputs)
    if others:
        return "columns", first
    pipeline = None if run.data is None else run.data.inputs.get(first)
    if spec.rank == 3 and spec.shape[-1:] in ((1,), (3,), (4,)):
        return "picture", first
    if pipeline is not None and any(step.transform.component_name == "text_vectorization" for step in pipeline.steps):
        return "text", first
    return ("series" if spec.rank == 2 else "columns"), first


def _permuted(run: LoadedRun, rows: Split, question: Question) -> Reasons:
    if run.experiment.spec.training is None:
        raise ConfigError("permutation: the run has no 'compile' section: there is no loss to compare")
    compared = evaluate_rows(run, rows, "rows").compared
    groups = column_groups(run, rows)
    metric, repeats = question.metric or "loss", question.repeats or 5
    importance = permutation_importance(run, rows, compared, groups, metric=metric, repeats=repeats)
    ordered = sorted(importance, key=lambda each: -each.value)
    what = f"'{metric}' of {rows.rows:,} rows"
    text = f"how much worse {what} is if a column is shuffled ({repeats} times)"
    return Reasons("permutation", "columns", importance=tuple(ordered), notes=(text,))


def _of_pictures(
    run: LoadedRun, rows: MemorySplit, name: str, score: Score, method: Method, question: Question, notes: Sequence[str]
) -> Reasons:
    pictures = staged_inputs(run, rows)[name].numpy()
    height, width = pictures.shape[1:3]
    if method == "grad_cam":
        layer, small = grad_cam(run, rows, question.layer, score)
        maps, notes = resized(small, height, width), (f"output of the layer {layer}", *notes)
    elif method == "occlusion":
        maps = occluded_pictures(run, rows, name, score)
    else:
        baseline = None if question.baseline != "median" else median_row(reference_rows(load_again(run).splits))
        attributions = integrated_gradients(run, rows, baseline, score)
        maps, notes = attributions.inputs[name].sum(-1), (_missing_text(attributions.missing), *notes)
    return Reasons(method, "picture", score.texts, values=maps.numpy(), pictures=_shown(pictures), notes=tuple(notes))


def _shown(pictures: np.ndarray) -> np.ndarray:
    """Return pictures with values from 0 to 1: bytes as they are, numbers between their smallest and largest."""
    if pictures.dtype == np.uint8:
        return pictures / np.float32(255)
    low, high = float(pictures.min()), float(pictures.max())
    return ((pictures - low) / ((high - low) or 1.0)).astype(np.float32)


def _of_words(run: LoadedRun, rows: MemorySplit, score: Score, notes: Sequence[str]) -> Reasons:
    words = occluded_words(run, _texts(rows), score)
    return Reasons("occlusion", "text", score.texts, words=tuple(map(tuple, words)), notes=tuple(notes))


def _texts(rows: MemorySplit) -> list[str]:
    """Return the texts of rows, from the one raw column that their input is made of."""
    table = table_of(rows)
    assert rows.origin is not None
    (column,) = {name for (section, _), each in rows.origin.columns.items() if section == "inputs" for name in each}
    return [str(text) for text in table.text(column)]


def _of_gradients(
    run: LoadedRun, rows: MemorySplit, score: Score, kind: Kind, name: str, question: Question, notes: Sequence[str]
) -> Reasons:
    if kind == "text":
        attributions = integrated_gradients(run, rows, None, score)
        words = _words_of_places(run, rows, name, attributions.inputs[name])
        notes = (_missing_text(attributions.missing), *notes)
        return Reasons("integrated_gradients", "text", score.texts, words=words, notes=tuple(notes))
    reference = reference_rows(load_again(run).splits)
    baseline = None if question.baseline == "zeros" else median_row(reference)
    attributions = integrated_gradients(run, rows, baseline, score)
    groups = column_groups(run, reference)
    values = by_column(attributions.inputs, groups)
    start = "a row of zeros" if baseline is None else "the median of the training rows"
    notes = [f"shares in the difference from {start}; {_missing_text(attributions.missing)}", *notes]
    if len(attributions.inputs) > 1:
        sizes = {key: float(each.abs().sum()) for key, each in attributions.inputs.items()}
        shares = (f"{key} {size / (sum(sizes.values()) or 1):.0%}" for key, size in sizes.items())
        notes.append(f"shares of the inputs: {', '.join(shares)}")
    if kind == "series":
        own = attributions.inputs[name]
        masks = [group.places[name].expand(own.shape[1:]) for group in groups]
        steps = np.stack([(own * mask).sum(-1).numpy() for mask in masks], -1)
        return Reasons("integrated_gradients", "series", score.texts, columns=tuple(g.name for g in groups),
                       values=steps, notes=tuple(notes))  # fmt: skip
    cells = _cells(rows, [group.columns for group in groups])
    return Reasons("integrated_gradients", "columns", score.texts, columns=tuple(group.name for group in groups),
                   values=values, cells=cells, notes=tuple(notes))  # fmt: skip


def _words_of_places(
    run: LoadedRun, rows: MemorySplit, name: str, attributions: Tensor
) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Return the vocabulary's words of each row with their attributions; places without a word are left out."""
    numbers, field = rows.inputs[name], run.stages.facts.inputs[name]
    if field.words is None or attributions.shape != numbers.shape:
        raise ConfigError("integrated gradients: the words' places are not known", hint="--method occlusion")
    pairs = zip(numbers.tolist(), attributions.tolist(), strict=True)
    return tuple(
        tuple((field.words[n] or "[UNK]", value) for n, value in zip(*pair, strict=True) if n) for pair in pairs
    )


def _cells(rows: MemorySplit, groups: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    table = table_of(rows)
    texts = {name: table.text(name) if name in table.files else in_memory(table.column(name)) for each in groups
             for name in each}  # fmt: skip

    def cell(name: str, row: int) -> str:
        value = texts[name][row]
        return (
            f"{value:.5g}" if isinstance(value, float | np.floating) else str(value) if np.ndim(value) == 0 else "..."
        )

    return tuple(tuple(", ".join(cell(name, row) for name in each) for each in groups) for row in range(rows.rows))


def _missing_text(share: float) -> str:
    return f"{share:.1%} of it is missing from the sum"
