"""Find the reasons for a model's predictions by the method that fits its inputs: columns, pixels, words, time steps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from kerascli.callbacks.samples import image_shape
from kerascli.data.base import SPLITS
from kerascli.data.batches.rows import MemorySplit, Split, raw_table
from kerascli.foundation.errors import ConfigError, one_of, safe_text
from kerascli.report.reasons import Kind, Method, Reason, Reasons
from kerascli.runs.evaluations import StoredEvaluation, evaluations
from kerascli.workflow.evaluation.facts import identity
from kerascli.workflow.loaded import LoadedRun
from kerascli.workflow.memory import memory_for_batches
from kerascli.workflow.rows.command_rows import chosen_rows, load_again
from kerascli.workflow.why import by_columns, methods
from kerascli.workflow.why.score import Score, score_of

_METHODS: dict[Kind, tuple[Method, ...]] = {
    "columns": ("integrated_gradients", "permutation"), "series": ("integrated_gradients", "permutation"),
    "picture": ("grad_cam", "integrated_gradients", "occlusion", "permutation"),
    "text": ("occlusion", "integrated_gradients", "permutation"),
}  # fmt: skip
"""Methods of each kind of inputs, the default first; that for a split of columns is permutation."""
_OF_ROWS = ("text", "rows", "class_name", "output", "worst")
_OPTIONS: dict[Method, tuple[str, ...]] = {
    "permutation": ("metric",), "integrated_gradients": (*_OF_ROWS, "baseline"),
    "grad_cam": (*_OF_ROWS, "layer"), "occlusion": _OF_ROWS,
}  # fmt: skip
"""Options that each method uses; one that it does not use is refused."""
_FORMS = (".html", ".csv", ".png")
_NO_FORM: dict[Kind, str] = {"picture": ".csv", "text": ".png"}
"""Format of files that reasons of rows do not have."""
_ZEROS: dict[Kind, str] = {"picture": "a black picture", "text": "padding"}
"""Names of inputs of zeros, which are the default baseline of these kinds of inputs."""
_TRAINING_ROWS = 1000
"""Maximum number of training rows, at equal distances, that integrated gradients read."""


@dataclass(frozen=True, slots=True)
class Question:
    """Arguments of the command `why`: the rows to explain, the method, and the output and class that are explained."""

    what: Sequence[str] = ()
    text: Sequence[str] = ()
    method: Method | None = None
    rows: int | None = None
    """Maximum number of rows of methods that explain each row; None: 20."""
    output: str | None = None
    class_name: str | None = None
    baseline: Literal["median", "zeros"] | None = None
    layer: str | None = None
    metric: str | None = None
    """Metric of `permutation`; None: the loss."""
    worst: bool = False
    """Explain the rows with the largest losses that an evaluation of the rows has kept."""
    checkpoint: str | None = None
    data: Path | None = None
    """Place of the run's data, which is refused if it is not read."""
    form: str | None = None
    """Suffix of the file to write; None: none is written."""


@memory_for_batches()
def explain(run: LoadedRun, question: Question) -> Reasons:
    """Return the reasons for a run's predictions. Raises KerasCliError; what has no answer is refused by name."""
    kind = _kind(run)
    method = _method(run, kind, question)
    reads_more = method == "integrated_gradients" and (kind not in _ZEROS or question.baseline == "median")
    source, rows, splits = chosen_rows(run, question.what, targets=method == "permutation", texts=question.text)
    if question.data and not splits and not reads_more:
        text = f"--data has no effect: rows are given, and {method} reads no others"
        raise ConfigError(text, hint="leave it out")
    if method == "permutation":
        return by_columns.permutation_importance(run, rows, question.metric)
    noun, numbers, stored = _chosen(run, rows, question)
    few = training = rows.read(np.array(numbers[: question.rows or 20], np.int64))
    score = score_of(run, few, question.output, question.class_name)
    if reads_more:
        split = (splits or load_again(run).splits)["train"]
        training = split.read(np.linspace(0, split.rows - 1, min(_TRAINING_ROWS, split.rows)).astype(np.int64))
    notes, shares, name = list[str](), dict[str, Tensor](), run.experiment.spec.model.inputs[0].name
    if method == "integrated_gradients":
        shares, notes = _by_gradients(score, kind, question.baseline, training)
    if kind == "picture":
        explained = _with_maps(score, name, method, question.layer, shares, notes)
    elif kind == "text":
        explained = _with_words(score, name, shares)
    else:
        explained = by_columns.reasons_by_column(run, few, training, shares, windows=kind == "series")
    reasons = [replace(each, row=number + 1, prediction=text)
               for each, number, text in zip(explained, numbers, score.texts, strict=False)]  # fmt: skip
    if few.rows < len(numbers):
        notes.append(f"the first {few.rows} of {len(numbers):,} {noun} of {safe_text(source)}; --rows N explains more")
    return Reasons(method, kind, reasons, notes, evaluation=stored)


