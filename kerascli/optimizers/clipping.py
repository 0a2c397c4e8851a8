"""Gradient clipping by each weight's norm or by the global norm: clipnorm and global_clipnorm of keras.optimizers."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor


def scale(gradients: Sequence[Tensor], by: Literal["mean_abs", "rms"]) -> None:
    """Divide each gradient in place by the mean of its absolute values (at least 1e-7), or their root mean square
    (plus 1e-7), as Keras's examples do."""
    for gradient in gradients:
        mean = gradient.abs().mean().clamp(min=1e-7)
        gradient.div_(mean if by == "mean_abs" else gradient.square().mean().sqrt() + 1e-7)


def clip_each_norm(gradients: Sequence[Tensor], limit: float) -> None:
    """Scale each gradient in place so that its L2 norm is at most `limit`."""
    if not gradients:
        return
    norms = torch._foreach_norm(list(gradients))  # pyright: ignore[reportPrivateImportUsage]
    torch._foreach_mul_(list(gradients), [limit / norm.clamp(min=limit) for norm in norms])  # pyright: ignore[reportPrivateImportUsage]


def clip_global_norm(vectors: Sequence[Tensor], limit: float) -> None:
    """Scale all gradient vectors in place by one factor, so that their joint L2 norm is at most `limit`."""
    norms = [torch.linalg.vector_norm(vector) for vector in vectors]
    norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack([n.to(norms[0]) for n in norms]))
    for vector in vectors:
        vector.mul_((limit / norm.clamp(min=limit)).to(vector))


def clip_divided(parts: Sequence[Tensor], across: Callable[[Tensor], Tensor], limit: float, *, together: bool) -> None:
    """Clip gradients in place of which this process has parts: each by its own norm, or `together` by the global norm.

    `across` returns the sum over all parts of a tensor with a number for each weight.
    """
    squares = across(torch.stack([torch.linalg.vector_norm(part).square().float() for part in parts]))
    norms = (squares.sum().expand_as(squares) if together else squares).sqrt()
    for part, factor in zip(parts, limit / norms.clamp(min=limit), strict=True):
        part.mul_(factor.to(part))
