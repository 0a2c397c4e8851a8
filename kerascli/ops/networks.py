"""Operations of neural networks: activations, normalization, losses, attention."""

import inspect
import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from kerascli.ops.base import OPS, Axes, Op, Refusal, all_axes, as_float, op
from kerascli.parts.base import ACTIVATIONS, Activation

_EPSILON = 1e-7
_OTHER_DEFAULTS = {"gelu": {"approximate": True}}
"""Mapping from operation to the arguments whose default in keras.ops differs from the activation function's."""
_OF_INTEGERS = {"linear", "relu"}
"""Names of activation functions that keep integers as such; others compute floats."""
_SHORT = 2**13
"""Maximum number of values in a head's key for which torch's fused attention in half precision takes the CPU longer.

Its backward pass took up to five times as long as in float32 (torch 2.13, a processor with AMX).
"""


def _register(cls: type[Activation]) -> None:
    """Register an activation function as an operation, with the activation's fields as arguments."""
    name, other = cls.component_name, _OTHER_DEFAULTS.get(cls.component_name, {})
    parameters = {"x": inspect.Parameter("x", inspect.Parameter.POSITIONAL_ONLY, annotation=Tensor)}
    for key, field in cls.model_fields.items():
        default = other.get(key, inspect.Parameter.empty if field.is_required() else field.default)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters[key] = inspect.Parameter(key, kind, default=default, annotation=field.annotation)

    def call(x: Tensor, *settings: Any) -> Tensor:
        return cls(**dict(zip(cls.model_fields, settings, strict=True)))(x if name in _OF_INTEGERS else as_float(x))

    operation = Op(name, call, (cls.__doc__ or "").strip(), parameters, makes=False, has_several=False)
    OPS.register(operation, ACTIVATIONS.aliases(name))


for _cls in ACTIVATIONS:
    _register(_cls)


def unit(x: Tensor, axes: int | tuple[int, ...], least: float) -> Tensor:
    """Divide `x` by its L2 norm along axes, or by `least` where the norm is below it."""
    wide = x.float() if x.dtype == torch.float16 else x  # float16 lacks the range of squares
    return (x * wide.square().sum(axes, keepdim=True).rsqrt().clamp(max=1 / least)).to(x.dtype)


@op(widens=True)
def normalize(x: Tensor, axis: Axes = -1, order: int = 2, epsilon: float | None = None) -> Tensor:
    """Normalize vectors along axes to unit norm; `order` is the order of the norm."""
    least = _EPSILON if epsilon is None else epsilon
    axes = all_axes(x, axis)
    if order == 2:
        return unit(x, axes, least)
    if order < 1:
        raise Refusal(f"order: expected 1 or more, got {order}")
    return x / torch.linalg.vector_norm(x, order, axes, keepdim=True).clamp(min=least)


@op()
def layer_normalization(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, axis: Axes = -1, epsilon: float | None = None
) -> Tensor:
    """Apply layer normalization along axes: (x - mean) / sqrt(variance + epsilon) * gamma + beta."""
    axes = all_axes(x, axis)
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    y = (x - mean) * (variance + (_EPSILON if epsilon is None else epsilon)).rsqrt()
    y = y if gamma is None else y * _along(gamma, x, axes)
    return y if beta is None else y + _along(beta, x, axes)


@op()
def rms_normalization(x: Tensor, scale: Tensor | None = None, axis: Axes = -1, epsilon: float | None = None) -> Tensor:
    """Apply root mean square normalization along axes: x / sqrt(mean(x ** 2) + epsilon) * scale."""
    axes = all_axes(x, axis)
    y = x * (x.square().mean(axes, keepdim=True) + (_EPSILON if epsilon is None else epsilon)).rsqrt()
    return y if scale is None else y * _along(scale, x, axes)


@op()
def batch_normalization(
    x: Tensor, mean: Tensor, variance: Tensor, axis: int, offset: Tensor | None = None, scale: Tensor | None = None,
    epsilon: float = 1e-3,
) -> Tensor:  # fmt: skip
    """Apply batch normalization with given moments: (x - mean) / sqrt(variance + epsilon) * scale + offset."""
    factor = (variance + epsilon).rsqrt() if scale is None else (variance + epsilon).rsqrt() * scale
    shift = -mean * factor if offset is None else offset - mean * factor
    return x * _along(factor, x, (axis,)) + _along(shift, x, (axis,))


