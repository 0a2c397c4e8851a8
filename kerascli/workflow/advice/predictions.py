"""Advice check of losses that get another kind of predictions than they take, such as probabilities for logits."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from kerascli.foundation.errors import Fault, Path, Related
from kerascli.language.expressions import walk
from kerascli.language.expressions.tree import Call, Literal, Name
from kerascli.layers.expressions.base import ExpressionLayer
from kerascli.losses.base import Loss
from kerascli.losses.expr import Expr as LossFormula
from kerascli.model.runtime.built import Built
from kerascli.ops.expression import expression
from kerascli.workflow.advice.case import Case, warning
from kerascli.workflow.advice.tensor_kinds import NEGATIVE, TensorKind, Tracer

_PROBABILITIES = {"crossentropy", "categorical_generalized_cross_entropy", "kl_divergence", "dice", "tversky"}
_LOGITS = {"ctc"}
"""Names of losses that take logits and have no argument `from_logits`; those in `_PROBABILITIES` take probabilities."""

_SIGMOIDS = frozenset({"sigmoid", "hard_sigmoid", "sparse_sigmoid"})
_SOFTMAXES = frozenset({"softmax", "sparsemax"})
_UNFIT: Mapping[str, tuple[frozenset[str], str, str]] = {
    **dict.fromkeys(
        ("categorical_crossentropy", "sparse_categorical_crossentropy", "categorical_focal_crossentropy",
         "categorical_generalized_cross_entropy", "crossentropy"),
        (_SIGMOIDS, "probabilities of classes, which sum to 1",
         "use activation: softmax; for labels that do not exclude each other, binary_crossentropy"),
    ),
    **dict.fromkeys(
        ("binary_crossentropy", "binary_focal_crossentropy"),
        (_SOFTMAXES, "an independent probability of each label",
         "use activation: sigmoid; for classes that exclude each other, categorical_crossentropy"),
    ),
    **dict.fromkeys(
        ("hinge", "squared_hinge", "categorical_hinge"),
        (_SIGMOIDS | _SOFTMAXES, "scores, which a margin of 1 separates", "remove the activation, or use tanh"),
    ),
    "poisson": (NEGATIVE, "expected counts, which are positive", "use activation: softplus, or exponential"),
}  # fmt: skip
"""Mapping from loss to the activations whose results do not suit it, what it takes, and what to write."""

_OPS = ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy")


class _Use(NamedTuple):
    """Loss in a config: its config path, and the name of the tensor that it takes as predictions."""

    loss: str
    logits: bool | None
    """True if the loss takes logits, False if it takes probabilities, None if it takes neither."""
    tensor: str
    path: Path
    settable: bool = True
    """True if the loss has the argument `from_logits`."""


def logits(case: Case) -> Iterator[Fault]:
    """Yield a warning for each loss that takes logits but gets probabilities, or the reverse.

    Losses whose predictions need another range, such as `poisson`, are checked, too.
    """
    yield from _unsuited(_uses_of_compile(case), case.spec.built)
    yield from _unsuited(_formulas(case.spec.built), case.spec.built)
    train_step, number = case.spec.train_step, 0
    for each in train_step.passes if train_step is not None else ():
        yield from _unsuited(_formulas(each.built), each.built)
        for update in each.updates:
            for term in update.terms:
                path = ("fit", "train_step", number, "loss", term.name, "loss")
                if term.loss is not None and term.of is not None:
                    yield from _unsuited(_uses_of(term.loss, term.of.y_pred, path), each.built)
            number += 1


def _unsuited(uses: Iterator[_Use], built: Built) -> Iterator[Fault]:
    tracer = Tracer(built.model.nodes)
    for use in uses:
        made = tracer.of(use.tensor)
        if made is None:
            continue
        unfit, _, _ = _UNFIT.get(use.loss, (frozenset[str](), "", ""))
        if use.logits is not None and use.logits == made.is_probabilities:
            yield _fault(use, made)
        elif not use.logits and made.word in unfit and _is_meant(use, made, built):
            yield _fault(use, made, unfit=True)


def _is_meant(use: _Use, made: TensorKind, built: Built) -> bool:
    """Return False for a single output, and for a softmax of two, which a binary cross-entropy takes as it is."""
    shape = built.specs[use.tensor].shape if use.tensor in built.specs else ()
    return use.logits is None or (bool(shape) and shape[-1] not in ({1, 2} if made.word in _SOFTMAXES else {1}))


def _fault(use: _Use, made: TensorKind, *, unfit: bool = False) -> Fault:
    what = "linear (it has no activation)" if made.word == "linear" else f"the result of {made.word}"
    suited = "sigmoid" if use.loss.startswith(("binary", "dice", "tversky")) else "softmax"
    if unfit:
        _, takes, hint = _UNFIT[use.loss]
        text = f"'{use.loss}' takes {takes}, but '{use.tensor}' is {what}"
    elif use.logits:
        setting = " with from_logits: true" if use.settable else ""
        text = f"'{use.loss}'{setting} takes logits and applies {suited} itself, but '{use.tensor}' is {what} already"
        hint = f"remove {'from_logits or ' if use.settable else ''}the activation"
    else:
        text = f"'{use.loss}' takes probabilities, but '{use.tensor}' is {what}"
        other = " or set from_logits: true in the loss" if use.settable and made.word == "linear" else ""
        hint = f"use activation: {suited},{other}" if other else f"use activation: {suited}"
    related = Related(f"'{made.node.weights_name}' computes it", made.node.path)
    return replace(warning(text, use.path, hint, key=False), related=(related,))


def _uses_of_compile(case: Case) -> Iterator[_Use]:
    written = case.config.document.at(("compile", "loss"))
    for pair in case.spec.pairs:
        path: Path = ("compile", "loss")
        if isinstance(written, dict) and pair.output in written:
            path = (*path, pair.output)
        elif isinstance(written, list):
            path = (*path, min(case.spec.model.outputs.index(pair.output), len(written) - 1))
        if pair.loss is not None:
            yield from _uses_of(pair.loss, pair.output, path)


def _uses_of(loss: Loss, tensor: str, path: Path) -> Iterator[_Use]:
    name, from_logits = loss.component_name, getattr(loss, "from_logits", None)
    if isinstance(loss, LossFormula):
        yield from (use for use in _calls(loss.value, path, {"y_pred": tensor}) if use.tensor == tensor)
    elif from_logits is not None or name in _PROBABILITIES or name in _LOGITS:
        yield _Use(name, from_logits is True or name in _LOGITS, tensor, path, settable=from_logits is not None)
    elif name in _UNFIT:
        yield _Use(name, None, tensor, path, settable=False)


def _formulas(built: Built) -> Iterator[_Use]:
    """Yield the cross-entropies in the formulas of a model's layers `add_loss`, `add_metric` and `expr`."""
    for node in built.model.nodes:
        if isinstance(node.layer, ExpressionLayer):
            yield from _calls(node.layer.value, node.path, dict(zip(node.layer.names(), node.inputs, strict=False)))


def _calls(text: str, path: Path, names: dict[str, str]) -> Iterator[_Use]:
    """Yield the cross-entropies that a formula calls with a tensor of the model as their predictions."""
    for call in walk(expression(text).tree):
        if isinstance(call, Call) and call.function in _OPS:
            arguments = dict(zip(("target", "output", "from_logits"), call.arguments, strict=False)) | call.named
            output, from_logits = arguments.get("output"), arguments.get("from_logits", Literal(0, 0, False))
            if isinstance(output, Name) and isinstance(from_logits, Literal):
                yield _Use(call.function, from_logits.value is True, names.get(output.name, output.name), path)
