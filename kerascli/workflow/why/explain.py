"""Find the reasons for a model's predictions by the method that fits its inputs: columns, pixels, words, time steps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from kerascli.data.base import SPLITS
from kerascli.data.batches.rows import MemorySplit, Split
from kerascli.foundation.errors import ConfigError, one_of, safe_text
from kerascli.report.reasons import Kind, Method, Reason, Reasons
from kerascli.runs.evaluations import StoredEvaluation, evaluations
from kerascli.workflow.evaluation.facts import identity
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.memory import memory_for_batches
from kerascli.workflow.rows.command_rows import chosen_rows, load_again
from kerascli.workflow.why.by_columns import (
    input_columns,
    median_row,
    permutation_importance,
    reasons_by_column,
    reference_rows,
    staged_inputs,
    table_of,
)
from kerascli.workflow.why.methods import grad_cam, integrated_gradients, occluded_pictures, occluded_words
from kerascli.workflow.why.score import Score, predictions, score_of

_METHODS: dict[Kind, tuple[Method, ...]] = {
    "columns": ("integrated_gradients", "permutation"), "series": ("integrated_gradients", "permutation"),
    "picture": ("grad_cam", "occlusion", "integrated_gradients", "permutation"),
    "text": ("occlusion", "integrated_gradients", "permutation"),
}  # fmt: skip
"""Methods of each kind of inputs; the first is the default for rows, and permutation that for a split of columns."""
_OF_ROWS = ("texts", "rows", "class_name", "output", "worst")
_OPTIONS: dict[Method, tuple[str, ...]] = {
    "permutation": ("metric", "repeats"), "integrated_gradients": (*_OF_ROWS, "baseline"),
    "grad_cam": (*_OF_ROWS, "layer"), "occlusion": _OF_ROWS,
}  # fmt: skip
"""Options that each method uses; one that it does not use is refused."""
_FLAGS = {"class_name": "class", "texts": "text"}
_FORMS: dict[Kind, tuple[str, ...]] = {"picture": (".csv",), "text": (".png", ".svg", ".pdf")}
"""Formats of files that reasons of rows do not have."""
_ZEROS: dict[Kind, str] = {"picture": "a black picture", "text": "padding"}
"""Names of inputs of zeros, which are the default baseline of these kinds of inputs."""


@dataclass(frozen=True, slots=True)
class Question:
    """Arguments of the command `why`: the rows to explain, the method, and the output and class that are explained."""

    what: Sequence[str] = ()
    texts: Sequence[str] = ()
    method: Method | None = None
    rows: int | None = None
    """Maximum number of rows of methods that explain each row; None: 20."""
    output: str | None = None
    class_name: str | None = None
    baseline: Literal["median", "zeros"] | None = None
    layer: str | None = None
    metric: str | None = None
    """Metric of `permutation`; None: the loss."""
    repeats: int | None = None
    """Number of shuffles of `permutation`; None: 5."""
    worst: bool = False
    """Explain the rows with the largest losses that an evaluation of the rows has kept."""
    checkpoint: str | None = None
    data: Path | None = None
    """Place of the run's data, which is refused if it is not read."""
    form: str = ""
    """Suffix of the file to write."""


@memory_for_batches()
def explain(run: LoadedRun, question: Question) -> Reasons:
    """Return the reasons for a run's predictions. Raises KerasCliError; what has no answer is refused by name."""
    kind, name = _kind(run)
    method = _method(kind, question)
    source, rows, splits = chosen_rows(run, question.what, targets=method == "permutation", texts=question.texts)
    if question.data and not splits and not _reads_training_rows(method, kind, question.baseline):
        text = f"--data has no effect: rows are given, and {method} reads no others"
        raise ConfigError(text, hint="leave it out")
    if method == "permutation":
        return permutation_importance(run, rows, question.metric or "loss", question.repeats or 5)
    stored = _worst(run, rows, question.checkpoint) if question.worst else None
    numbers = [*range(rows.rows)] if stored is None else [row["row"] - 1 for row in stored.facts["worst"]]
    few = rows.read(np.array(numbers[: question.rows or 20], np.int64))
    score = score_of(run, predictions(run, few), question.output, question.class_name)
    explained, notes = _explained(run, few, kind, name, method, score, question, splits)
    if few.rows < len(numbers):
        which = "rows with the largest losses" if question.worst else "rows"
        notes.append(f"the first {few.rows} of {len(numbers):,} {which} of {safe_text(source)}; --rows N explains more")
    reasons = [replace(each, row=number + 1, prediction=text)
               for each, number, text in zip(explained, numbers, score.texts, strict=False)]  # fmt: skip
    return Reasons(method, kind, reasons, notes, evaluation=stored)