def _along(weight: Tensor, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Reshape `weight`, which has the sizes of `x` along `axes`, so that it broadcasts with `x`."""
    if weight.ndim == x.ndim:
        return weight
    kept = {axis % x.ndim for axis in all_axes(x, axes)}
    return weight.reshape([size if i in kept else 1 for i, size in enumerate(x.shape)])


@op()
def binary_crossentropy(target: Tensor, output: Tensor, from_logits: bool = False) -> Tensor:
    """Compute the binary cross-entropy of each element; outputs are probabilities, or logits with from_logits."""
    output = as_float(output)
    target = target.to(output.dtype)
    if from_logits:
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")
    output = output.clamp(_EPSILON, 1 - _EPSILON)
    return -(target * output.log() + (1 - target) * (1 - output).log())


@op()
def categorical_crossentropy(target: Tensor, output: Tensor, from_logits: bool = False, axis: int = -1) -> Tensor:
    """Compute the cross-entropy of each sample with one-hot targets."""
    if target.shape != output.shape:
        raise Refusal("target and output differ in shape")
    return -(target * _log_probabilities(output, from_logits, axis)).sum(axis)


@op()
def sparse_categorical_crossentropy(
    target: Tensor, output: Tensor, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """Compute the cross-entropy of each sample with integer class labels as targets."""
    if target.ndim < output.ndim:
        target = target.unsqueeze(axis)
    return -torch.take_along_dim(_log_probabilities(output, from_logits, axis), target.long(), axis).squeeze(axis)


@op(widens=True)
def ctc_loss(
    target: Tensor, output: Tensor, target_length: Tensor, output_length: Tensor, mask_index: int = 0
) -> Tensor:
    """Compute the CTC loss per sample of labels (N, L) and logits (N, T, classes); `mask_index` is the blank."""
    if output.is_meta:  # torch cannot infer the shape on the meta device
        return as_float(output)[:, 0, 0]
    log_p = as_float(output).transpose(0, 1).log_softmax(-1)
    lengths = output_length.long(), target_length.long()
    return F.ctc_loss(log_p, target.long(), *lengths, blank=mask_index, reduction="none")


@op()
def ctc_decode(
    inputs: Tensor, sequence_lengths: Tensor, strategy: Literal["greedy"] = "greedy", merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Decode CTC outputs greedily: labels without blanks (1, N, T), padded with -1, and negative scores (N, 1)."""
    scores, labels = as_float(inputs).max(-1)
    steps = torch.arange(inputs.shape[1], device=inputs.device)
    beyond = steps >= sequence_lengths.unsqueeze(-1)
    labels = torch.where(beyond, mask_index, labels)
    if merge_repeated:
        labels = torch.where(F.pad(labels[:, 1:] == labels[:, :-1], (1, 0)), mask_index, labels)
    blank = labels == mask_index
    order = torch.where(blank, inputs.shape[1], steps).argsort(dim=-1, stable=True)  # labels before blanks
    decoded = torch.where(blank, -1, labels).take_along_dim(order, -1).to(torch.int32)
    return decoded.unsqueeze(0), -torch.where(beyond, 0.0, scores).sum(1, keepdim=True)


@op()
def gradient(of: Tensor, at: Tensor) -> Tensor:
    """Compute the gradient of sum(of) with respect to `at`, the name of a node or an input that `of` depends on."""
    if not torch.is_grad_enabled():  # its shape is inferred
        return torch.zeros_like(at)
    if not (of.requires_grad and at.requires_grad):
        raise Refusal("'of' is not differentiable", "of")
    return torch.autograd.grad(of.sum(), at, create_graph=True)[0]


@op()
def psnr(x1: Tensor, x2: Tensor, max_val: Tensor) -> Tensor:
    """Compute the peak signal-to-noise ratio of two images in decibels; `max_val` is the largest possible value."""
    return 20 * max_val.to(as_float(x1).dtype).log10() - 10 * (x1 - x2).square().mean().log10()


def _log_probabilities(output: Tensor, from_logits: bool, axis: int) -> Tensor:
    output = as_float(output)
    if from_logits:
        return output.log_softmax(axis)
    return (output / output.sum(axis, keepdim=True)).clamp(_EPSILON, 1 - _EPSILON).log()


@op(keeps_integers=True)
def dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None, mask: Tensor | None = None,
    scale: float | None = None, is_causal: bool = False,
) -> Tensor:  # fmt: skip
    """Compute scaled dot-product attention, softmax(query @ key^T * scale + bias) @ value, on (N, T, heads, F)."""
    if min(query.ndim, key.ndim, value.ndim) != 4:
        raise Refusal("needs tensors of four axes: batch, time, heads, features")
    if bias is not None and mask is not None:
        raise Refusal("give a bias or a mask, not both")
    if mask is not None and is_causal:
        steps = torch.ones(query.shape[1], key.shape[1], dtype=torch.bool, device=query.device)
        mask, is_causal = mask.bool() & steps.tril(), False
    seen = mask.bool() if mask is not None else bias
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    return fused_attention(q, k, v, seen, is_causal=is_causal, scale=scale).transpose(1, 2)


def fused_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, *, is_causal: bool = False, scale: float | None
) -> Tensor:  # (*, T, D), (*, S, D), (*, S, V) -> (*, T, V)
    """Compute softmax(query @ key^T * scale + bias) @ value in one torch kernel; `bias` may be a boolean mask.

    Short keys in half precision are computed in float32 on the CPU, where that is faster.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
    is_half, sizes = query.is_cpu and dtype in (torch.float16, torch.bfloat16), key.shape[-2:]
    is_short = is_half and all(type(size) is int for size in sizes) and math.prod(sizes) <= _SHORT  # not unknown ones
    if not is_short:
        return F.scaled_dot_product_attention(query, key, value, bias, is_causal=is_causal, scale=scale)
    wide = bias.float() if bias is not None and bias.is_floating_point() else bias
    with torch.autocast("cpu", enabled=False):
        query, key, value = query.float(), key.float(), value.float()
        return F.scaled_dot_product_attention(query, key, value, wide, is_causal=is_causal, scale=scale).to(dtype)