def _chosen(run: LoadedRun, rows: Split, question: Question) -> tuple[str, list[int], StoredEvaluation | None]:
    """Return (noun for the rows to explain, their indices, evaluation of the rows by the run's weights that has kept
    these as its worst rows, with the cells that reasons name). Raises ConfigError if no evaluation has."""
    if not question.worst:
        return "rows", [*range(rows.rows)], None
    own = identity(run, rows, question.checkpoint)
    for stored in evaluations(run.record):
        if own.items() <= stored.facts.items() and any("cells" in row for row in stored.facts["worst"]):
            worst = [row["row"] - 1 for row in stored.facts["worst"]]
            return "rows with the largest losses", worst, stored
    text = "--worst: no evaluation of these rows by these weights has kept its worst rows with their cells"
    raise ConfigError(text, hint="kerascli evaluate RUN WHAT --worst 20 --cells keeps them")


def _by_gradients(
    score: Score, kind: Kind, baseline: str | None, training: MemorySplit
) -> tuple[dict[str, Tensor], list[str]]:
    """Return (integrated gradients by input, notes); the baseline is the median of training rows, or zeros."""
    if kind == "text" and baseline == "median":
        raise ConfigError("--baseline median: texts have no median", hint="--baseline zeros is padding")
    if (baseline or ("zeros" if kind in _ZEROS else "median")) == "median":
        start, text = by_columns.median_row(score.run, training), "the median of the training rows"
    else:
        zeros = {name: np.zeros_like(values[:1]) for name, values in score.rows.inputs.items()}
        start, text = MemorySplit(zeros, {}, {}, 1), _ZEROS.get(kind, "zeros")
    shares, missing = methods.integrated_gradients(score, start)
    notes = [f"shares in the difference from {text}; {missing:.1%} of it is missing from their sum"]
    sizes = {name: float(each.abs().sum()) for name, each in shares.items()}
    if len(sizes) > 1:
        parts = (f"{name} {size / (sum(sizes.values()) or 1):.0%}" for name, size in sizes.items())
        notes.append(f"shares of the inputs: {', '.join(parts)}")
    return shares, notes