def _method(kind: Kind, question: Question) -> Method:
    """Return the method of a question, or the default of the kind of inputs. Raises ConfigError if it is none of the
    kind's, or does not use an option: none may be ignored."""
    what, methods = question.what, _METHODS[kind]
    of_rows = kind in _ZEROS or question.texts or question.worst or (what and (len(what) > 1 or what[0] not in SPLITS))
    method = question.method or (methods[0] if of_rows else "permutation")
    if method not in methods:
        raise ConfigError(f"--method {method}: not for inputs of {kind}", hint=f"one of {', '.join(methods)}")
    _refuse_idle(kind, method, question)
    return method


def _refuse_idle(kind: Kind, method: Method, question: Question) -> None:
    """Raise ConfigError for an option that the method does not use, or a form of file that the reasons do not have."""
    idle = (name for options in _OPTIONS.values() for name in options if name not in _OPTIONS[method])
    if (name := next((name for name in idle if getattr(question, name)), None)) is not None:
        able = [each for each in _METHODS[kind] if name in _OPTIONS[each]]
        hint = f"it goes with --method {one_of(able)}" if able else f"no method for inputs of {kind} uses it"
        raise ConfigError(f"--{_FLAGS.get(name, name)} has no effect on {method}", hint=hint)
    if method != "permutation" and question.form in _FORMS.get(kind, ()):
        raise ConfigError(f"-o: reasons of {kind} have no form {question.form}", hint="-o why.html takes all")


def _reads_training_rows(method: Method, kind: Kind, baseline: str | None) -> bool:
    """Return True if a method also reads training rows: for their median, or to see which columns inputs depend on."""
    return method == "integrated_gradients" and (kind not in _ZEROS or baseline == "median")


def _kind(run: LoadedRun) -> tuple[Kind, str]:
    """Return (kind of a run's inputs, name of its first input); models of several inputs are explained by columns.

    Raises ConfigError if the model is stateful, or has no inputs.
    """
    if any(weight.spec.is_state for weight in run.experiment.weights):
        raise ConfigError("why: the model is stateful: a row's prediction depends on the rows before it")
    if not run.experiment.spec.model.inputs:
        raise ConfigError("why: a model of weights alone has no inputs to explain an answer by")
    (first, spec), *others = ((each.name, each.spec) for each in run.experiment.spec.model.inputs)
    pipeline = None if run.data is None else run.data.inputs.get(first)
    if others:
        return "columns", first
    if spec.rank == 3 and spec.shape[-1:] in ((1,), (3,), (4,)):
        return "picture", first
    if pipeline is not None and any(step.transform.component_name == "text_vectorization" for step in pipeline.steps):
        return "text", first
    return ("series" if spec.rank == 2 else "columns"), first


def _worst(run: LoadedRun, rows: Split, checkpoint: str | None) -> StoredEvaluation:
    """Return the evaluation of rows by the run's weights that has kept its worst rows with their cells, which reasons
    name. Raises ConfigError if there is none."""
    own = identity(run, rows, checkpoint)
    for stored in evaluations(run.record):
        if own.items() <= stored.facts.items() and any("cells" in row for row in stored.facts["worst"]):
            return stored
    text = "--worst: no evaluation of these rows by these weights has kept its worst rows with their cells"
    raise ConfigError(text, hint="kerascli evaluate RUN WHAT --worst 20 --cells keeps them")


