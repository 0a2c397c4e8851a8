"""Alignment of the ranks of targets, predictions and weights, so that (N,) and (N, 1) never broadcast to (N, N)."""

from torch import Tensor

from kerascli.foundation.errors import DataError
from kerascli.foundation.shapes import TensorSpec
from kerascli.language.component import Component


def match_ranks(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Align the ranks of two tensors, one with an extra last axis of 1: (N,) gets this axis too, else it is removed."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b.unsqueeze(-1)) if b.ndim == 1 else (a.squeeze(-1), b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (a.unsqueeze(-1), b) if a.ndim == 1 else (a, b.squeeze(-1))
    return a, b


def with_steps(y_true: Tensor, y_pred: Tensor, weight_rank: int) -> tuple[Tensor, Tensor]:
    """Return targets and predictions; if steps have weights, targets (N, T) of predictions (N, T, 1) get a last axis.

    `weight_rank` is the number of axes of the weights and masks.
    """
    if y_pred.shape[-1:] == (1,) and y_true.ndim == y_pred.ndim - 1 == weight_rank:
        return y_true.unsqueeze(-1), y_pred
    return y_true, y_pred


def meet(y_true: Tensor, y_pred: Tensor, weight_rank: int = 1) -> tuple[Tensor, Tensor]:
    """Return targets and predictions with equal rank: a last axis of 1 that only one of them has is added to the other,
    or removed."""
    return match_ranks(*with_steps(y_true, y_pred, weight_rank))


def aligned_pair(y_true: Tensor, y_pred: Tensor, weight_rank: int = 1) -> tuple[Tensor, Tensor]:
    """Return targets and predictions with one common shape (N, *, F); if both are (N,), it is (N, 1).

    Ranks are aligned by `meet`. Raises DataError if the shapes differ.
    """
    y_true, y_pred = meet(y_true, y_pred, weight_rank)
    if y_true.shape != y_pred.shape:
        shapes = f"{tuple(y_true.shape)} do not match predictions of shape {tuple(y_pred.shape)}"
        raise DataError(f"targets of shape {shapes}")
    return (y_true.unsqueeze(-1), y_pred.unsqueeze(-1)) if y_pred.ndim == 1 else (y_true, y_pred)


def runs_along_rows(component: object, output: TensorSpec) -> bool:
    """Return True if the `axis` of a loss or metric names the batch axis of an output, also from the end."""
    rank = max(len(output.whole), 2)  # an output of shape (rows,) becomes (rows, 1)
    return any(axis % rank == 0 for axis in named_axes(component) or ())


def named_axes(component: object) -> tuple[int, ...] | None:
    """Return the argument `axis` of a loss or metric as a tuple; None if it is null, or if there is none."""
    axis = getattr(component, "axis", None)
    return (axis,) if isinstance(axis, int) else axis


def axes_fault(component: Component, output: TensorSpec) -> str | None:
    """Return an error message if the `axis` of a loss or metric is wrong; else None.

    Each must be an axis of the output, given once.
    """
    axes = named_axes(component) or ()
    rank = max(len(output.whole), 2)  # an output of shape (rows,) becomes (rows, 1)
    name = component.component_name
    for each in axes:
        if not -rank <= each < rank:
            return f"'{name}': axis {each} is none of the {rank} axes of the output {output}"
    if len({each % rank for each in axes}) < len(axes):
        return f"'{name}': axis {list(axes)} names an axis of the output {output} twice"
    return None


def axes_of(*weights: Tensor | None) -> int:
    """Return the maximum rank of the given weights and masks; 1 if all are None."""
    return max((weight.ndim for weight in weights if weight is not None), default=1)


def spread(weight: Tensor, values: Tensor, what: str) -> Tensor:
    """Return `weight` with trailing axes of 1, so that it broadcasts along the leading axes of `values`.

    Raises DataError if the leading axes differ.
    """
    fits = weight.ndim <= values.ndim and all(w in (1, v) for w, v in zip(weight.shape, values.shape, strict=False))
    if not fits:
        raise DataError(f"{what} of shape {tuple(weight.shape)} do not fit values of shape {tuple(values.shape)}")
    return weight.reshape(*weight.shape, *[1] * (values.ndim - weight.ndim))