def _with_maps(
    score: Score, name: str, method: Method, layer: str | None, shares: Mapping[str, Tensor], notes: list[str]
) -> Iterator[Reason]:
    """Yield maps with their pictures, whose size they get, in values from 0, the smallest, to 1, the largest."""
    pictures = by_columns.staged_inputs(score.run, score.rows)[name]
    pictures = pictures.reshape(score.rows.rows, *(_flattened(score.run) or pictures.shape[1:]))
    if method == "integrated_gradients":
        maps = shares[name].reshape(pictures.shape).sum(-1)
    elif method == "occlusion":
        maps = methods.occluded_pictures(score, name, pictures.shape[1:])
    else:
        layer, maps = methods.grad_cam(score, layer)
        notes.append(f"output of the layer {layer}")
    maps = F.interpolate(maps[:, None], pictures.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
    low, high = pictures.float().aminmax()
    shown = (pictures - low) / (high - low).clamp(min=1e-9)
    yield from (Reason(each.numpy(), picture=own.numpy()) for each, own in zip(maps, shown, strict=True))


def _with_words(score: Score, name: str, shares: Mapping[str, Tensor]) -> Iterator[Reason]:
    """Yield words with their shares: those of a text or, of integrated gradients, of the vocabulary; places without a
    word are left out."""
    if not shares:
        [column] = by_columns.input_columns(score.rows)
        yield from methods.occluded_words(score, list(map(str, raw_table(score.rows, "why").text(column))))
        return
    words = score.run.stages.facts.inputs[name].words
    is_vector = score.rows.inputs[name].dtype.kind != "i"  # over the vocabulary, not of indices in it
    if words is None:
        raise ConfigError("integrated gradients: the words' places are not known", hint="--method occlusion")
    for own, values in zip(score.rows.inputs[name], shares[name].numpy(), strict=True):
        (at,) = own.nonzero()
        numbers = at if is_vector else own[at]
        yield Reason(values[at], [words[number] or "[UNK]" for number in numbers])


def _kind(run: LoadedRun) -> Kind:
    """Return the kind of a run's inputs; models of several inputs are explained by columns. Raises ConfigError if the
    model is stateful, or has no inputs."""
    if any(weight.spec.is_state for weight in run.experiment.weights):
        raise ConfigError("why: the model is stateful: a row's prediction depends on the rows before it")
    if not run.experiment.spec.model.inputs:
        raise ConfigError("why: a model of weights alone has no inputs to explain an answer by")
    (name, spec), *others = ((each.name, each.spec) for each in run.experiment.spec.model.inputs)
    if others:
        return "columns"
    if _flattened(run) or (spec.rank == 3 and spec.shape[-1] in (1, 3, 4)):
        return "picture"
    pipeline = run.data and run.data.inputs.get(name)
    if pipeline and any(step.transform.component_name == "text_vectorization" for step in pipeline.steps):
        return "text"
    return "series" if spec.rank == 2 else "columns"


def _flattened(run: LoadedRun) -> tuple[int, int, int] | None:
    """Return the shape (height, width, channels) of the pictures of a column that a model's first input has flattened,
    or None."""
    [first, *_] = run.experiment.spec.model.inputs
    pipeline = run.data and run.data.inputs.get(first.name)
    shapes = [run.raw_fields[column].shape for column in (pipeline.columns if pipeline else ())]
    is_flattened = first.spec.rank == 1 and len(shapes) == 1 and len(shapes[0]) > 1
    return image_shape(first.spec.shape, shapes[0]) if is_flattened else None


def _method(run: LoadedRun, kind: Kind, question: Question) -> Method:
    """Return the method of a question, or the default of the kind of inputs: for a split of columns permutation, unless
    an option of the other methods is given.

    Raises ConfigError if the method is none of the kind's, or does not use an option: none may be ignored.
    """
    is_split = not question.what or (len(question.what) == 1 and question.what[0] in SPLITS)
    by_rows = kind in _ZEROS or not is_split or any(getattr(question, name) for name in (*_OF_ROWS, "baseline"))
    method = question.method or (_METHODS[kind][0] if by_rows else "permutation")
    if method == "grad_cam" and not (question.method or question.layer or methods.convolutions(run.experiment.graph)):
        method = "integrated_gradients"
    if method not in _METHODS[kind]:
        raise ConfigError(f"--method {method}: not for inputs of {kind}", hint=f"one of {', '.join(_METHODS[kind])}")
    _refuse_idle(kind, method, question)
    _refuse_arrays(run, kind, method, question)
    return method


def _refuse_arrays(run: LoadedRun, kind: Kind, method: Method, question: Question) -> None:
    """Raise ConfigError if the reasons need columns, and the model takes arrays."""
    if run.row_data is None and (kind not in _ZEROS or method == "permutation" or question.baseline == "median"):
        raise ConfigError(f"why: {method} needs columns of data, and the model takes arrays of its own")


def _refuse_idle(kind: Kind, method: Method, question: Question) -> None:
    """Raise ConfigError for an option that the method does not use, or a form of file that the reasons do not have."""
    idle = (name for options in _OPTIONS.values() for name in options if name not in _OPTIONS[method])
    for name in (name for name in idle if getattr(question, name)):
        able = [each for each in _METHODS[kind] if name in _OPTIONS[each]]
        hint = f"it goes with --method {one_of(able)}" if able else f"no method for inputs of {kind} uses it"
        raise ConfigError(f"--{name.removesuffix('_name')} has no effect on {method}", hint=hint)
    forms = [form for form in _FORMS if method == "permutation" or form != _NO_FORM.get(kind)]
    if question.form not in (None, *forms):
        raise ConfigError(f"-o: reasons of {kind} have no form '{question.form}'", hint=f"one of {', '.join(forms)}")