def _explained(
    run: LoadedRun, rows: MemorySplit, kind: Kind, name: str, method: Method, score: Score, question: Question,
    splits: Mapping[str, Split],
) -> tuple[list[Reason], list[str]]:  # fmt: skip
    """Return (reasons of rows, notes) by a method that explains each row; `splits` are those that are loaded."""
    if method == "integrated_gradients":
        return _by_gradients(run, rows, kind, name, score, question.baseline, splits)
    if kind == "text":
        [column] = input_columns(rows)
        texts = [str(text) for text in table_of(rows).text(column)]
        return [Reason(values, words) for words, values in occluded_words(run, texts, score)], []
    if method == "occlusion":
        return _of_pictures(run, rows, name, occluded_pictures(run, rows, name, score)), []
    layer, maps = grad_cam(run, rows, question.layer, score)
    return _of_pictures(run, rows, name, maps), [f"output of the layer {layer}"]


def _by_gradients(
    run: LoadedRun, rows: MemorySplit, kind: Kind, name: str, score: Score, baseline: str | None,
    splits: Mapping[str, Split],
) -> tuple[list[Reason], list[str]]:  # fmt: skip
    """Return (reasons of rows by integrated gradients, notes)."""
    if kind == "text" and baseline == "median":
        raise ConfigError("--baseline median: texts have no median", hint="--baseline zeros is padding")
    is_median, reference = baseline == "median" or (baseline is None and kind not in _ZEROS), rows
    if _reads_training_rows("integrated_gradients", kind, baseline):
        table_of(rows)  # raises if there are no raw columns
        reference = reference_rows(splits or load_again(run).splits)
    start = median_row(run, reference) if is_median else None
    attributions, missing = integrated_gradients(run, rows, start, score)
    text = "the median of the training rows" if is_median else _ZEROS.get(kind, "zeros")
    notes = [f"shares in the difference from {text}; {missing:.1%} of it is missing from their sum"]
    if kind == "picture":
        return _of_pictures(run, rows, name, attributions[name].sum(-1)), notes
    if kind == "text":
        return _of_words(run, rows, name, attributions[name].numpy()), notes
    steps = attributions[name].shape[1] if kind == "series" else None
    return reasons_by_column(run, rows, attributions, reference, steps), [*notes, *_input_shares(attributions)]


def _input_shares(attributions: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield a text with the share of each of several inputs in the sizes of all attributions."""
    sizes = {name: float(each.abs().sum()) for name, each in attributions.items()}
    if len(sizes) > 1:
        shares = (f"{name} {size / (sum(sizes.values()) or 1):.0%}" for name, size in sizes.items())
        yield f"shares of the inputs: {', '.join(shares)}"


def _of_pictures(run: LoadedRun, rows: MemorySplit, name: str, maps: Tensor) -> list[Reason]:
    """Return maps (rows, height, width) with their pictures, whose size they get, in values from 0 to 1: bytes as they
    are, numbers between their smallest and largest."""
    pictures = staged_inputs(run, rows)[name].numpy()
    maps = F.interpolate(maps[:, None], pictures.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
    low, high = (0.0, 255.0) if pictures.dtype == np.uint8 else (float(pictures.min()), float(pictures.max()))
    shown = ((pictures - low) / ((high - low) or 1.0)).astype(np.float32)
    return [Reason(values, picture=picture) for values, picture in zip(maps.numpy(), shown, strict=True)]


def _of_words(run: LoadedRun, rows: MemorySplit, name: str, attributions: np.ndarray) -> list[Reason]:
    """Return the vocabulary's words of each row with their attributions; places without a word are left out."""
    words = run.stages.facts.inputs[name].words
    if words is None:
        raise ConfigError("integrated gradients: the words' places are not known", hint="--method occlusion")
    pairs = zip(rows.inputs[name], attributions, strict=True)
    return [Reason(values[own != 0], [words[number] or "[UNK]" for number in own[own != 0]]) for own, values in pairs]
